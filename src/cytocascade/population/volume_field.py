"""From the painted slices of cells to the light of a volume: resampling, placing, adding up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cytocascade.population.labels import visible_part
from cytocascade.population.placement import PlacedCell
from cytocascade.types import Array, BoolArray, FloatArray

FAINT = 0.02
"""Light of a rim, relative to the cell's, below which it belongs to no cell."""


@dataclass(frozen=True)
class VolumeCell:
    """One cell on the voxels of the volume.

    Attributes
    ----------
    mask : ndarray of bool, (z, y, x)
        In its tight box.
    corner : tuple of float
        Centre of the box's first voxel relative to the cell's origin, in micrometres along (z, y, x).
    """

    mask: BoolArray
    corner: tuple[float, float, float]


@dataclass(frozen=True)
class PaintedCell:
    """The light of one cell, slice by slice on the canonical grid.

    Attributes
    ----------
    signal : ndarray, (z, S, S) float32
        Relative signal of every plane of the cell's box, faded out beyond the rim.
    distance : ndarray, (z, S, S) float32
        Signed distance of every plane to its outline, in canonical pixels, positive inside.
    grain : ndarray, (z, S, S) float32
        Where the texture holds noise of its own, in [0, 1].
    """

    signal: FloatArray
    distance: FloatArray
    grain: FloatArray


@dataclass(frozen=True)
class VolumeLight:
    """Light of all cells of a volume, before the optics.

    Attributes
    ----------
    light : ndarray of float32, (Z, Y, X)
        Light above the background, in the image's units.
    owner : ndarray of uint16 or uint32, (Z, Y, X)
        The cell that the light belongs to, also in the cells' rims; 0 where there is none.
    extent : ndarray of float32, (Z, Y, X)
        Where textures hold noise of their own, in [0, 1].
    grain : ndarray of float32, (Z, Y, X)
        How strong the grain is that textures lack.
    """

    light: FloatArray
    owner: Array
    extent: FloatArray
    grain: FloatArray


def assemble_light(
    placed: Sequence[PlacedCell],
    cells: Sequence[VolumeCell],
    painted: Mapping[int, PaintedCell],
    levels: Sequence[float],
    labels: Array,
    spacing: tuple[float, float, float],
    crop_spacing: float,
    *,
    reach: float,
    edge: Callable[[FloatArray], FloatArray] | None = None,
    strength: Sequence[float] | None = None,
) -> VolumeLight:
    """Add up the light of all placed cells.

    Parameters
    ----------
    placed : sequence of PlacedCell
        Where the cells are, in the order of their labels.
    cells : sequence of VolumeCell
        The cells that `PlacedCell.index` refers to.
    painted : mapping of int to PaintedCell
        Their light, by the same index.
    levels : sequence of float
        Intensity of relative signal 1, in the image's units, by the same index.
    labels : ndarray of int, (Z, Y, X)
        Instance labels.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    crop_spacing : float
        Micrometres per canonical pixel.
    reach : float
        How far cells shine outside their outlines, in canonical pixels.
    edge : callable, optional
        Gives the factor on the light for each signed distance to the outline in the plane, in voxels.
    strength : sequence of float, optional
        How grainy each cell is, by the same index; by default 1.
    """
    light, extent, grain = (np.zeros(labels.shape, dtype=np.float32) for _ in range(3))
    owner = labels.copy()
    pad = [int(np.ceil(reach * crop_spacing / step)) for step in spacing[1:]]
    for number, place in enumerate(placed, start=1):
        cell, paint = cells[place.index], painted[place.index]
        depth, height, width = cell.mask.shape
        size = (depth, height + 2 * pad[0], width + 2 * pad[1])
        corner = (place.corner[0], place.corner[1] - pad[0], place.corner[2] - pad[1])
        box = PlacedCell(index=place.index, corner=corner, placement=place.placement, gap=place.gap, measured_gap=None)
        window, part = visible_part(box, np.broadcast_to(True, size), labels.shape)
        if light[window].size == 0:
            continue
        where = _canonical(cell, pad, size, spacing, crop_spacing, paint.signal.shape[1])
        shown = _planes(paint.signal, where, part, order=3)
        if edge is not None:
            shown = shown * edge(_planes(paint.distance, where, part, order=1) * (crop_spacing / spacing[1]))
        held = _planes(paint.grain, where, part, order=1)
        view = owner[window]
        # What lies inside another cell's outline is not this cell's light.
        shown[(view != number) & (labels[window] != 0)] = 0.0
        light[window] += np.float32(levels[place.index]) * np.maximum(shown, 0)
        # Above and below its body a cell shines out of focus only; that is for the optics.
        beside = ~np.pad(cell.mask.any(axis=0), [(margin, margin) for margin in pad])[part[1:]]
        view[(view == 0) & (shown > FAINT) & beside] = number
        closer = held > extent[window]
        extent[window] = np.where(closer, held, extent[window])
        factor = 1.0 if strength is None else strength[place.index]
        grain[window] = np.where(closer, held * np.float32(factor), grain[window])
    # Light that no cell lays claim to would be taken for a cell by the optics.
    light[owner == 0] = 0.0
    return VolumeLight(light, owner, extent, grain)


def _canonical(
    cell: VolumeCell,
    pad: Sequence[int],
    size: tuple[int, ...],
    spacing: tuple[float, float, float],
    crop_spacing: float,
    side: int,
) -> tuple[Array, Array]:
    """Return the canonical rows and columns of the voxels of a box."""
    rows, columns = (
        (first + (np.arange(count) - margin) * step) / crop_spacing + (side - 1) / 2
        for first, count, margin, step in zip(cell.corner[1:], size[1:], pad, spacing[1:])
    )
    return rows, columns


def _planes(values: FloatArray, where: tuple[Array, Array], part: tuple[slice, ...], *, order: int) -> FloatArray:
    """Return canonical planes on the voxels in `part`, (z, y, x) float32; 0 outside the crop."""
    grid = np.stack(np.meshgrid(where[0][part[1]], where[1][part[2]], indexing="ij"))
    planes = [ndi.map_coordinates(plane, grid, order=order, mode="constant", cval=0.0) for plane in values[part[0]]]
    return np.asarray(np.stack(planes), dtype=np.float32)
