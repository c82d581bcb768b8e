from __future__ import annotations

import numpy as np
import pytest

from cytocascade.population import PopulationStatistics
from cytocascade.population.sections import bodies_from_sections


def test_density_is_that_of_sections_over_the_height(statistics: PopulationStatistics) -> None:
    bodies = bodies_from_sections(statistics, cell_height=5.0)
    for flat, solid in zip(statistics.images, bodies.images):
        assert solid.density == pytest.approx(flat.density / 5.0)
    known = bodies_from_sections(statistics, cell_height=5.0, density=[0.004, 0.006])
    assert np.mean([image.density for image in known.images]) == pytest.approx(0.005)


def test_contacts_stay_and_no_gap_is_negative(statistics: PopulationStatistics) -> None:
    bodies = bodies_from_sections(statistics)
    flat = np.concatenate([image.gap for image in statistics.images])
    solid = np.concatenate([image.gap for image in bodies.images])
    assert (flat == 0).any()
    assert (solid[flat == 0] == 0).all()
    assert (solid >= 0).all()
    assert np.median(solid) < np.median(flat)


def test_bodies_touch_more_often_than_their_sections(statistics: PopulationStatistics) -> None:
    bodies = bodies_from_sections(statistics, cell_height=4.0)
    assert statistics.touching_rate < bodies.touching_rate < 1
    assert len(bodies.mean_extent) == 3
    assert bodies.mean_extent[0] == 4.0
