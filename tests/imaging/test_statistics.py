from __future__ import annotations

import json

import numpy as np
import pytest
from tests.imaging._fields import field

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.statistics import ImagingStatistics, fit_imaging
from cytocascade.types import AnnotatedImage


def test_poisson_gaussian_noise_is_recovered() -> None:
    statistics = fit_imaging([field(seed, read=25.0, slope=0.5) for seed in range(3)])
    assert statistics.noise.read == pytest.approx(25.0, rel=0.1)
    assert statistics.noise.gain == pytest.approx(0.5, rel=0.25)


def test_noise_without_signal_dependence_has_almost_no_gain() -> None:
    statistics = fit_imaging([field(seed, slope=0.0) for seed in range(2)])
    assert statistics.noise.gain < 0.02


def test_white_noise_has_a_white_kernel() -> None:
    kernel = np.array(fit_imaging([field(0), field(1)]).noise.kernel)
    assert kernel[2, 2] == 1.0
    kernel[2, 2] = 0.0
    assert np.abs(kernel).max() < 0.05


def test_correlated_noise_keeps_its_direction() -> None:
    line = np.array([[0.15, 0.6, 1.0, 0.6, 0.15]])
    kernel = np.array(fit_imaging([field(seed, kernel=line) for seed in range(2)]).noise.kernel)
    assert kernel[2, 1] == pytest.approx(0.6, abs=0.05)
    assert abs(kernel[1, 2]) < 0.05


def test_level_and_gain_are_recorded_per_image() -> None:
    statistics = fit_imaging([field(0, level=200), field(1, level=260)])
    assert [record.level for record in statistics.records] == pytest.approx([200, 260], abs=1.5)
    assert all(300 < record.gain < 700 for record in statistics.records)


def test_illumination_gradient_is_recovered() -> None:
    statistics = fit_imaging([field(seed, tilt=20.0) for seed in range(2)])
    # Terms are ordered (0, 1), (0, 2), (0, 3), (1, 0), ...
    assert statistics.illumination.unit == "absolute"
    assert statistics.illumination.mean[0] == pytest.approx(20.0, abs=1.0)
    assert np.abs(statistics.illumination.mean[1:]).max() < 1.5


def test_haze_strength_is_recovered() -> None:
    records = fit_imaging([field(seed, haze=0.2) for seed in range(3)]).records
    assert np.mean([sum(record.haze) for record in records]) == pytest.approx(0.2, rel=0.25)
    clear = fit_imaging([field(seed) for seed in range(3)]).records
    assert np.mean([sum(record.haze) for record in clear]) < 0.02


def test_texture_is_told_from_noise() -> None:
    statistics = fit_imaging([field(seed, texture=6.0) for seed in range(3)])
    assert np.mean([record.texture for record in statistics.records]) == pytest.approx(6.0, rel=0.2)
    assert np.mean([record.noise for record in statistics.records]) == pytest.approx(5.0, rel=0.1)
    # Gaussian grain of width 6: the autocorrelation is exp(-lag^2 / (4 * 6^2)).
    assert statistics.texture_autocorrelation[8] == pytest.approx(np.exp(-64 / 144), abs=0.12)


def test_statistics_survive_json_without_loss() -> None:
    statistics = fit_imaging([field(0)])
    text = json.dumps(statistics.model_dump(), allow_nan=False)
    assert ImagingStatistics.model_validate_json(text) == statistics


def test_fit_is_deterministic() -> None:
    assert fit_imaging([field(0)]) == fit_imaging([field(0)])


def test_flat_image_without_any_noise_is_accepted() -> None:
    source = field(0)
    flat = np.where(source.labels > 0, 100, 10).astype(np.uint8)
    statistics = fit_imaging([AnnotatedImage(flat, source.labels, (1.0, 1.0), "flat")])
    assert statistics.records[0].noise == 0.0
    assert statistics.records[0].level == pytest.approx(10.0, abs=0.1)


def test_nan_is_named_in_the_error() -> None:
    source = field(0, dtype="float32")
    source.image[3, 4] = np.nan
    with pytest.raises(CytoCascadeError, match=r"field0.*NaN"):
        fit_imaging([source])


def test_mixed_dtypes_are_refused() -> None:
    with pytest.raises(CytoCascadeError, match="differ in type"):
        fit_imaging([field(0), field(1, dtype="float32")])


def test_no_image_is_refused() -> None:
    with pytest.raises(CytoCascadeError, match="no image"):
        fit_imaging([])
