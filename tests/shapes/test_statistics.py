import numpy as np
import pytest

from cytocascade.shapes.statistics import ShapeStatistics


@pytest.fixture
def statistics():
    generator = np.random.default_rng(0)
    flat, tall = np.exp(generator.normal(np.log(0.4), 0.1, 60)), np.exp(generator.normal(np.log(1.2), 0.1, 60))
    wide, narrow = np.exp(generator.normal(np.log(18), 0.05, 60)), np.exp(generator.normal(np.log(6), 0.05, 60))
    return ShapeStatistics(extents=[*wide, *narrow], ratios=[*flat, *tall])


def test_ratios_follow_the_size(statistics):
    drawn = statistics.draw(np.array([18.0] * 50 + [6.0] * 50), range(100))
    assert np.median(drawn[:50]) == pytest.approx(0.4, rel=0.08)
    assert np.median(drawn[50:]) == pytest.approx(1.2, rel=0.08)


def test_unknown_sizes_draw_from_all(statistics):
    drawn = statistics.draw(np.full(100, 18.0), range(100), size_known=False)
    assert 0.3 < (drawn > 0.8).mean() < 0.7


def test_a_cell_depends_on_its_own_seed_alone(statistics):
    alone = statistics.draw(np.array([9.0]), [5])
    among = statistics.draw(np.array([18.0, 9.0]), [4, 5])
    assert alone[0] == among[1]


def test_ratios_stay_within_the_range_of_the_real_ones(statistics):
    drawn = statistics.draw(np.full(300, 18.0), range(300))
    assert drawn.min() >= min(statistics.ratios) - 1e-6
    assert drawn.max() <= max(statistics.ratios) + 1e-6


def test_weights_count(statistics):
    weighted = statistics.model_copy(update={"weights": [1.0] * 60 + [0.0] * 60})
    assert weighted.draw(np.full(40, 6.0), range(40), size_known=False).max() < 0.8


def test_it_survives_json(statistics):
    assert ShapeStatistics.model_validate_json(statistics.model_dump_json()) == statistics
