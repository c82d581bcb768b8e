"""Bringing cells of a layer, whose outlines touch as seen along z, into contact in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage as ndi

from cytocascade.population.labels import visible_part
from cytocascade.population.placement import PlacedCell
from cytocascade.types import Array, BoolArray

_REACH = 0.25
_CROSS = np.array([[[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 1, 1]] * 3, [[0, 0, 0], [0, 1, 0], [0, 0, 0]]], dtype=bool)


def bring_into_contact(
    bodies: list[PlacedCell], masks: Sequence[BoolArray], shape: tuple[int, int, int], most: float
) -> None:
    """Move the cells that are ``"touching"`` as seen along z up to each other, in place, one after the other.

    Each move minds all other cells where they lie by then, so bodies that did not overlap do not afterwards.
    """
    low = np.array([cell.corner[1:] for cell in bodies]).reshape(-1, 2)
    size = np.array([masks[cell.index].shape[1:] for cell in bodies]).reshape(-1, 2)
    for turn, cell in enumerate(bodies):
        if cell.placement != "touching":
            continue
        reach = size[turn] // 2 + 2
        near = (low < low[turn] + size[turn] + reach) & (low + size > low[turn] - reach)
        others = [(bodies[i], masks[bodies[i].index]) for i in np.flatnonzero(near.all(axis=1)) if i != turn]
        bodies[turn] = close_up(cell, masks[cell.index], others, shape, most)
        low[turn] = bodies[turn].corner[1:]


def close_up(
    cell: PlacedCell,
    mask: BoolArray,
    others: list[tuple[PlacedCell, BoolArray]],
    shape: tuple[int, int, int],
    most: float,
) -> PlacedCell:
    """Move a cell towards the nearest of the others, until their bodies touch.

    Cells bulge at different heights, so bodies whose outlines touch are apart. The cell is moved by no more than a
    quarter of its width, not into any other, and not so far that more than `most` of it is seen to overlap.

    Parameters
    ----------
    cell : PlacedCell
        The cell, with a corner along (z, y, x).
    mask : ndarray of bool
        Its body.
    others : list of (PlacedCell, ndarray of bool)
        The cells around it.
    shape : tuple of int
        Voxels of the volume.
    most : float
        Largest part of the cell's outline that others may overlap.

    Returns
    -------
    PlacedCell
        The cell where it touches another; where it was, if it already does or cannot.
    """
    reach = max(2, round(_REACH * min(mask.shape[1:])))
    low = np.array(cell.corner) - [1, reach + 1, reach + 1]
    size = tuple(side + extra for side, extra in zip(mask.shape, (2, 2 * reach + 2, 2 * reach + 2)))
    taken = np.zeros(size, dtype=bool)
    for other, body in others:
        moved = replace(other, corner=tuple(int(a - b) for a, b in zip(other.corner, low)))
        window, part = visible_part(moved, body, size)
        taken[window] |= body[part]
    if not taken.any():
        return cell
    own = np.pad(mask, 1)
    beside = ndi.binary_dilation(own, _CROSS)
    if _meets(taken, beside, np.array([0, reach, reach])):
        return cell
    direction = _towards(taken, own, reach)
    footprint, covered = np.asarray(own.any(axis=0)), np.asarray(taken.any(axis=0))
    for step in range(1, reach + 1):
        shift = np.round(step * direction).astype(int)
        start = np.array([0, reach + shift[0], reach + shift[1]])
        box = tuple(slice(int(a), int(a) + side) for a, side in zip(start[1:], footprint.shape))
        corner = (cell.corner[0], cell.corner[1] + int(shift[0]), cell.corner[2] + int(shift[1]))
        crowded = (covered[box] & footprint).sum() > most * footprint.sum()
        if _meets(taken, own, start) or crowded or not _as_cut(cell.corner, corner, mask, shape):
            return cell
        if _meets(taken, beside, start):
            return replace(cell, corner=corner)
    return cell


def _meets(taken: BoolArray, body: BoolArray, start: Array) -> bool:
    box = tuple(slice(int(a), int(a) + side) for a, side in zip(start, body.shape))
    return bool((taken[box] & body).any())


def _towards(taken: BoolArray, own: BoolArray, reach: int) -> Array:
    """Return the unit vector along (y, x) to the part of the others that is nearest to the cell."""
    away = ndi.distance_transform_edt(~np.pad(own.any(axis=0), reach))
    away[~np.asarray(taken.any(axis=0))] = np.inf
    nearest = np.argwhere(away <= away.min() + 1.0).mean(axis=0)
    offset = nearest - (np.argwhere(own.any(axis=0)).mean(axis=0) + reach)
    return np.asarray(offset / max(float(np.linalg.norm(offset)), 1e-9))


def _as_cut(before: tuple[int, ...], after: tuple[int, ...], mask: BoolArray, shape: tuple[int, int, int]) -> bool:
    """Return whether the sides of the volume cut the cell as before."""

    def sides(corner: tuple[int, ...]) -> list[bool]:
        return [
            flag for a, side, end in zip(corner[1:], mask.shape[1:], shape[1:]) for flag in (a <= 0, a + side >= end)
        ]

    return sides(before) == sides(after)
