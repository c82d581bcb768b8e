from __future__ import annotations

import numpy as np
import pytest

from cytocascade.evaluation.feature_distances import feature_values, normalised_wasserstein
from cytocascade.evaluation.measured import measure_set, select_images

from .scenes import scene, scenes


def test_a_shift_by_one_standard_deviation_is_a_distance_of_one() -> None:
    real = np.random.default_rng(0).normal(50, 4, 5000)
    assert normalised_wasserstein(real, real + real.std()) == pytest.approx(1.0)


def test_a_feature_without_spread_or_values_stays_finite() -> None:
    assert normalised_wasserstein(np.full(5, 2.0), np.full(4, 2.0)) == 0
    assert np.isfinite(normalised_wasserstein(np.full(5, 2.0), np.full(4, 3.0)))
    assert normalised_wasserstein(np.zeros(0), np.zeros(0)) == 0
    assert normalised_wasserstein(np.ones(3), np.zeros(0)) == 1


def test_cells_cut_by_the_frame_count_as_neighbours_only() -> None:
    image = scene(0)
    labels = image.labels.copy()
    labels[:6, 60:66] = labels.max() + 1
    cut = type(image)(image.image, labels, image.spacing, "cut", True)
    measured = measure_set(*select_images([cut, *scenes(1, 1)], "test"), "test", in_pixels=False, seed=0)
    cells = sum(len(one.table) for one in measured.images)
    assert len(feature_values(measured.images, "nearest_neighbour_distance")) == cells
    assert len(feature_values(measured.images, "area")) == cells - 1
