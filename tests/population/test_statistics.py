from __future__ import annotations

import json

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.population import PopulationStatistics, fit_population
from cytocascade.population.statistics import MAX_PAIRS, SMALLEST_CUT, even_cut_fraction, smallest_cut
from cytocascade.types import Array

from .conftest import draw_discs


def test_counts_densities_and_cut_cells_are_those_of_the_images(
    statistics: PopulationStatistics, real_like: list[Array]
) -> None:
    assert [image.visible for image in statistics.images] == [len(np.unique(f)) - 1 for f in real_like]
    assert statistics.images[0].frame == (100.0, 100.0)
    assert statistics.images[0].density == pytest.approx(statistics.images[0].visible / 1e4)
    assert 0.1 < statistics.cut_fraction < 0.3
    assert statistics.median_diameter == pytest.approx(6.0, rel=0.1)


def test_touching_and_clustered_fractions_are_measured() -> None:
    field = draw_discs((150, 150), [(30, 30), (30, 43), (80, 30), (80, 45), (120, 120), (40, 110)], 12)
    statistics = fit_population([field], (1.0, 1.0))
    assert statistics.touching_rate == pytest.approx(2 / 6)
    assert statistics.p_cluster == pytest.approx(4 / 6)
    assert statistics.cluster_sizes == [2, 2]
    assert statistics.touching_sizes == [2]


def test_statistics_survive_json_and_hold_no_nan(statistics: PopulationStatistics) -> None:
    text = statistics.model_dump_json()
    assert PopulationStatistics.model_validate_json(text) == statistics
    json.dumps(json.loads(text), allow_nan=False)


def test_same_seed_gives_the_same_statistics(real_like: list[Array]) -> None:
    first = fit_population(real_like, (0.5, 0.5), seed=3)
    assert first == fit_population(real_like, (0.5, 0.5), seed=3)
    assert first != fit_population(real_like, (0.5, 0.5), seed=4)


def test_the_pairs_are_capped_and_evenly_shared(statistics: PopulationStatistics) -> None:
    lengths = [len(image.gap) for image in statistics.images]
    assert sum(lengths) <= MAX_PAIRS
    assert max(lengths) - min(lengths) <= 1
    for image in statistics.images:
        assert len(image.visited) == len(image.size_rank) == len(image.distance) == len(image.gap)


def test_gaps_shrink_while_the_field_fills(statistics: PopulationStatistics) -> None:
    visited = np.concatenate([image.visited for image in statistics.images])
    gap = np.concatenate([image.gap for image in statistics.images])
    assert np.median(gap[visited < 0.3]) > 1.5 * np.median(gap[visited > 0.7])


def test_sparse_labels_take_the_density_of_the_annotated_part() -> None:
    rng = np.random.default_rng(0)
    centres = [(int(y), int(x)) for y, x in rng.integers(10, 90, (20, 2))]
    field = draw_discs((400, 400), centres, 10)
    whole = fit_population([field], (1.0, 1.0)).images[0]
    sparse = fit_population([field], (1.0, 1.0), sparse=True).images[0]
    assert sparse.density > 5 * whole.density
    assert sparse.labelled_density == whole.density


def test_images_without_cells_are_left_out(real_like: list[Array]) -> None:
    statistics = fit_population([*real_like, np.zeros((200, 200), dtype=np.uint16)], (0.5, 0.5))
    assert len(statistics.images) == len(real_like)


@pytest.mark.parametrize("centres", [[], [(20, 20)]])
def test_fewer_than_two_cells_are_refused(centres: list[tuple[int, int]]) -> None:
    with pytest.raises(CytoCascadeError, match="two cells"):
        fit_population([draw_discs((50, 50), centres, 8)], (1.0, 1.0))


def test_even_cut_fraction_is_that_of_boxes_thrown_at_random() -> None:
    corner = np.random.default_rng(0).uniform(-10, 100, (20000, 2))
    inside = ((corner > 0) & (corner < 90)).all(axis=1)
    assert even_cut_fraction((100, 100), (10, 10)) == pytest.approx(1 - inside.mean(), abs=0.01)


def _visible_parts(count: int, limit: float, seed: int) -> np.ndarray:
    """Return the visible parts of discs that a straight frame cuts at evenly spread heights, those below out."""
    height = np.random.default_rng(seed).random(4 * count + 50)
    angle = 2 * np.arccos(1 - 2 * height)
    parts = (angle - np.sin(angle)) / (2 * np.pi)
    return parts[parts >= limit][:count]


@pytest.mark.parametrize("count", [3, 6, 20, 400])
def test_evenly_cut_cells_show_no_limit_however_few_they_are(count: int) -> None:
    found = [smallest_cut(_visible_parts(count, 0.0, seed)) for seed in range(40)]
    assert np.median(found) == pytest.approx(SMALLEST_CUT, abs=0.01)


def test_cells_that_are_annotated_only_when_half_seen_show_their_limit() -> None:
    found = [smallest_cut(_visible_parts(200, 0.3, seed)) for seed in range(20)]
    assert np.median(found) == pytest.approx(0.3, abs=0.03)


def _field(cut: bool, rows: int = 6) -> np.ndarray:
    """Return discs on a grid, the outer ones cut by the frame or not there at all."""
    labels = np.zeros((20 * rows, 20 * rows), dtype=np.uint16)
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    number = 0
    for row in range(rows + 1) if cut else range(1, rows):
        for column in range(rows + 1) if cut else range(1, rows):
            number += 1
            labels[np.hypot(y - 20 * row, x - 20 * column) < 7.5] = number
    return labels


def test_only_an_unlikely_number_of_cut_cells_tells_that_the_spread_is_not_even() -> None:
    even = fit_population([_field(cut=False, rows=3)], (1.0, 1.0))
    assert even.cut_fraction == 0
    assert even.cut_factor > 0.5
    never = fit_population([_field(cut=False, rows=9)], (1.0, 1.0))
    assert never.cut_factor == 0
    assert fit_population([_field(cut=True)], (1.0, 1.0)).cut_factor > 1
