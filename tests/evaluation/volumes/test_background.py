from __future__ import annotations

import numpy as np
import pytest

from cytocascade.evaluation.volumes.background import slice_noise, volume_background


def test_the_background_follows_slices_and_goes_on_under_a_cell() -> None:
    z, _, x = np.mgrid[:20, :64, :64].astype(np.float32)
    truth = 100 + 5 * z + 0.2 * x
    free = np.ones(truth.shape, dtype=bool)
    free[6:14, 20:40, 20:40] = False
    found = volume_background(np.where(free, truth, 1000), free)
    assert np.abs(found - truth)[3:-3].max() < 6
    assert np.abs(found - truth)[6:14, 20:40, 20:40].mean() < 2


def test_noise_is_measured_whatever_the_slope() -> None:
    x = np.mgrid[:8, :60, :60][2]
    image = 0.5 * x + 4 * np.random.default_rng(0).standard_normal(x.shape)
    assert slice_noise(image, np.ones(x.shape, bool)) == pytest.approx(4, rel=0.05)


def test_noise_counts_only_the_background() -> None:
    image = 2 * np.random.default_rng(0).standard_normal((8, 60, 60))
    image[:, :30] *= 10
    free = np.zeros(image.shape, bool)
    free[:, 30:] = True
    assert slice_noise(image, free) == pytest.approx(2, rel=0.05)


def test_noise_of_mostly_clipped_pixels_is_not_nothing() -> None:
    image = np.maximum(0, np.round(3 * np.random.default_rng(0).standard_normal((8, 60, 60)) - 3))
    assert np.median(image) == 0
    assert 0.3 < slice_noise(image, np.ones(image.shape, bool)) < 2


def test_without_background_there_is_no_noise() -> None:
    assert slice_noise(np.ones((4, 8, 8)), np.zeros((4, 8, 8), bool)) == 0
