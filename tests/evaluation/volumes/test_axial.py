from __future__ import annotations

import numpy as np
import pytest

from cytocascade.evaluation.splits import real_splits
from cytocascade.evaluation.volumes.axial import (
    HEIGHTS,
    compare_profiles,
    mean_curve,
    relative_profile,
    slice_means,
    unevenness,
)
from cytocascade.evaluation.volumes.measured import measure_volumes

from .scenes import volumes

FULL = np.full(10, 100)


def test_slices_without_the_cell_do_not_count() -> None:
    own = np.zeros((5, 4, 4), bool)
    own[1:4, 1:3, 1:3] = True
    light = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 4, 4), np.float32)
    means, counts = slice_means(light, own)
    assert means.tolist() == [1, 2, 3]
    assert counts.tolist() == [4, 4, 4]


def test_even_light_has_a_flat_profile_and_no_flicker() -> None:
    assert relative_profile(np.full(10, 7.0), FULL) == pytest.approx(np.ones(len(HEIGHTS)))
    assert unevenness(np.full(10, 7.0), FULL) == 0


def test_a_dark_cap_shows_at_its_end_of_the_profile() -> None:
    means = np.array([10.0] * 8 + [5.0, 2.0])
    profile = relative_profile(means, FULL)
    assert profile[-1] < 0.3
    assert profile[0] > 1


def test_light_that_fades_evenly_is_no_flicker_but_jumping_light_is() -> None:
    assert unevenness(np.linspace(10, 5, 10), FULL) == pytest.approx(0, abs=1e-9)
    assert unevenness(np.array([9.0, 11.0] * 5), FULL) == pytest.approx(0.2, rel=0.02)


def test_caps_do_not_count_as_flicker() -> None:
    means = np.array([1.0, 10, 10, 10, 10, 10, 1.0])
    counts = np.array([10, 100, 120, 120, 120, 100, 10])
    assert unevenness(means, counts) == 0


def test_thin_cells_have_neither_profile_nor_flicker() -> None:
    assert np.isnan(relative_profile(np.ones(3), np.ones(3))).all()
    assert np.isnan(unevenness(np.ones(3), np.ones(3)))


def test_profiles_are_averaged_over_the_cells_that_have_one() -> None:
    assert mean_curve(np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]])) == pytest.approx([2, 3])
    assert mean_curve(np.full((2, 2), np.nan)) is None


def test_the_largest_difference_of_profiles_is_reported_with_its_floor() -> None:
    real = measure_volumes(volumes(0, 4), 4, "real", 0)
    ours = np.ones((len(real.cells), 10))
    theirs = ours.copy()
    theirs[:, -1] = 0.7
    found = compare_profiles(real, ours, theirs, real_splits(4, 0), 0)
    assert found is not None
    assert found.distance.value == pytest.approx(0.3)
    assert found.distance.floor == 0
    assert found.verdict == "missed"
