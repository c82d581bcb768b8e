from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.population.solids import SPACING, ball_labels, ellipsoid, layer_labels, stack, tissue_labels

from cytocascade.errors import CytoCascadeError
from cytocascade.population import (
    Placement,
    VolumeOverrides,
    VolumeParams,
    draw_volume_placement,
    fit_arrangement,
    paint_labels,
    place_volume,
)
from cytocascade.population.gaps import cell_outlines, gap_matrix
from cytocascade.types import Array, BoolArray

SHAPE = (24, 90, 90)
FITTED = {
    "layer": fit_arrangement([stack(layer_labels()[:, 10:, 10:]), stack(layer_labels(2))]),
    "ball": fit_arrangement([stack(ball_labels())]),
    "volume": fit_arrangement([stack(tissue_labels())]),
}
MASKS = [ellipsoid(5 + i % 3, 5 + i % 4, 6 + i % 2) for i in range(120)]


def place(kind: str, seed: int = 0, masks: list[BoolArray] = MASKS, **wishes: object) -> tuple[VolumeParams, Placement]:
    overrides = VolumeOverrides.model_validate(wishes)
    params = draw_volume_placement(FITTED[kind], None, SHAPE, SPACING, overrides, seed=seed)
    return params, place_volume(masks, SHAPE, params)


def painted(placement: Placement, masks: list[BoolArray] = MASKS) -> Array:
    return paint_labels(placement.cells, masks, SHAPE)[0]


def gaps(labels: Array) -> Array:
    return np.asarray(gap_matrix(cell_outlines(labels, SPACING), SPACING).min(axis=1))


@pytest.mark.parametrize(
    ("kind", "wishes"),
    [
        ("layer", {"count": 25}),
        ("layer", {"count": 18, "overlap_rate": 0.8, "p_cluster": 1.0, "max_overlap": 0.5, "tilt": 4.0}),
        ("ball", {"count": 25, "touching_rate": 1.0, "p_cluster": 1.0}),
        ("volume", {"count": 60}),
        ("volume", {"count": 40, "touching_rate": 0.8, "p_cluster": 0.9}),
    ],
)
def test_no_two_cells_share_a_voxel(kind: str, wishes: dict[str, object]) -> None:
    params, placement = place(kind, **wishes)
    assert len(placement.cells) + placement.rejected == params.count
    assert placement.rejected <= 0.1 * params.count
    alone = sum(int((painted(Placement([cell], 0)) > 0).sum()) for cell in placement.cells)
    assert int((painted(placement) > 0).sum()) == alone


@pytest.mark.parametrize("kind", list(FITTED))
def test_same_params_give_the_same_placement(kind: str) -> None:
    params, placement = place(kind, count=12)
    assert place_volume(MASKS, SHAPE, VolumeParams.from_json(params.to_json())) == placement
    other = replace(params, cells=replace(params.cells, seed=params.cells.seed + 1))
    assert place_volume(MASKS, SHAPE, other) != placement


def test_cells_of_a_layer_rest_on_its_plane() -> None:
    _, placement = place("layer", count=25, substrate=6.0)
    bottoms = np.array([cell.corner[0] for cell in placement.cells])
    assert bottoms.mean() == pytest.approx(6.0, abs=0.3)
    assert 0.2 < bottoms.std() < 1.0


def test_a_tilted_layer_rises_along_its_slope() -> None:
    params, placement = place("layer", count=25, substrate=8.0, tilt=8.0)
    assert params.layer is not None
    middle = np.array(
        [np.array(cell.corner[1:]) + np.array(MASKS[cell.index].shape[1:]) / 2 for cell in placement.cells]
    )
    rise = ((middle - np.array(SHAPE[1:]) / 2) * SPACING[1:]) @ params.layer.slope
    bottoms = np.array([cell.corner[0] for cell in placement.cells])
    assert np.corrcoef(rise, bottoms)[0, 1] > 0.9


def test_the_sides_cut_cells_of_a_layer_but_its_planes_do_not() -> None:
    labels = [painted(place("layer", seed=seed, substrate=0.0)[1]) for seed in range(6)]
    assert any(side.any() for volume in labels for side in (volume[:, 0], volume[:, -1], volume[:, :, 0]))
    tall = [place("layer", seed=seed, substrate=30.0)[1] for seed in range(3)]
    for placement in tall:
        assert all(cell.corner[0] + len(MASKS[cell.index]) <= SHAPE[0] for cell in placement.cells)


