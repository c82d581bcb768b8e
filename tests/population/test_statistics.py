from __future__ import annotations

import json

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.population import PopulationStatistics, fit_population
from cytocascade.population.statistics import MAX_PAIRS, even_cut_fraction
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
