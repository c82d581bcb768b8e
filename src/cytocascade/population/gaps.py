"""Edge-to-edge gaps between the cells of a label image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from cytocascade.types import Array, BoolArray


@dataclass(frozen=True)
class CellOutlines:
    """The outlines of all cells of one label image, ordered by label.

    Attributes
    ----------
    points : list of ndarray, (p, ndim) float64
        Outline pixels of each cell, in micrometres.
    area : ndarray of float64
        Area (volume in 3D) of each cell in square (cubic) micrometres.
    cut : ndarray of bool
        Whether the cell touches the frame. The first and last plane of a stack count as frame too.
    extent : ndarray, (n, ndim) float64
        Size of each bounding box in micrometres.
    centroid : ndarray, (n, ndim) float64
        Centroids in micrometres.
    """

    points: list[Array]
    area: Array
    cut: Array
    extent: Array
    centroid: Array

    def __len__(self) -> int:
        return len(self.points)


def touching_distance(spacing: tuple[float, ...]) -> float:
    """Return the distance of pixel centres up to which two cells touch: the diagonal of a pixel, micrometres.

    Along a coarse z axis the diagonal of the finest two axes counts, so that a large z-step does not make
    neighbours within a plane touch.
    """
    finest = sorted(spacing)[:2]
    return math.hypot(*finest) * (1 + 1e-6)


def outline(mask: BoolArray) -> BoolArray:
    """Return the pixels of `mask` that have a direct neighbour outside it (beyond the array is outside)."""
    return np.asarray(mask & ~ndi.binary_erosion(mask))


def cell_outlines(labels: Array, spacing: tuple[float, ...]) -> CellOutlines:
    """Measure the outlines of all cells of a label image (Y, X) or (Z, Y, X)."""
    points, area, cut, extent, centroid = [], [], [], [], []
    step = np.asarray(spacing, dtype=np.float64)
    for value, box in enumerate(ndi.find_objects(np.asarray(labels)), start=1):
        if box is None:
            continue
        mask = labels[box] == value
        start = np.array([axis.start for axis in box])
        stop = np.array([axis.stop for axis in box])
        points.append((np.argwhere(outline(mask)) + start) * step)
        area.append(float(mask.sum()) * float(step.prod()))
        cut.append(bool((start == 0).any() or (stop == labels.shape).any()))
        extent.append((stop - start) * step)
        centroid.append((np.argwhere(mask).mean(axis=0) + start) * step)
    return CellOutlines(
        points=points,
        area=np.array(area),
        cut=np.array(cut, dtype=bool),
        extent=np.array(extent).reshape(-1, labels.ndim),
        centroid=np.array(centroid).reshape(-1, labels.ndim),
    )


def gap_matrix(outlines: CellOutlines, spacing: tuple[float, ...]) -> Array:
    """Return the edge-to-edge gap of every pair of cells.

    A gap is the distance of the nearest pixel centres less `touching_distance`, not below 0: 0 means that the
    cells touch, directly or diagonally. Pairs within about 1.5 cell diameters are exact; farther ones are
    measured on thinned outlines.

    Returns
    -------
    ndarray of float64, (n, n)
        Micrometres; infinite on the diagonal.
    """
    count = len(outlines)
    gaps = np.full((count, count), np.inf)
    if count < 2:
        return gaps
    kept = int(np.clip(12000 // count, 4, 24))
    thin = [points[:: max(1, len(points) // kept)] for points in outlines.points]
    starts = np.cumsum([0, *(len(points) for points in thin[:-1])])
    everything = np.concatenate(thin)
    near = 1.5 * float(np.median(outlines.extent.max(axis=1)))
    contact = touching_distance(spacing)
    for i in range(count):
        row = np.minimum.reduceat(cdist(thin[i], everything).min(axis=0), starts)
        gaps[i] = np.minimum(row, gaps[:, i] + contact) - contact
    gaps = np.minimum(gaps, gaps.T)
    # The surfaces of bodies have so many points that a tree is faster than all pairs.
    trees = [KDTree(points) for points in outlines.points] if len(spacing) == 3 else []
    for i, j in np.argwhere(np.triu(gaps < near, k=1)):
        nearest = trees[i].query(outlines.points[j])[0] if trees else cdist(outlines.points[i], outlines.points[j])
        exact = float(nearest.min()) - contact
        gaps[i, j] = gaps[j, i] = exact
    np.fill_diagonal(gaps, np.inf)
    return np.asarray(np.maximum(gaps, 0.0))


def sequential_gaps(gaps: Array, order: Array) -> Array:
    """Return the distance of each cell to the nearest one visited before it.

    Parameters
    ----------
    gaps : ndarray, (n, n)
        Gaps (or other distances) of all pairs.
    order : ndarray, (n,) int
        The order in which the cells are visited.

    Returns
    -------
    ndarray, (n,)
        In the order of visiting; infinite for the first cell.
    """
    ordered = gaps[np.ix_(order, order)]
    earlier = np.tri(len(order), k=-1, dtype=bool)
    return np.asarray(np.where(earlier, ordered, np.inf).min(axis=1, initial=np.inf))


def group_sizes(linked: BoolArray) -> list[int]:
    """Return the sizes of the groups of at least two cells that `linked` (n, n) connects, ascending."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if len(linked) == 0:
        return []
    _, group = connected_components(csr_array(linked), directed=False)
    sizes = np.bincount(group)
    return sorted(int(size) for size in sizes if size > 1)
