from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.population import (
    Placement,
    PlacementParams,
    PopulationOverrides,
    PopulationStatistics,
    draw_placement,
    fit_population,
    paint_labels,
    place_cells,
)
from cytocascade.population.gaps import cell_outlines, gap_matrix
from cytocascade.types import Array, BoolArray

SHAPE, SPACING = (200, 200), (0.5, 0.5)


def place(
    statistics: PopulationStatistics, masks: list[BoolArray], seed: int = 0, **overrides: object
) -> tuple[PlacementParams, Placement, Array]:
    wanted = PopulationOverrides(**overrides)  # type: ignore[arg-type]
    params = draw_placement(statistics, SHAPE, SPACING, wanted, seed=seed)
    placement = place_cells(masks, SHAPE, params)
    return params, placement, paint_labels(placement.cells, masks, SHAPE)[0]


def final_gaps(labels: Array) -> Array:
    return np.asarray(gap_matrix(cell_outlines(labels, SPACING), SPACING).min(axis=1))


def visible_pixels(placement: Placement, masks: list[BoolArray]) -> int:
    return sum(int((paint_labels([cell], masks, SHAPE)[0] > 0).sum()) for cell in placement.cells)


@pytest.mark.parametrize("count", [20, 120])
def test_cells_do_not_overlap(statistics: PopulationStatistics, masks: list[BoolArray], count: int) -> None:
    _, placement, labels = place(statistics, masks, count=count)
    assert placement.rejected == 0
    assert int((labels > 0).sum()) == visible_pixels(placement, masks)


