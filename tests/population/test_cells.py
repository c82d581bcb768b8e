from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cytocascade.images.descriptors import canonical_area
from cytocascade.population.cells import CellStatistics

NAMES = ("log_area", "eccentricity", "brightness")


@pytest.fixture
def rows() -> np.ndarray:
    """Three descriptors of 400 cells; the last follows the first."""
    rng = np.random.default_rng(0)
    size = rng.normal(0.3, 0.8, 400)
    return np.stack([size, rng.normal(-1, 0.5, 400), 0.7 * size + rng.normal(0, 0.3, 400)], axis=1)


def draw(statistics: CellStatistics, count: int = 8000, seed: int = 0, **options: float) -> np.ndarray:
    return statistics.draw(count, np.random.default_rng(seed), **options)


def test_drawn_cells_have_mean_and_spread_of_the_real_ones(rows: np.ndarray) -> None:
    drawn = draw(CellStatistics.fit(NAMES, rows))
    assert drawn.dtype == np.float32
    assert np.allclose(drawn.mean(axis=0), rows.mean(axis=0), atol=0.03)
    assert np.allclose(drawn.std(axis=0), rows.std(axis=0), rtol=0.04)


def test_drawn_cells_keep_the_correlations(rows: np.ndarray) -> None:
    drawn = draw(CellStatistics.fit(NAMES, rows))
    assert np.allclose(np.corrcoef(drawn.T), np.corrcoef(rows.T), atol=0.06)


def test_cells_that_reach_beyond_the_real_ones_keep_the_correlations_too() -> None:
    rng = np.random.default_rng(3)
    size = rng.normal(0, 0.5, 60)
    rows = np.stack([size, rng.normal(0, 1, 60), -0.9 * size + rng.normal(0, 0.15, 60)], axis=1)
    drawn = draw(CellStatistics.fit(NAMES, rows), reach=1.0)
    assert abs(np.corrcoef(drawn.T) - np.corrcoef(rows.T)).max() < 0.12
    assert (drawn.std(axis=0) > 1.1 * rows.std(axis=0)).all()


def test_drawn_cells_are_new(rows: np.ndarray) -> None:
    statistics = CellStatistics.fit(NAMES, rows)
    drawn = draw(statistics, 100)
    real = np.asarray(statistics.rows, dtype=np.float32)
    assert not (drawn[:, None] == real[None]).all(axis=2).any()


def test_without_smoothing_real_cells_come_back(rows: np.ndarray) -> None:
    statistics = CellStatistics.fit(NAMES, rows).model_copy(update={"bandwidth": 0.0})
    real = np.asarray(statistics.rows, dtype=np.float32)
    drawn = draw(statistics, 50)
    assert all(np.abs(real - row).max(axis=1).min() < 1e-5 for row in drawn)


def test_no_cell_leaves_the_range_of_the_real_ones(rows: np.ndarray) -> None:
    statistics = CellStatistics.fit(NAMES, rows).model_copy(update={"bandwidth": 5.0})
    drawn, real = draw(statistics), np.asarray(statistics.rows)
    assert (drawn >= real.min(axis=0) - 1e-5).all()
    assert (drawn <= real.max(axis=0) + 1e-5).all()


def test_same_generator_draws_the_same_cells(rows: np.ndarray) -> None:
    statistics = CellStatistics.fit(NAMES, rows)
    assert np.array_equal(draw(statistics, 9, seed=1), draw(statistics, 9, seed=1))
    assert not np.array_equal(draw(statistics, 9, seed=1), draw(statistics, 9, seed=2))


def test_area_scale_is_a_factor_on_the_area(rows: np.ndarray) -> None:
    statistics = CellStatistics.fit(NAMES, rows)
    plain, scaled = draw(statistics, 20), draw(statistics, 20, area_scale=1.5)
    assert np.allclose(np.exp((scaled - plain)[:, 0] / 2), 1.5, rtol=1e-4)
    assert np.array_equal(plain[:, 1:], scaled[:, 1:])


def test_no_cells_can_be_drawn(rows: np.ndarray) -> None:
    assert draw(CellStatistics.fit(NAMES, rows), 0).shape == (0, 3)


def test_one_real_cell_is_enough() -> None:
    drawn = draw(CellStatistics.fit(NAMES, np.ones((1, 3))), 4)
    assert np.allclose(drawn, 1)


def test_many_cells_are_thinned_evenly() -> None:
    statistics = CellStatistics.fit(NAMES, np.arange(30_000).reshape(10_000, 3), most=100)
    assert len(statistics.rows) == 100
    assert statistics.rows[0] == [0, 1, 2]
    assert statistics.rows[-1] == [29_997, 29_998, 29_999]


def test_statistics_survive_json(rows: np.ndarray) -> None:
    statistics = CellStatistics.fit(NAMES, rows)
    assert CellStatistics.model_validate_json(statistics.model_dump_json()) == statistics


@pytest.mark.parametrize("wrong", [{"rows": []}, {"bandwidth": -1}, {"median": 3}])
def test_impossible_statistics_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CellStatistics.model_validate({"names": NAMES, "rows": [[1, 2, 3]], **wrong})


def test_the_prior_adds_no_cells_that_these_images_cannot_show() -> None:
    generator = np.random.default_rng(0)
    base = generator.standard_normal((400, len(NAMES)))
    base[:, 0] *= 3.0
    rows = 0.1 * generator.standard_normal((10, len(NAMES)))
    known = CellStatistics.fit(NAMES, rows, base=CellStatistics.fit(NAMES, base), least_area=100.0)
    smallest = canonical_area(draw(known, 2000, reach=1.0)[:, 0]).min()
    assert 100.0 <= smallest < 130.0


def test_every_data_set_of_a_base_becomes_a_prior_around_the_usual_cell() -> None:
    generator = np.random.default_rng(0)
    others = generator.standard_normal((200, len(NAMES))) + 5.0
    others[:30, 0] -= 8.0
    base = CellStatistics.fit(NAMES, generator.standard_normal((100, len(NAMES))) - 2.0).with_prior(others)
    rows = 0.1 * generator.standard_normal((10, len(NAMES)))
    prior = np.asarray(CellStatistics.fit(NAMES, rows, base=base).prior)
    assert len(prior) == 300
    for part in (prior[:100], prior[100:]):
        assert np.median(part, axis=0) == pytest.approx(np.median(rows, axis=0), abs=1e-3)
    assert (prior[:, 0] < -4.0).sum() >= 30


def test_a_prior_counts_as_many_cells_as_it_is_worth() -> None:
    rows = np.zeros((10, len(NAMES)))
    base = CellStatistics.fit(NAMES, np.tile([[0.0, 0.0, 0.0], [-4.0, 0.0, 0.0], [4.0, 0.0, 0.0]], (100, 1)))
    drawn = draw(CellStatistics.fit(NAMES, rows, base=base), reach=1.0)
    # Ten real cells, and a prior that is worth ten: half of the cells are its, and a third of those small.
    assert (drawn[:, 0] < -3.0).mean() == pytest.approx(1 / 6, abs=0.02)
