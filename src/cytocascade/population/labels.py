"""Painting placed cells into a label image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cytocascade.population.placement import PlacedCell
from cytocascade.types import Array, BoolArray, label_dtype


def visible_part(
    cell: PlacedCell, mask: BoolArray, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the box of the field that `mask` covers, and the part of the mask that lies in it.

    Both are empty (zero-sized) where the cell lies outside the frame.
    """
    field, part = [], []
    for start, size, side in zip(cell.corner, mask.shape, shape):
        low = min(max(start, 0), side)
        high = max(min(start + size, side), low)
        field.append(slice(low, high))
        part.append(slice(low - start, high - start))
    return tuple(field), tuple(part)


def paint_labels(
    placed: Sequence[PlacedCell],
    masks: Sequence[BoolArray],
    shape: tuple[int, ...],
    *,
    owner: Array | None = None,
) -> tuple[Array, dict[int, PlacedCell]]:
    """Paint the instance labels of a field.

    Where cells overlap, the one placed earlier is on top (and keeps the pixels). A cell of which nothing is
    visible gets no label, so labels are 1..n without gaps.

    Parameters
    ----------
    placed : sequence of PlacedCell
        In the order of placing.
    masks : sequence of ndarray of bool
        The masks that `PlacedCell.index` refers to.
    shape : tuple of int
        Pixels of the field along each axis.
    owner : ndarray of int, optional
        Position in `placed`, from 1, of the cell that gets each pixel where several overlap.

    Returns
    -------
    labels : ndarray of uint16 or uint32
        0 is background.
    cells : dict of int to PlacedCell
        The cell of each label.
    """
    labels = np.zeros(shape, dtype=label_dtype(len(placed)))
    cells: dict[int, PlacedCell] = {}
    for number, cell in enumerate(placed, start=1):
        mask = masks[cell.index]
        field, part = visible_part(cell, mask, shape)
        window = labels[field]
        mine = window == 0
        if owner is not None:
            mine |= owner[field] == number
        seen = mask[part] & mine
        if seen.any():
            cells[len(cells) + 1] = cell
            window[seen] = len(cells)
    seen_at_last = np.bincount(labels.ravel(), minlength=len(cells) + 1) > 0
    seen_at_last[0] = True
    if not seen_at_last.all():
        # A cell that was there first can be covered entirely by later ones.
        cells = {new: cells[old] for new, old in enumerate(np.flatnonzero(seen_at_last)[1:].tolist(), start=1)}
        labels = (np.cumsum(seen_at_last) - 1).astype(labels.dtype)[labels]
    return labels, cells
