from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.measure import regionprops

from cytocascade.population.field import Contacts, FieldCell, assemble_signal, nearest_outline, to_field_grid
from cytocascade.population.labels import paint_labels
from cytocascade.population.placement import PlacedCell
from cytocascade.types import FloatArray


def distance(radius: float = 16.0, side: int = 64) -> FloatArray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return (radius - np.hypot(y, x)).astype(np.float32)


def place(index: int, corner: tuple[int, int]) -> PlacedCell:
    return PlacedCell(index=index, corner=corner, placement="alone", gap=None, measured_gap=None)


def cell(scale: tuple[float, float] = (1.0, 1.0), radius: float = 16.0) -> FieldCell:
    found = to_field_grid(distance(radius), scale)
    assert found is not None
    return found


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.5), (1.7, 1.7), (0.4, 0.8)])
def test_resampling_keeps_the_area(scale: tuple[float, float]) -> None:
    area = cell(scale).mask.sum() / (scale[0] * scale[1])
    assert area == pytest.approx(np.pi * 16**2, rel=0.06)


def test_box_of_the_mask_is_tight_and_lies_in_the_box_of_the_crop() -> None:
    found = cell((0.7, 0.7))
    assert all(found.mask.any(axis=axis).all() for axis in (0, 1))
    assert found.coordinates.shape == (2, *found.size)
    for offset, extent, size in zip(found.offset, found.mask.shape, found.size):
        assert 0 <= offset <= offset + extent <= size


def test_cell_is_centred_in_its_box() -> None:
    found = cell((0.7, 0.7))
    for offset, extent, size in zip(found.offset, found.mask.shape, found.size):
        assert offset + extent / 2 == pytest.approx(size / 2)


def test_empty_mask_is_none() -> None:
    assert to_field_grid(distance(-1.0), (1.0, 1.0)) is None


def test_specks_are_dropped_and_the_cell_is_kept() -> None:
    both = distance(12.0)
    both[3, 3] = 1.0
    found = to_field_grid(both, (1.0, 1.0))
    assert found is not None
    assert np.array_equal(found.mask, cell(radius=12.0).mask)


def assemble(
    placed: list[PlacedCell], light: FloatArray, level: list[float], *, owner: bool = False
) -> tuple[FloatArray, FloatArray]:
    cells = [cell() for _ in level]
    labels, _ = paint_labels(placed, [c.mask for c in cells], (80, 120))
    reach = np.repeat(np.clip(distance() / 4 + 1, 0, 1)[None], len(level), axis=0)
    total, extent, _ = assemble_signal(placed, cells, light, reach, level, (80, 120), owner=labels if owner else None)
    return total, extent


def rimmed(count: int = 1) -> FloatArray:
    """Return the relative signal of `count` cells that are 1 inside and 0.2 up to four pixels outside."""
    d = distance()
    return np.stack([np.where(d > 0, 1.0, np.where(d > -4, 0.2, 0.0)).astype(np.float32)] * count)


def test_cell_shines_where_its_mask_was_placed() -> None:
    placed = [place(0, (20, 30))]
    light, reach = assemble(placed, rimmed(), [50.0])
    labels, _ = paint_labels(placed, [cell().mask], (80, 120))
    inside = labels == 1
    # Cubic interpolation on the same grid returns the pixels themselves.
    assert np.allclose(light[inside], 50, atol=1e-3)
    assert np.allclose(reach[inside], 1)
    assert light.sum() == pytest.approx(50 * rimmed().sum(), rel=1e-4)
    assert light.dtype == np.float32
    assert light[:14].max() == pytest.approx(0, abs=1e-4)


def test_light_of_neighbours_adds_up() -> None:
    placed = [place(0, (20, 20)), place(1, (20, 50))]
    both, reach = assemble(placed, rimmed(2), [50.0, 30.0])
    first, _ = assemble(placed[:1], rimmed(2), [50.0, 30.0])
    second, _ = assemble(placed[1:], rimmed(2), [50.0, 30.0])
    assert ((first > 1) & (second > 1)).any()
    assert np.allclose(both, first + second, atol=1e-4)
    assert reach.max() <= 1


def test_every_cell_is_as_grainy_as_it_is() -> None:
    placed = [place(0, (20, 20)), place(1, (20, 80))]
    reach = np.repeat(np.clip(distance() / 4 + 1, 0, 1)[None], 2, axis=0)
    cells, light = [cell(), cell()], rimmed(2)
    _, extent, strength = assemble_signal(placed, cells, light, reach, [1.0, 1.0], (80, 120), strength=[0.5, 2.0])
    labels, _ = paint_labels(placed, [c.mask for c in cells], (80, 120))
    assert (strength[labels == 1] == 0.5).all()
    assert (strength[labels == 2] == 2.0).all()
    assert (strength[extent == 0] == 0).all()