def test_cells_of_a_layer_ride_up_only_if_wished() -> None:
    flat = place("layer", count=30, p_cluster=1.0)[1]
    riding = place("layer", count=30, p_cluster=1.0, overlap_rate=1.0, max_overlap=0.5)[1]

    def crowding(placement: Placement) -> float:
        one_by_one = [paint_labels([cell], MASKS, SHAPE)[0].any(axis=0).sum() for cell in placement.cells]
        return float(sum(one_by_one) / (painted(placement) > 0).any(axis=0).sum())

    assert "overlapping" not in {cell.placement for cell in flat.cells}
    assert sum(cell.placement == "overlapping" for cell in riding.cells) > 10
    assert crowding(riding) > 1.05 * crowding(flat)
    assert max(cell.corner[0] for cell in riding.cells) > max(cell.corner[0] for cell in flat.cells)


def test_a_ball_holds_whole_cells_in_its_middle() -> None:
    masks = [ellipsoid(5, 5, 5)] * 20
    params, placement = place("ball", masks=masks, count=20, packing=0.2, touching_rate=0.0, p_cluster=0.0)
    labels = painted(placement, masks)
    assert placement.rejected == 0
    assert not cell_outlines(labels, SPACING).cut.any()
    assert (gaps(labels) > 0).all()
    assert params.ball is not None
    radius = (0.75 * sum(mask.sum() for mask in masks) * np.prod(SPACING) / 0.2 / np.pi) ** (1 / 3)
    centres = cell_outlines(labels, SPACING).centroid
    assert np.linalg.norm(centres - centres.mean(axis=0), axis=1).max() < 1.1 * radius
    assert np.linalg.norm(centres - centres.mean(axis=0), axis=1).mean() > 0.4 * radius


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_cells_of_a_ball_touch_as_often_as_wished(rate: float) -> None:
    touching = [
        (gaps(painted(place("ball", seed=s, count=25, packing=0.2, touching_rate=rate, p_cluster=rate)[1])) == 0).mean()
        for s in range(2)
    ]
    assert np.mean(touching) == pytest.approx(rate, abs=0.15)


def test_all_sides_of_a_tissue_cut_cells() -> None:
    labels = painted(place("volume", count=75)[1])
    for axis in range(3):
        assert np.take(labels, 0, axis=axis).any()
        assert np.take(labels, -1, axis=axis).any()
    whole_in_z = FITTED["volume"].model_copy(update={"cut_z": False})
    params = draw_volume_placement(whole_in_z, None, SHAPE, SPACING, VolumeOverrides(count=60), seed=0)
    labels = painted(place_volume(MASKS, SHAPE, params))
    assert not labels[0].any()
    assert not labels[-1].any()
    assert labels[:, 0].any()


def test_rates_of_a_tissue_are_those_wished() -> None:
    apart = place("volume", count=35, p_cluster=0.0)[1]
    cluster_gap = draw_volume_placement(FITTED["volume"], None, SHAPE, SPACING, seed=0).cells.cluster_gap
    assert (gaps(painted(apart)) > cluster_gap).mean() > 0.95
    touching = gaps(painted(place("volume", count=35, touching_rate=0.6, p_cluster=0.6)[1])) == 0
    assert touching.mean() == pytest.approx(0.6, abs=0.1)


def test_more_cells_than_16_bits_count_are_painted_in_32() -> None:
    one = np.ones((1, 1, 1), dtype=bool)
    cell = place("volume", count=1)[1].cells[0]
    placed = [replace(cell, index=0, corner=(z, y, x)) for z in range(5) for y in range(120) for x in range(120)]
    labels, _ = paint_labels(placed, [one], (5, 120, 120))
    assert labels.dtype == np.uint32
    assert labels.max() == 72_000
    assert len(np.unique(labels)) == 72_000


def test_a_large_volume_is_searched_in_windows_and_filled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cytocascade.population.volume_search._BLOCKS", 300)
    _, placement = place("volume", count=80)
    assert placement.rejected <= 2
    halves = np.array([cell.corner[2] + 5 < SHAPE[2] / 2 for cell in placement.cells])
    assert 0.3 < halves.mean() < 0.7


@pytest.mark.parametrize("kind", list(FITTED))
def test_no_cells_too_few_and_loose_masks(kind: str) -> None:
    assert place(kind, count=0)[1] == Placement([], 0)
    with pytest.raises(CytoCascadeError, match="only 3 masks"):
        place(kind, masks=MASKS[:3], count=5)
    with pytest.raises(CytoCascadeError, match="mask 0"):
        place(kind, masks=[np.pad(mask, 1) for mask in MASKS], count=5)