def test_same_params_give_the_same_placement(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    params, placement, _ = place(statistics, masks, count=40)
    assert place_cells(masks, SHAPE, params) == placement
    assert place_cells(masks, SHAPE, replace(params, seed=params.seed + 1)) != placement


def test_params_from_json_give_the_same_placement(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    params, placement, _ = place(statistics, masks)
    assert place_cells(masks, SHAPE, PlacementParams.from_json(params.to_json())) == placement


def test_exactly_the_drawn_cells_are_cut(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    params, placement, labels = place(statistics, masks, count=60)
    assert any(params.cut)
    assert placement.rejected == 0
    assert cell_outlines(labels, SPACING).cut.sum() == sum(params.cut)
    assert any(min(cell.corner) < 0 for cell in placement.cells)


def test_drawn_gaps_are_met(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    params, _, labels = place(statistics, masks, seed=2, count=30)
    drawn = np.array([np.inf if gap is None else gap for gap in params.gap])
    measured = final_gaps(labels)
    assert (measured == 0).sum() >= (drawn == 0).sum()
    assert np.sort(measured)[len(measured) // 2] <= np.median(drawn) + 0.5


def test_measured_gaps_and_classes_are_those_of_the_painted_field(
    statistics: PopulationStatistics, masks: list[BoolArray]
) -> None:
    params, placement, labels = place(statistics, masks, seed=5, count=50)
    whole = [i for i, cell in enumerate(placement.cells) if not params.cut[i]]
    measured = final_gaps(labels)
    agreed = 0
    for i in whole:
        cell = placement.cells[i]
        if cell.measured_gap is None:
            agreed += measured[i] > statistics.median_diameter - 1
        else:
            agreed += abs(cell.measured_gap - measured[i]) < 0.01
        assert (cell.placement == "touching") == (cell.measured_gap == 0)
    assert agreed >= 0.9 * len(whole)


def test_p_cluster_0_leaves_every_cell_alone(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    _, placement, labels = place(statistics, masks, count=40, p_cluster=0.0)
    assert placement.rejected == 0
    assert (final_gaps(labels) > statistics.cluster_gap).all()
    assert {cell.placement for cell in placement.cells} == {"alone"}


def test_p_cluster_1_leaves_no_cell_alone(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    _, placement, labels = place(statistics, masks, count=40, p_cluster=1.0, touching_rate=0.0)
    assert placement.rejected == 0
    assert (final_gaps(labels) < statistics.cluster_gap).mean() >= 0.97
    assert "alone" not in {cell.placement for cell in placement.cells}


@pytest.mark.parametrize("rate", [0.0, 0.4, 0.9])
def test_a_given_touching_rate_is_reached(
    statistics: PopulationStatistics, masks: list[BoolArray], rate: float
) -> None:
    touching = [
        final_gaps(place(statistics, masks, seed=seed, count=40, touching_rate=rate)[2]) == 0 for seed in range(3)
    ]
    assert np.mean(touching) == pytest.approx(rate, abs=0.06)


def test_islands_gather_touching_cells_among_near_ones(
    statistics: PopulationStatistics, masks: list[BoolArray]
) -> None:
    wanted = {"count": 40, "p_cluster": 1.0, "touching_rate": 0.5, "island_size": 8.0}
    touching, mixed = [], []
    for seed in range(4):
        params, placement, labels = place(statistics, masks, seed=seed, **wanted)
        gaps = final_gaps(labels)
        assert placement.rejected == 0
        assert (gaps < statistics.cluster_gap).mean() >= 0.95
        touching.append((gaps == 0).mean())
        for group in set(params.group):
            kinds = {cell.placement for cell, own in zip(placement.cells, params.group) if own == group}
            mixed.append({"touching", "clustered"} <= kinds)
    assert np.mean(touching) == pytest.approx(0.5, abs=0.12)
    assert np.mean(mixed) > 0.5


def test_overlap_appears_only_if_asked_for(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    wanted = {"count": 40, "p_cluster": 0.8, "max_overlap": 0.3}
    _, without, _ = place(statistics, masks, **wanted)
    _, placement, labels = place(statistics, masks, overlap_rate=1.0, **wanted)
    assert "overlapping" not in {cell.placement for cell in without.cells}
    overlapping = [cell for cell in placement.cells if cell.placement == "overlapping"]
    assert len(overlapping) >= 10
    assert int((labels > 0).sum()) < visible_pixels(placement, masks)


def test_no_cell_is_hidden_by_more_than_allowed(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    _, placement, _ = place(statistics, masks, count=60, p_cluster=1.0, overlap_rate=1.0, max_overlap=0.2)
    labels, cells = paint_labels(placement.cells, masks, SHAPE)
    for label, cell in cells.items():
        alone = (paint_labels([cell], masks, SHAPE)[0] > 0).sum()
        assert alone - (labels == label).sum() <= 0.2 * masks[cell.index].sum()


def test_an_impossible_count_is_reported_as_rejected_cells(
    statistics: PopulationStatistics, masks: list[BoolArray]
) -> None:
    params = draw_placement(statistics, (40, 40), SPACING, PopulationOverrides(count=100), seed=0)
    placement = place_cells(masks, (40, 40), params)
    assert placement.rejected > 50
    assert len(placement.cells) + placement.rejected == 100
    assert len(placement.cells) >= 5


def test_the_largest_rank_gets_the_largest_mask(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    params, placement, _ = place(statistics, masks, count=30)
    areas = [masks[i].sum() for i in range(30)]
    first = placement.cells[int(np.argmax(params.size_rank))]
    assert masks[first.index].sum() == max(areas)


def test_no_cells_and_cells_larger_than_the_field_are_no_error(statistics: PopulationStatistics) -> None:
    none = draw_placement(statistics, SHAPE, SPACING, PopulationOverrides(count=0), seed=0)
    assert place_cells([], SHAPE, none) == Placement([], 0)
    giant = draw_placement(statistics, (20, 20), SPACING, PopulationOverrides(count=2), seed=0)
    placement = place_cells([np.ones((60, 60), dtype=bool)] * 2, (20, 20), giant)
    assert len(placement.cells) + placement.rejected == 2


def test_too_few_or_loose_masks_are_refused(statistics: PopulationStatistics, masks: list[BoolArray]) -> None:
    params = draw_placement(statistics, SHAPE, SPACING, PopulationOverrides(count=5), seed=0)
    with pytest.raises(CytoCascadeError, match="only 3 masks"):
        place_cells(masks[:3], SHAPE, params)
    with pytest.raises(CytoCascadeError, match="mask 0"):
        place_cells([np.pad(mask, 1) for mask in masks], SHAPE, params)


def test_the_same_code_fills_a_volume() -> None:
    z, y, x = np.mgrid[-3:4, -6:7, -6:7]
    ball = (2 * z) ** 2 + y**2 + x**2 <= 36
    ball = ball[1:-1] if not ball[0].any() else ball
    volume = np.zeros((24, 80, 80), dtype=np.uint16)
    corners = [(8, 5, 5), (8, 5, 18), (10, 40, 30), (3, 60, 60), (14, 20, 60)]
    for label, corner in enumerate(corners, start=1):
        box = tuple(slice(a, a + side) for a, side in zip(corner, ball.shape))
        volume[box][ball] = label
    spacing = (2.0, 1.0, 1.0)
    statistics = fit_population([volume], spacing)
    params = draw_placement(statistics, volume.shape, spacing, PopulationOverrides(count=12), seed=0)
    placement = place_cells([ball] * 12, volume.shape, params)
    labels, cells = paint_labels(placement.cells, [ball] * 12, volume.shape)
    assert placement.rejected == 0
    assert len(cells) == 12
    assert labels.ndim == 3
    assert all((labels == label).sum() == ball.sum() for label, cut in enumerate(params.cut, start=1) if not cut)