def test_cells_replace_each_other_in_phase_contrast() -> None:
    placed = [place(0, (20, 20)), place(1, (20, 50))]
    light, _ = assemble(placed, rimmed(2), [50.0, 30.0], owner=True)
    labels, _ = paint_labels(placed, [cell().mask] * 2, (80, 120))
    for number, level in ((1, 50), (2, 30)):
        other = ndi.binary_dilation(labels == 3 - number, iterations=7)
        assert np.allclose(light[(labels == number) & ~other], level, atol=0.05)
    assert light.max() < 60


def test_rim_and_halo_lie_along_the_outline_that_is_seen_and_add_up() -> None:
    placed, cells = [place(0, (20, 20)), place(1, (20, 46))], [cell(), cell()]
    labels, owner_of = paint_labels(placed, [c.mask for c in cells], (80, 120))
    order = [owner_of[label] for label in sorted(owner_of)]
    ring = np.stack([np.exp(-((distance() / 2) ** 2))] * 2)
    light, _, _ = assemble_signal(order, cells, ring, ring, [1.0, 1.0], (80, 120), owner=labels, halos_add=True)
    row = slice(35, 37)
    border = 20 + int(np.argmax(labels[35, 20:80] != labels[35, 36]))
    assert labels[35, border - 1] != labels[35, border] > 0
    # Rim of one and halo of the other, from both sides, to a pixel.
    assert light[row, border - 1 : border + 1].min() > 1.4
    assert light[row, border - 1 : border + 1].max() > 1.8
    # The hidden outline, six pixels beyond the border, is not seen.
    hidden = 46 if labels[35, 46] == labels[35, 30] else 52
    assert abs(hidden - border) > 3
    assert light[row, hidden - 1 : hidden + 1].max() < 0.35
    # Away from the other cell all is as if it were alone.
    alone, _, _ = assemble_signal(order[:1], cells, ring, ring, [1.0], (80, 120), owner=labels == 1, halos_add=True)
    assert np.allclose(light[:, :26], alone[:, :26], atol=1e-6)


def test_cells_of_which_a_row_is_left_in_the_field_can_be_pressed() -> None:
    # Each half hidden, in a field of one row; and a cell of which nothing is seen does not shine through.
    placed, cells = [place(0, (-15, 20)), place(1, (-15, 46)), place(0, (-15, 22))], [cell(), cell()]
    ring = np.stack([np.exp(-((distance() / 2) ** 2))] * 2)
    labels = np.where(np.arange(120) < 49, 1, 2)[None] * np.array([(20 <= x < 78) for x in range(120)])
    both, _, _ = assemble_signal(placed[:2], cells, ring, ring, [1.0, 1.0], (1, 120), owner=labels, halos_add=True)
    assert both[0, 48:50].min() > 1.4
    three, _, _ = assemble_signal(placed, cells, ring, ring, [1.0] * 3, (1, 120), owner=labels, halos_add=True)
    assert np.allclose(three[0, 26:44], both[0, 26:44], atol=0.01)


def pressed_pair() -> tuple[list[PlacedCell], list[FieldCell], Contacts]:
    placed, cells = [place(0, (20, 20)), place(1, (20, 46))], [cell(), cell()]
    return placed, cells, Contacts.of(placed, cells, (80, 120))


def test_pressed_cells_do_not_shine_through_each_other_but_their_rims_do() -> None:
    placed, cells, contacts = pressed_pair()
    reach = np.repeat(np.clip(distance() / 4 + 1, 0, 1)[None], 2, axis=0)
    labels, _ = paint_labels(placed, [c.mask for c in cells], (80, 120))
    level = [50.0, 30.0]
    added, _, _ = assemble_signal(placed, cells, rimmed(2), reach, level, (80, 120))
    pressed, _, _ = assemble_signal(placed, cells, rimmed(2), reach, level, (80, 120), pressed=contacts)
    both = added > 75
    assert both.sum() > 50
    assert added[both].mean() > 78
    assert pressed[both].mean() < 60
    lonely = (labels == 0) & (added > 0)
    assert np.allclose(pressed[lonely], added[lonely], atol=3.0)


def test_pressed_cells_meet_halfway_between_their_outlines() -> None:
    placed, cells, contacts = pressed_pair()
    masks = [c.mask for c in cells]
    labels, _ = paint_labels(placed, masks, (80, 120), owner=contacts.owner)
    first = (labels == 1).sum()
    assert abs(int(first) - int((labels == 2).sum())) <= 40
    both = paint_labels(placed[:1], masks, (80, 120))[0].astype(bool) & paint_labels(placed[1:], masks, (80, 120))[0]
    assert both.sum() > 50
    assert (labels[both] == contacts.owner[both]).all()
    rows, columns = np.nonzero(both)
    middle = int(rows.mean())
    border = np.flatnonzero(np.diff(labels[middle, columns.min() : columns.max() + 1].astype(int)))
    assert border.tolist() == pytest.approx([(np.ptp(columns)) / 2], abs=1)


