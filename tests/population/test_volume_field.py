from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.population.labels import paint_labels
from cytocascade.population.placement import PlacedCell
from cytocascade.population.volume_field import PaintedCell, VolumeCell, VolumeLight, assemble_light
from cytocascade.types import Array, FloatArray

SPACING = (1.0, 0.5, 0.25)
CROP = 0.25
SIDE = 64


def ellipsoid(semi: Sequence[float], *, spacing: Sequence[float] = SPACING) -> tuple[VolumeCell, PaintedCell]:
    """Return an ellipsoid of semi-axes (z, y, x) um, its origin in its middle; its light is 1 inside and fades out."""
    count = [int(side / step) for side, step in zip(semi, spacing)]
    grid = np.ix_(*[np.arange(-n, n + 1) * step for n, step in zip(count, spacing)])
    mask = sum((axis / side) ** 2 for axis, side in zip(grid, semi)) <= 1
    heights = np.arange(-count[0], count[0] + 1) * spacing[0]
    line = (np.arange(SIDE) - (SIDE - 1) / 2) * CROP
    y, x = np.meshgrid(line, line, indexing="ij")
    narrower = np.sqrt(np.maximum(1 - (heights / semi[0]) ** 2, 0.02))
    radius = np.hypot(y / semi[1], x / semi[2])
    distance = np.stack([(part - radius) * min(semi[1:]) / CROP for part in narrower]).astype(np.float32)
    corner = tuple(-n * step for n, step in zip(count, spacing))
    return VolumeCell(mask, corner), PaintedCell(*painted(distance))


