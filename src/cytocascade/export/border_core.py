"""Cells as semantic classes, for networks that know no instances: background, interior and border.

Every cell keeps one interior, connected by the faces of its voxels, that touches no other one, not even by a corner. So
counting the connected interiors counts the cells; growing them back over the border gives the cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import Array, BoolArray, label_dtype

CLASSES = {"background": 0, "interior": 1, "border": 2}
"""Names and values of the classes."""

BORDER_PIXELS = 2.0
"""Thickness of the border, in units of the finest spacing."""


def to_classes(labels: Array, spacing: Sequence[float]) -> Array:
    """Return the class of every voxel.

    Border is what lies within `BORDER_PIXELS` of the cell's outline, and what touches another cell (also by an edge
    or a corner), so that interiors never meet, however coarse z is. A cell that is too thin for that keeps its
    innermost voxels as interior, and a cell whose interior would fall apart keeps the largest part. Only cells of very
    few voxels that touch each other cannot be told apart afterwards.

    Parameters
    ----------
    labels : ndarray of unsigned integers, (Y, X) or (Z, Y, X)
        0 is background.
    spacing : sequence of float
        Micrometres per voxel along each axis.

    Returns
    -------
    ndarray of uint8, same shape
        See `CLASSES`.
    """
    classes = np.where(labels > 0, CLASSES["border"], CLASSES["background"]).astype(np.uint8)
    # Background does not count as another cell: there it is the largest value, which a minimum ignores.
    most = np.iinfo(labels.dtype).max
    lowest = ndi.minimum_filter(np.where(labels > 0, labels, most), size=3, mode="nearest")
    highest = ndi.maximum_filter(labels, size=3, mode="nearest")
    apart = (labels > 0) & (lowest == highest)
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        wide = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        core = _core(labels[wide] == label, apart[wide], spacing)
        classes[wide][core] = CLASSES["interior"]
    return classes


def to_instances(classes: Array, spacing: Sequence[float]) -> Array:
    """Return the cells that classes stand for: connected interiors, grown over the nearest border.

    Parameters
    ----------
    classes : ndarray of integers, (Y, X) or (Z, Y, X)
        See `CLASSES`, for example what a network predicted.
    spacing : sequence of float
        Micrometres per voxel along each axis.

    Returns
    -------
    ndarray of uint16 or uint32, same shape
        0 is background, 1..n the cells.
    """
    cores, count = ndi.label(classes == CLASSES["interior"])
    if count == 0:
        return np.zeros(classes.shape, np.uint16)
    nearest = ndi.distance_transform_edt(cores == 0, sampling=spacing, return_distances=False, return_indices=True)
    cells = np.where(classes > 0, cores[tuple(nearest)], 0)
    return np.asarray(cells, label_dtype(int(count)))


def _core(mask: BoolArray, apart: BoolArray, spacing: Sequence[float]) -> BoolArray:
    """Return the interior of one cell."""
    # A box that the frame cuts on all sides shows no outline.
    distance = np.full(mask.shape, np.inf) if mask.all() else ndi.distance_transform_edt(mask, sampling=spacing)
    # A little more, so that rounding does not decide about voxels that lie at exactly this distance.
    core = mask & apart & (distance > (BORDER_PIXELS + 0.01) * min(spacing))
    if not core.any():
        inner = mask & apart if (mask & apart).any() else mask
        core = inner & (distance >= distance[inner].max())
    parts, count = ndi.label(core)
    if count > 1:
        sizes = np.bincount(parts.ravel())[1:]
        core = parts == 1 + int(sizes.argmax())
    return np.asarray(core)