def test_the_light_passes_from_one_pressed_cell_to_the_other_over_the_width_of_the_border() -> None:
    x = np.arange(41, dtype=np.float32)[None]
    one, other = 30 - x, x - 10
    everywhere = (slice(None), slice(None))
    widths = []
    for blur in (1.0, 3.0):
        owner = np.where(one > other, 1, 2)
        contacts = Contacts(owner, np.maximum(one, other), np.minimum(one, other), blur)
        first, second = contacts.share(1, everywhere, one)[0], contacts.share(2, everywhere, other)[0]
        assert first[20] == pytest.approx(0.5, abs=1e-3)
        assert np.allclose((first + second)[16:25], 1.0, atol=0.05)
        assert first[5] == pytest.approx(1.0, abs=1e-3)
        assert second[35] == pytest.approx(1.0, abs=1e-3)
        widths.append(((first > 0.16) & (first < 0.84)).sum())
    assert widths[1] >= 2.5 * widths[0]


def test_seams_run_where_outlines_overlap_only() -> None:
    placed, cells, contacts = pressed_pair()
    factor = contacts.seams(-0.25, reach=20.0)
    deep = np.unravel_index(np.argmax(np.minimum(contacts.deepest, contacts.second)), factor.shape)
    assert 0.4 < factor[deep] < 0.95
    assert (np.abs(factor - 1) > 0.01).sum() < 0.1 * factor.size
    assert (factor[contacts.second < -5] == 1).all()
    assert np.array_equal(factor, contacts.seams(-0.25, reach=20.0))
    assert not np.array_equal(factor, contacts.seams(-0.25, reach=20.0, seed=1))
    lonely = Contacts.of(placed[:1], cells, (80, 120))
    assert np.array_equal(lonely.seams(-0.25), np.ones(factor.shape, np.float32))


@pytest.mark.parametrize("corner", [(-10, 40), (60, 40), (20, -12), (20, 100), (-9, -9)])
def test_cell_cut_by_the_frame_keeps_its_visible_part(corner: tuple[int, int]) -> None:
    light, _ = assemble([place(0, corner)], rimmed(), [50.0])
    labels, _ = paint_labels([place(0, corner)], [cell().mask], (80, 120))
    assert 0 < (labels == 1).sum() < cell().mask.sum()
    assert np.allclose(light[labels == 1], 50, atol=1e-3)
    assert light.shape == (80, 120)


def test_cell_outside_of_the_frame_is_dark() -> None:
    light, reach = assemble([place(0, (300, 300))], rimmed(), [50.0])
    assert not light.any()
    assert not reach.any()


def test_no_cells_are_no_light() -> None:
    light, reach = assemble([], np.zeros((0, 64, 64), np.float32), [])
    assert not light.any()
    assert not reach.any()


def _ellipse_distance() -> np.ndarray:
    y, x = np.mgrid[:64, :64] - 31.5
    return (18 * (1 - np.sqrt((y / 18) ** 2 + (x / 12) ** 2))).astype(np.float32)


def _solidity(roughness: float, seed: int = 3) -> float:
    cell = to_field_grid(_ellipse_distance(), (2.0, 2.0), roughness=roughness, seed=seed)
    assert cell is not None
    return float(regionprops(cell.mask.astype(np.uint8))[0].solidity)


def test_rough_outlines_are_less_solid_and_keep_their_area() -> None:
    typical = [np.mean([_solidity(roughness, seed) for seed in range(8)]) for roughness in (2.5, 1.2, 0.0)]
    assert typical == sorted(typical)
    assert typical[0] < typical[-1] - 0.005
    smooth, rough = (to_field_grid(_ellipse_distance(), (2.0, 2.0), roughness=r, seed=1) for r in (0.0, 0.5))
    assert smooth is not None
    assert rough is not None
    assert rough.mask.sum() == pytest.approx(smooth.mask.sum(), rel=0.03)


@pytest.mark.parametrize("wished", [0.90, 0.96, 1.0])
def test_nearest_outline_comes_nearer_to_the_wished_solidity(wished: float) -> None:
    typical = _solidity(0.3)
    found = nearest_outline(_ellipse_distance(), (2.0, 2.0), wished, roughness=0.3, seed=3)
    assert found is not None
    assert abs(regionprops(found.mask.astype(np.uint8))[0].solidity - wished) <= abs(typical - wished)
    if wished < typical:
        assert regionprops(found.mask.astype(np.uint8))[0].solidity < typical


