"""Adherent cells on a plane: placed as seen along z, then set down on the substrate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cytocascade.population.contacts import bring_into_contact
from cytocascade.population.labels import visible_part
from cytocascade.population.placement import PlacedCell, Placement, place_cells
from cytocascade.population.volume_params import LayerParams, VolumeParams
from cytocascade.types import Array, BoolArray


def place_layer(masks: Sequence[BoolArray], shape: tuple[int, int, int], params: VolumeParams) -> Placement:
    """Place cells on the substrate, without overlap of their bodies.

    The footprints are placed as cells of an image are. Then each cell is set down on the plane, at its drawn
    height above it. If its footprint overlaps others, it rides up on them: it is raised until it is free. If it
    touches another, it is moved up to it until their bodies touch as well. A cell that fits into the depth of
    the volume is moved to lie inside of it.

    Parameters
    ----------
    masks : sequence of ndarray of bool, (z, y, x)
        Cells in tight boxes, at least ``params.count``.
    shape : tuple of int
        Voxels of the volume, (Z, Y, X).
    params : VolumeParams
        Of the arrangement ``"layer"``.
    """
    assert params.layer is not None
    footprints = [np.asarray(mask.any(axis=0)) for mask in masks[: params.count]]
    flat = place_cells(footprints, shape[1:], params.cells)
    relief = _Relief(shape)
    bodies: list[PlacedCell] = []
    for turn, cell in enumerate(flat.cells):
        mask = masks[cell.index]
        rest = _resting_height(cell, mask, shape, params.spacing, params.layer, params.layer.jitter[turn])
        start = relief.rest_above(cell, mask, rest) if cell.placement == "overlapping" else rest
        if start is not None:
            bodies.append(replace(cell, corner=(start, *cell.corner)))
            relief.add(bodies[-1], mask)
    bring_into_contact(bodies, masks, shape, params.cells.max_overlap)
    return Placement(bodies, params.count - len(bodies))


def _resting_height(
    cell: PlacedCell,
    mask: BoolArray,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    layer: LayerParams,
    jitter: float,
) -> int:
    """Return the first plane of a cell that lies on the substrate."""
    depth = shape[0] * spacing[0]
    height = 0.5 * (depth - layer.cell_height) if layer.height is None else layer.height
    for axis in (1, 2):
        middle = cell.corner[axis - 1] + 0.5 * (mask.shape[axis] - shape[axis])
        height += layer.slope[axis - 1] * middle * spacing[axis]
    start = round(float(height + jitter) / spacing[0])
    room = int(shape[0] - mask.shape[0])
    return min(max(start, 0), room) if room >= 0 else room // 2


class _Relief:
    """The tops of the cells set down so far, column by column."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.depth = shape[0]
        self.top: Array = np.full(shape[1:], np.iinfo(np.int32).min, dtype=np.int32)

    def rest_above(self, cell: PlacedCell, mask: BoolArray, rest: int) -> int | None:
        """Return the cell's first plane, at `rest` or above what is below it; None if that is out of the volume."""
        window, columns, covered = self._columns(cell.corner, mask)
        start = rest
        if covered.any():
            first = columns.argmax(axis=0)
            start = max(rest, int((self.top[window][covered].astype(np.int64) - first[covered]).max()))
        return None if start > rest and start >= self.depth - max(1, mask.shape[0] // 2) else start

    def add(self, cell: PlacedCell, mask: BoolArray) -> None:
        window, columns, covered = self._columns(cell.corner[1:], mask)
        past = mask.shape[0] - columns[::-1].argmax(axis=0)
        here = self.top[window]
        here[covered] = np.maximum(here[covered], cell.corner[0] + past[covered])

    def _columns(self, corner: tuple[int, ...], mask: BoolArray) -> tuple[tuple[slice, ...], BoolArray, BoolArray]:
        flat = PlacedCell(0, corner, "", None, None)
        window, part = visible_part(flat, mask[0], self.top.shape)
        columns = mask[(slice(None), *part)]
        return window, columns, np.asarray(columns.any(axis=0))
