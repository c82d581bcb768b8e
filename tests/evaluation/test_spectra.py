from __future__ import annotations

import numpy as np

from cytocascade.evaluation.measured import measure_set, select_images
from cytocascade.evaluation.spectra import compare_cell_spectra, log_spectrum, spectrum_bins
from cytocascade.evaluation.splits import real_splits

from .scenes import scenes


def test_white_noise_has_a_flat_spectrum_at_its_variance() -> None:
    bins, centres = spectrum_bins(64)
    noise = 10 * np.random.default_rng(0).standard_normal((40, 64, 64))
    spectrum = log_spectrum(noise, bins)
    assert len(spectrum) == len(centres)
    assert np.abs(spectrum[centres > 0.1] - 20).max() < 1


def test_a_wave_peaks_at_its_frequency() -> None:
    bins, centres = spectrum_bins(128)
    wave = np.sin(2 * np.pi * 0.125 * np.arange(128))[None, None, :].repeat(128, axis=1)
    peak = centres[np.argmax(log_spectrum(wave, bins))]
    assert abs(peak / 0.125 - 1) < 0.15


def test_brightness_alone_does_not_count() -> None:
    bins, _ = spectrum_bins(32)
    squares = np.random.default_rng(0).standard_normal((3, 32, 32))
    np.testing.assert_allclose(log_spectrum(squares, bins), log_spectrum(squares + 1000, bins), atol=1e-6)


def test_missing_texture_is_seen_at_its_own_scale() -> None:
    real, smooth = (
        measure_set(*select_images(scenes(start, 3, texture=texture), "test"), "test", in_pixels=True, seed=0)
        for start, texture in ((8, 40.0), (108, 2.0))
    )
    found = compare_cell_spectra(real, smooth, 24, real_splits(3, 0))
    frequency, lack = np.array(found.frequency), np.array(found.real) - np.array(found.synthetic)
    blotches = (frequency > 0.1) & (frequency < 0.25)
    assert lack[blotches].mean() > 2
    assert lack[blotches].mean() > np.abs(lack[frequency > 0.4]).mean() + 1
    assert found.distance.value > 2 * found.distance.floor