def painted(distance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    signal = np.clip((distance + 3) / 3, 0, 1).astype(np.float32)
    return signal, distance, (distance > 0).astype(np.float32)


def at(cell: VolumeCell, centre: Sequence[int], index: int = 0) -> PlacedCell:
    """Place the middle of a cell's box at a voxel."""
    corner = tuple(int(c - side // 2) for c, side in zip(centre, cell.mask.shape))
    return PlacedCell(index=index, corner=corner, placement="alone", gap=None, measured_gap=None)


def assemble(
    placed: list[PlacedCell],
    cells: list[tuple[VolumeCell, PaintedCell]],
    shape: tuple[int, int, int] = (15, 60, 100),
    levels: Sequence[float] | None = None,
    **wishes: Any,
) -> tuple[VolumeLight, Array]:
    labels, _ = paint_labels(placed, [cell.mask for cell, _ in cells], shape)
    light = assemble_light(
        placed,
        [cell for cell, _ in cells],
        {number: paint for number, (_, paint) in enumerate(cells)},
        levels or [100.0] * len(cells),
        labels,
        SPACING,
        CROP,
        **{"reach": 3.0, **wishes},
    )
    return light, labels


BIG = (3.0, 4.0, 4.0)


def test_light_lies_on_the_labels_to_the_voxel_whatever_the_spacing() -> None:
    cell = ellipsoid(BIG)
    light, labels = assemble([at(cell[0], (7, 30, 50))], [cell])
    assert light.light.dtype == np.float32
    assert light.light.shape == labels.shape
    assert light.light[labels > 0].min() > 85
    for axis in (1, 2):
        one = light.light[7]
        assert np.allclose(one, np.flip(np.roll(one, one.shape[axis - 1] % 2 - 1, axis - 1), axis - 1), atol=0.01)
    centre = ndi.center_of_mass(light.light)
    assert centre == pytest.approx((7, 30, 50), abs=0.02)


def test_a_cell_of_an_odd_corner_is_looked_up_relative_to_its_origin() -> None:
    mask, paint = ellipsoid(BIG)
    # Half a row and a quarter column beside the origin: the light must move against the mask.
    moved = VolumeCell(mask.mask, (mask.corner[0], mask.corner[1] + 0.25, mask.corner[2] - 0.125))
    light, _ = assemble([at(moved, (7, 30, 50))], [(moved, paint)], reach=4.0)
    rows, columns = ndi.center_of_mass(light.light[7])
    assert (rows, columns) == pytest.approx((29.5, 50.5), abs=0.1)


def test_cells_shine_beside_their_bodies_and_not_above_or_below() -> None:
    cell = ellipsoid(BIG)
    light, labels = assemble([at(cell[0], (7, 30, 50))], [cell])
    rim = (light.light > 0) & (labels == 0)
    assert rim[7].any()
    # Never farther than the reach: 0.75 um, at most a row and a half, three columns.
    away = ndi.distance_transform_edt(labels[7] == 0, sampling=SPACING[1:])
    assert away[rim[7]].max() <= 1.3
    below = (labels > 0).any(axis=0)
    assert not rim[:, below].any()
    assert not light.light[:4].any()
    assert not light.light[11:].any()


def test_the_owner_is_the_label_inside_and_in_the_rim_and_nothing_shines_without_one() -> None:
    cells = [ellipsoid(BIG), ellipsoid((2.0, 3.0, 3.0))]
    light, labels = assemble([at(cells[0][0], (7, 30, 30)), at(cells[1][0], (7, 30, 70), 1)], cells)
    assert np.array_equal(light.owner[labels > 0], labels[labels > 0])
    assert ((light.owner > 0) & (labels == 0)).any()
    assert not light.light[light.owner == 0].any()
    assert (light.owner[:, :, :50] != 2).all()
    assert (light.owner[:, :, 50:] != 1).all()


def test_light_of_one_cell_is_not_inside_another() -> None:
    cell, dark = ellipsoid(BIG), ellipsoid(BIG)
    # They touch: the bright one's rim would reach into the dark one.
    width = cell[0].mask.shape[2]
    placed = [at(cell[0], (7, 30, 30)), at(dark[0], (7, 30, 30 + width), 1)]
    light, labels = assemble(placed, [cell, dark], levels=[100.0, 0.0])
    assert not light.light[labels == 2].any()
    alone, _ = assemble(placed[:1], [cell, dark], levels=[100.0, 0.0])
    assert alone.light[labels == 2].any()
    assert np.array_equal(light.light[labels == 1], alone.light[labels == 1])


def test_light_of_neighbours_adds_up_between_them() -> None:
    cells = [ellipsoid(BIG), ellipsoid(BIG)]
    width = cells[0][0].mask.shape[2]
    placed = [at(cells[0][0], (7, 30, 30)), at(cells[1][0], (7, 30, 30 + width + 1), 1)]
    light, labels = assemble(placed, cells)
    one, _ = assemble(placed[:1], cells)
    between = (labels == 0) & (one.light > 0) & (light.owner > 0)
    gap = 30 + width // 2 + 1
    assert between[7, 30, gap]
    assert light.light[7, 30, gap] == pytest.approx(2 * one.light[7, 30, gap], rel=1e-5)


def test_each_cell_shines_at_its_own_level() -> None:
    cells = [ellipsoid(BIG), ellipsoid(BIG)]
    placed = [at(cells[1][0], (7, 30, 25), 1), at(cells[0][0], (7, 30, 75), 0)]
    light, labels = assemble(placed, cells, levels=[10.0, 500.0])
    # Levels belong to cells, not to labels.
    assert light.light[labels == 1].max() == pytest.approx(500, rel=0.05)
    assert light.light[labels == 2].max() == pytest.approx(10, rel=0.05)


def test_cells_beyond_the_frame_are_cut() -> None:
    cell = ellipsoid(BIG)
    whole, _ = assemble([at(cell[0], (7, 30, 50))], [cell])
    cut, labels = assemble([at(cell[0], (1, 3, 97))], [cell])
    # The middle moved by (-6, -27, 47).
    assert np.allclose(cut.light[:5, :12, 80:], whole.light[6:11, 27:39, 33:53], atol=1e-4)
    assert (labels > 0).any()


def test_a_cell_wholly_outside_is_left_out() -> None:
    cell = ellipsoid(BIG)
    light, _ = assemble([at(cell[0], (7, 30, 50)), at(cell[0], (7, 30, 300))], [cell])
    alone, _ = assemble([at(cell[0], (7, 30, 50))], [cell])
    assert np.array_equal(light.light, alone.light)


def test_the_edge_factor_sees_distances_in_voxels() -> None:
    cell = ellipsoid(BIG)
    seen: list[FloatArray] = []

    def edge(distance: FloatArray) -> FloatArray:
        seen.append(distance)
        return np.where(distance > 2, np.float32(3.0), np.float32(1.0))

    light, _ = assemble([at(cell[0], (7, 30, 50))], [cell], edge=edge)
    plain, _ = assemble([at(cell[0], (7, 30, 50))], [cell])
    # 4 um deep at most, in rows of half a micrometre.
    assert seen[0].max() == pytest.approx(8, abs=0.5)
    assert light.light[7, 30, 50] == pytest.approx(3 * plain.light[7, 30, 50])
    # A column 3.25 um from the middle, 0.75 um inside: one and a half rows.
    assert light.light[7, 30, 63] == pytest.approx(plain.light[7, 30, 63])


def test_grain_is_as_strong_as_each_cell_has_it_and_extent_is_not() -> None:
    cells = [ellipsoid(BIG), ellipsoid(BIG)]
    placed = [at(cells[0][0], (7, 30, 25)), at(cells[1][0], (7, 30, 75), 1)]
    light, labels = assemble(placed, cells, strength=[0.5, 2.0])
    for label, strength in ((1, 0.5), (2, 2.0)):
        inside = ndi.binary_erosion(labels == label)
        assert light.extent[inside] == pytest.approx(1.0, abs=1e-5)
        assert light.grain[inside] == pytest.approx(strength, abs=1e-5)
    assert light.extent.max() <= 1.0 + 1e-6
    far = ndi.binary_dilation(labels > 0, iterations=5)
    assert not light.extent[~far].any()
    unscaled, _ = assemble(placed, cells)
    assert np.array_equal(unscaled.grain, unscaled.extent)


def test_textures_below_zero_take_no_light_away() -> None:
    cell, paint = ellipsoid(BIG)
    dim = PaintedCell(paint.signal - 2, paint.distance, paint.grain)
    light, _ = assemble([at(cell, (7, 30, 50))], [(cell, dim)])
    assert light.light.min() >= 0
