"""From canonical cells to a field of view: resampling, placing, adding up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cytocascade.population.labels import visible_part
from cytocascade.population.placement import PlacedCell
from cytocascade.types import Array, BoolArray, FloatArray


@dataclass(frozen=True)
class FieldCell:
    """One cell on the pixel grid of the field.

    Attributes
    ----------
    mask : ndarray of bool
        In its tight box.
    offset : tuple of int
        Corner of the mask's box in the box of the crop.
    size : tuple of int
        Shape of the box of the crop.
    coordinates : ndarray, (2, height, width)
        Canonical coordinates of the box's pixels.
    """

    mask: BoolArray
    offset: tuple[int, ...]
    size: tuple[int, ...]
    coordinates: Array


def to_field_grid(distance: FloatArray, scale: tuple[float, ...]) -> FieldCell | None:
    """Resample a canonical mask to the field's pixels.

    Parameters
    ----------
    distance : ndarray, (S, S) float32
        Signed distance in canonical pixels, positive inside.
    scale : tuple of float
        Field pixels per canonical pixel, along each axis.

    Returns
    -------
    FieldCell or None
        None if no pixel of the field lies inside the mask.
    """
    axes = []
    for side, factor in zip(distance.shape, scale):
        pixels = int(np.ceil(side * factor))
        axes.append((np.arange(pixels) - (pixels - 1) / 2) / factor + (side - 1) / 2)
    coordinates = np.stack(np.meshgrid(*axes, indexing="ij"))
    mask = ndi.map_coordinates(distance, coordinates, order=1, mode="nearest") > 0
    components, count = ndi.label(mask)
    if count == 0:
        return None
    if count > 1:
        mask = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    box = ndi.find_objects(mask.astype(np.uint8))[0]
    offset = tuple(part.start for part in box)
    return FieldCell(mask[box], offset, mask.shape, coordinates)


def assemble_signal(
    placed: Sequence[PlacedCell],
    cells: Sequence[FieldCell],
    signal: FloatArray,
    reach: FloatArray,
    level: Sequence[float],
    shape: tuple[int, ...],
    *,
    owner: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Add up the light of all placed cells.

    Parameters
    ----------
    placed : sequence of PlacedCell
        Where the cells are.
    cells : sequence of FieldCell
        The cells that `PlacedCell.index` refers to.
    signal : ndarray, (n, S, S) float32
        Their relative signal on the canonical grid, faded out beyond the rim.
    reach : ndarray, (n, S, S) float32
        How far each cell's texture counts, 1 inside to 0 beyond the rim.
    level : sequence of float
        Intensity of relative signal 1, in the image's units.
    shape : tuple of int
        Pixels of the field.
    owner : ndarray of int, optional
        Instance labels in the order of `placed`, 1-based. If given, cells replace each other instead of
        shining through: inside a cell only its own signal counts (phase contrast).

    Returns
    -------
    signal : ndarray of float32
        Sum of the cells' light.
    reach : ndarray of float32
        Largest reach of any cell at each pixel, in [0, 1].
    """
    total = np.zeros(shape, dtype=np.float32)
    furthest = np.zeros(shape, dtype=np.float32)
    for number, place in enumerate(placed, start=1):
        cell = cells[place.index]
        corner = tuple(start - offset for start, offset in zip(place.corner, cell.offset))
        box = PlacedCell(index=place.index, corner=corner, placement=place.placement, gap=place.gap, measured_gap=None)
        window, part = visible_part(box, np.broadcast_to(True, cell.size), shape)
        where = cell.coordinates[(slice(None), *part)]
        if where.size == 0:
            continue
        light = ndi.map_coordinates(signal[place.index], where, order=3, mode="constant", cval=0.0)
        extent = ndi.map_coordinates(reach[place.index], where, order=1, mode="constant", cval=0.0)
        light *= level[place.index]
        if owner is not None:
            light[(owner[window] != number) & (owner[window] != 0)] = 0.0
        total[window] += light
        np.maximum(furthest[window], extent, out=furthest[window])
    return total, furthest