def test_smoothed_outline_may_be_left_as_it_was_drawn() -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    dented = np.minimum(_ellipse_distance(), np.maximum(np.abs(y) - 1.2, 4 - x)).astype(np.float32)
    wished = regionprops((dented > 0).astype(np.uint8))[0].solidity
    smooth = to_field_grid(dented, (1.0, 1.0), roughness=-1.5)
    found = nearest_outline(dented, (1.0, 1.0), wished, roughness=-1.5)
    assert smooth is not None
    assert found is not None
    errors = [abs(regionprops(c.mask.astype(np.uint8))[0].solidity - wished) for c in (smooth, found)]
    assert errors[1] < 0.5 * errors[0]


def test_nothing_has_no_outline() -> None:
    assert nearest_outline(np.full((64, 64), -3, dtype=np.float32), (1.0, 1.0), 0.9) is None


def test_rough_outline_depends_on_its_seed_only() -> None:
    first, again, other = (to_field_grid(_ellipse_distance(), (2.0, 2.0), roughness=0.5, seed=s) for s in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first.mask, again.mask)
    assert first.mask.shape != other.mask.shape or not np.array_equal(first.mask, other.mask)


@pytest.mark.parametrize("roughness", [-3.0, -1.0, 0.0, 0.8])
@pytest.mark.parametrize("scale", [0.2, 1.0, 2.0])
def test_a_speck_is_never_lost(scale: float, roughness: float) -> None:
    for seed in range(5):
        cell = to_field_grid(distance(0.8), (scale, scale), roughness=roughness, seed=seed)
        assert cell is not None
        assert cell.mask.any()


@pytest.mark.parametrize("roughness", [1.5, -2.0])
def test_light_ends_where_a_wavering_or_smoothed_outline_does(roughness: float) -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    dented = np.minimum(_ellipse_distance(), np.maximum(np.abs(y) - 2.5, 4 - x)).astype(np.float32)
    canonical = (dented > 0).astype(np.float32)

    def mismatch(roughness: float) -> float:
        found = to_field_grid(dented, (2.0, 2.0), roughness=roughness, seed=4)
        assert found is not None
        lit = ndi.map_coordinates(canonical, found.coordinates, order=1) > 0.5
        mask = np.zeros(found.size, dtype=bool)
        mask[tuple(slice(start, start + side) for start, side in zip(found.offset, found.mask.shape))] = found.mask
        assert np.array_equal(mask, found.depth > 0)
        return float((lit ^ mask).sum() / mask.sum())

    straight = to_field_grid(dented, (2.0, 2.0))
    moved = to_field_grid(dented, (2.0, 2.0), roughness=roughness, seed=4)
    assert straight is not None
    assert moved is not None
    away = np.abs((straight.depth > 0).astype(int) - (moved.depth > 0)).sum() / straight.mask.sum()
    assert away > 0.03
    assert mismatch(roughness) < max(0.4 * away, 1.5 * mismatch(0.0))


def test_wavering_makes_dents_and_no_crinkles() -> None:
    smooth, rough = (to_field_grid(_ellipse_distance(), (2.0, 2.0), roughness=r, seed=2) for r in (0.0, 1.5))
    assert smooth is not None
    assert rough is not None
    moved = (rough.depth - smooth.depth)[40:90, 40:90]
    step = np.diff(moved, axis=0)
    assert moved.std() > 0.7
    assert step.std() < 0.2 * moved.std()


@pytest.mark.parametrize("roughness", [0.0, 0.4, -0.6])
@pytest.mark.parametrize("scale", [(3.0, 3.0), (0.8, 0.8)])
def test_finer_samples_of_a_mask_give_the_same_cell(roughness: float, scale: tuple[float, float]) -> None:
    y, x = (np.mgrid[:128, :128] - 63.5) / 2
    fine = (16.0 - np.hypot(y, x)).astype(np.float32)
    wanted = to_field_grid(distance(16.0), scale, roughness=roughness, seed=2)
    found = to_field_grid(fine, scale, roughness=roughness, seed=2, fineness=2)
    assert wanted is not None
    assert found is not None
    assert found.size == wanted.size
    # At its very middle and at the crop's border coarse samples tell less.
    near = np.abs(wanted.depth) < 12 * scale[0]
    assert np.abs(found.depth - wanted.depth)[near].max() < 0.1 * scale[0]
    # Where its light is among the samples: twice as far from the middle.
    middle, finer = 31.5, 63.5
    apart = (found.coordinates - finer) - 2 * (wanted.coordinates - middle)
    assert np.abs(apart)[:, near].max() < 0.4
