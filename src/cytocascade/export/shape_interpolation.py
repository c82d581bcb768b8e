"""Labels between the slices of a stack, with smooth outlines.

Shape-based interpolation (Raya and Udupa, IEEE Transactions on Medical Imaging 9, 1990): not the labels are
interpolated along z, but the signed distance of each cell, and its zero set is the outline. At the slices themselves
the labels are the given ones. The distance is that in the volume, in micrometres, so that the caps of a cell close
round as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from cytocascade.types import Array, FloatArray

Positions = NDArray[np.float64]
"""Positions along z, in slices of the stack; may lie between slices."""


@dataclass(frozen=True)
class CellDistance:
    """The signed distance of one cell, in the box around it.

    Attributes
    ----------
    label : int
        The cell's label.
    origin : tuple of int
        First voxel of the box along (z, y, x).
    distance : ndarray of float32, (Z, Y, X)
        Micrometres, at the voxels of the box: above 0 in the cell, below 0 around it.
    """

    label: int
    origin: tuple[int, int, int]
    distance: FloatArray


def cell_distances(labels: Array, spacing: Sequence[float]) -> list[CellDistance]:
    """Return the signed distance of every cell.

    Parameters
    ----------
    labels : ndarray of unsigned integers, (Z, Y, X)
        0 is background.
    spacing : sequence of float
        Micrometres per voxel along (z, y, x).

    Returns
    -------
    list of CellDistance
        In the order of the labels. What lies beyond the volume counts neither as cell nor as background.
    """
    found = []
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        wide = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        distance = _signed_distance(labels[wide] == label, spacing)
        origin = (wide[0].start, wide[1].start, wide[2].start)
        found.append(CellDistance(label, origin, distance))
    return found


def plane_across(
    cells: Sequence[CellDistance], axis: int, position: int, heights: Positions, width: int
) -> NDArray[np.uint32]:
    """Return the labels in a plane that contains the z axis.

    Parameters
    ----------
    cells : sequence of CellDistance
        See `cell_distances`.
    axis : {1, 2}
        Axis that the plane is normal to: 1 (y) gives a (z, x) plane, 2 (x) a (z, y) plane.
    position : int
        Where the plane lies on that axis, in voxels.
    heights : ndarray, (rows,)
        Where the rows of the plane lie along z, in slices, within the stack.
    width : int
        Voxels along the plane's other axis.

    Returns
    -------
    ndarray of uint32, (rows, width)
        Where cells would overlap, the one whose outline is farther away has the pixel.
    """
    labels = np.zeros((len(heights), width), np.uint32)
    best = np.zeros(labels.shape, np.float32)
    other = 3 - axis
    for cell in cells:
        inside = position - cell.origin[axis]
        if not 0 <= inside < cell.distance.shape[axis]:
            continue
        first, count = cell.origin[0], cell.distance.shape[0]
        rows = np.flatnonzero((heights >= first) & (heights <= first + count - 1))
        if not rows.size:
            continue
        distance = between_rows(np.take(cell.distance, inside, axis=axis), heights[rows] - first)
        start = cell.origin[other]
        window = (slice(rows[0], rows[-1] + 1), slice(start, start + distance.shape[1]))
        wins = distance > best[window]
        best[window][wins] = distance[wins]
        labels[window][wins] = cell.label
    return labels


def between_rows(plane: Array, heights: Positions) -> FloatArray:
    """Interpolate the rows of `plane` linearly.

    Parameters
    ----------
    plane : ndarray, (Z, W)
        Values at the slices.
    heights : ndarray, (rows,)
        Positions in [0, Z - 1].

    Returns
    -------
    ndarray of float32, (rows, W)
    """
    lower = np.floor(heights).astype(int)
    upper = np.minimum(lower + 1, len(plane) - 1)
    share = (heights - lower).astype(np.float32)[:, None]
    values = plane.astype(np.float32)
    return np.asarray((1 - share) * values[lower] + share * values[upper], np.float32)


def _signed_distance(mask: Array, spacing: Sequence[float]) -> FloatArray:
    """Return the distance to the nearest voxel of the other kind, negative outside `mask`."""
    if mask.all():
        return np.full(mask.shape, np.float32(max(spacing) * max(mask.shape)))
    inside = ndi.distance_transform_edt(mask, sampling=spacing)
    outside = ndi.distance_transform_edt(~mask, sampling=spacing)
    return np.asarray(inside - outside, np.float32)
