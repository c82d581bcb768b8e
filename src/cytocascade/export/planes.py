"""Cutting a volume into isotropic 2D images with labels, as a 2D segmenter that runs on volumes sees them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from skimage.measure import label as connected_regions

from cytocascade.export.shape_interpolation import Positions, between_rows, cell_distances, plane_across
from cytocascade.types import AnnotatedImage, Array, GeneratedSample, label_dtype

PLANES = ("yx", "zy", "zx")
"""Planes that are cut; the first letter is the rows' axis, the second the columns'."""

MIN_PIXELS = 15
"""Smaller pieces of cells are left out: Cellpose takes smaller masks for errors (its ``--min_size``)."""

_NORMAL = {"yx": 0, "zy": 2, "zx": 1}


@dataclass(frozen=True)
class Plane:
    """One plane of a volume.

    Attributes
    ----------
    name : str
        One of `PLANES`.
    position : int
        Where it lies on the axis it is normal to, in voxels of the volume.
    image : ndarray, (rows, columns)
        Intensities in the volume's dtype.
    labels : ndarray of uint16 or uint32, same shape
        Numbered 1..n in this plane.
    spacing : tuple of float
        Micrometres per pixel along (rows, columns).
    """

    name: str
    position: int
    image: Array
    labels: Array
    spacing: tuple[float, float]


def anisotropy(spacing: Sequence[float]) -> float:
    """Return how many pixels of the isotropic planes one z-step has: spacing z / lateral spacing.

    Parameters
    ----------
    spacing : sequence of float
        Micrometres per voxel along (z, y, x). If y and x differ, their geometric mean counts.
    """
    return float(spacing[0]) / _lateral(spacing)


def cut(sample: GeneratedSample | AnnotatedImage, *, step: int, min_cells: int) -> Iterator[Plane]:
    """Cut a volume along all three planes.

    YX planes are the slices as they are. In ZY and ZX planes z is resampled to the lateral spacing: the image
    linearly, as Cellpose resamples a volume before it looks at it from the side, the labels by
    `cytocascade.export.shape_interpolation`.

    Parameters
    ----------
    sample : GeneratedSample or AnnotatedImage
        A volume.
    step : int, >= 1
        Pixels of the isotropic planes between neighbouring planes; YX planes are never closer than the slices.
    min_cells : int
        Planes with fewer labels are left out.

    Yields
    ------
    Plane
        In the order of `PLANES` and positions.
    """
    depth, height, width = sample.image.shape
    across = _lateral(sample.spacing)
    for position in _positions(depth, max(1, round(step / anisotropy(sample.spacing)))):
        labels = separate(sample.labels[position])
        if labels.max(initial=0) >= min_cells:
            spacing = (sample.spacing[1], sample.spacing[2])
            yield Plane("yx", position, sample.image[position], labels, spacing)
    heights = axial_positions(depth, sample.spacing)
    cells = cell_distances(sample.labels, sample.spacing)
    for name, sides in (("zy", (width, height)), ("zx", (height, width))):
        normal = _NORMAL[name]
        for position in _positions(sides[0], step):
            labels = separate(plane_across(cells, normal, position, heights, sides[1]))
            if labels.max(initial=0) >= min_cells:
                image = _resampled(sample.image.take(position, axis=normal), heights)
                yield Plane(name, position, image, labels, (across, sample.spacing[3 - normal]))


def axial_positions(depth: int, spacing: Sequence[float]) -> Positions:
    """Return where the rows of isotropic planes lie along z, in slices.

    The rows divide the same height as the slices do. Rows beyond the centre of the outermost slice lie at
    that slice.
    """
    rows = max(1, round(depth * anisotropy(spacing)))
    centres = (np.arange(rows) + 0.5) * depth / rows - 0.5
    return np.clip(centres, 0.0, depth - 1.0)


def separate(labels: Array) -> Array:
    """Give each piece of a cell in a plane a label of its own, 1..n.

    A cell that the plane cuts twice becomes two objects, as no 2D segmenter could tell that they are one. Pieces
    of fewer than `MIN_PIXELS` pixels become background.

    Parameters
    ----------
    labels : ndarray of integers, (rows, columns)
        0 is background.

    Returns
    -------
    ndarray of uint16 or uint32, same shape
        Numbered in the order of their first pixels.
    """
    pieces = np.asarray(connected_regions(labels, connectivity=2))
    kept = np.bincount(pieces.ravel()) >= MIN_PIXELS
    kept[0] = False
    numbers = np.cumsum(kept) * kept
    return np.asarray(numbers[pieces], label_dtype(int(kept.sum())))


def _lateral(spacing: Sequence[float]) -> float:
    return math.sqrt(spacing[1] * spacing[2])


def _positions(size: int, step: int) -> range:
    """Return every `step`-th position, as far from one end as from the other."""
    count = max(1, size // step)
    return range((size - 1 - (count - 1) * step) // 2, size, step)[:count]


def _resampled(plane: Array, heights: Positions) -> Array:
    values = between_rows(plane, heights)
    return (np.rint(values) if plane.dtype.kind in "ui" else values).astype(plane.dtype)
