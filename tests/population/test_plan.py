from __future__ import annotations

import json

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.population import PlacementParams, PopulationOverrides, PopulationStatistics, draw_placement
from cytocascade.population.statistics import even_cut_fraction

SHAPE, SPACING = (200, 200), (0.5, 0.5)


def draw(statistics: PopulationStatistics, seed: int = 0, **overrides: object) -> PlacementParams:
    return draw_placement(statistics, SHAPE, SPACING, PopulationOverrides(**overrides), seed=seed)  # type: ignore[arg-type]


def test_same_seed_and_keys_draw_the_same_and_others_do_not(statistics: PopulationStatistics) -> None:
    first = draw_placement(statistics, SHAPE, SPACING, seed=1, keys=("sample", 2))
    assert first == draw_placement(statistics, SHAPE, SPACING, seed=1, keys=("sample", 2))
    assert first != draw_placement(statistics, SHAPE, SPACING, seed=1, keys=("sample", 3))


@pytest.mark.parametrize(
    "overrides", [{}, {"p_cluster": 0.5, "touching_rate": 0.2, "overlap_rate": 0.5, "island_size": 4}]
)
def test_params_survive_json(statistics: PopulationStatistics, overrides: dict[str, float]) -> None:
    params = draw(statistics, **overrides)
    text = json.dumps(params.to_json(), allow_nan=False)
    assert PlacementParams.from_json(json.loads(text)) == params


def test_drawn_counts_follow_the_densities_and_the_size_of_the_frame(
    statistics: PopulationStatistics,
) -> None:
    real = np.mean([image.visible for image in statistics.images])
    same = [draw(statistics, seed=i).count for i in range(60)]
    large = [draw_placement(statistics, (400, 400), SPACING, seed=i).count for i in range(60)]
    assert np.mean(same) == pytest.approx(real, rel=0.1)
    assert len(set(same)) > 3
    assert np.mean(large) == pytest.approx(4 * real, rel=0.1)


def test_a_small_window_of_a_field_varies_more(statistics: PopulationStatistics) -> None:
    small = [draw_placement(statistics, (80, 80), SPACING, seed=i).count for i in range(80)]
    same = [draw(statistics, seed=i).count for i in range(80)]
    assert np.std(small) / np.mean(small) > 1.5 * np.std(same) / np.mean(same)


def test_a_given_count_or_range_is_kept(statistics: PopulationStatistics) -> None:
    assert draw(statistics, count=33).count == 33
    assert draw(statistics, count=0).count == 0
    drawn = {draw(statistics, seed=i, count=(5, 8)).count for i in range(40)}
    assert drawn == {5, 6, 7, 8}


def test_cells_are_cut_at_the_fitted_rate(statistics: PopulationStatistics) -> None:
    cut = np.concatenate([draw(statistics, seed=i).cut for i in range(60)])
    even = even_cut_fraction(statistics.images[0].frame, statistics.mean_extent)
    assert cut.mean() == pytest.approx(statistics.cut_factor * even, abs=0.04)
    assert abs(cut.mean() - even) < abs(statistics.cut_fraction - even)


def test_denser_fields_have_smaller_gaps(statistics: PopulationStatistics) -> None:
    def median(count: int) -> float:
        params = [draw(statistics, seed=i, count=count) for i in range(10)]
        return float(np.median([gap for one in params for gap in one.gap if gap is not None]))

    assert median(15) > 1.3 * median(60)


@pytest.mark.parametrize("mean", [2.0, 4.0, 9.0])
def test_islands_are_as_large_as_wished_and_hold_touching_and_near_cells(
    statistics: PopulationStatistics, mean: float
) -> None:
    params = draw(statistics, count=3000, p_cluster=0.8, touching_rate=0.4, island_size=mean)
    sizes = np.bincount(params.group)
    assert sizes[sizes > 1].sum() == 2400
    assert sizes[sizes > 1].mean() == pytest.approx(mean, rel=0.1)
    joined = np.array([gap for gap in params.gap if gap is not None])
    touches = np.array([gap == 0 for gap in joined])
    assert touches.mean() == pytest.approx(1 - np.sqrt(0.5), abs=0.04)
    assert np.all(joined < statistics.cluster_gap)


def test_islands_without_cells_close_by_are_lone_cells(statistics: PopulationStatistics) -> None:
    params = draw(statistics, count=20, p_cluster=0.0, touching_rate=0.0, island_size=5)
    assert np.bincount(params.group).max() == 1
    assert set(params.gap) == {None}


def test_contradicting_overrides_are_refused(statistics: PopulationStatistics) -> None:
    with pytest.raises(CytoCascadeError, match="exceeds"):
        draw(statistics, p_cluster=0.2, touching_rate=0.5)
    with pytest.raises(CytoCascadeError, match="no range"):
        draw(statistics, count=(9, 3))
    with pytest.raises(CytoCascadeError, match="0 or more"):
        draw(statistics, count=-1)


def test_statistics_of_another_dimension_are_refused(statistics: PopulationStatistics) -> None:
    with pytest.raises(CytoCascadeError, match="2D"):
        draw_placement(statistics, (20, 50, 50), (1.0, 1.0, 1.0), seed=0)
