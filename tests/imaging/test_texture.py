from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from cytocascade.imaging.texture import (
    SCORES,
    compensated_correlation,
    map_scores,
    masked_autocovariance,
    normal_quantiles,
    sample_noise,
    sample_texture,
    split_autocovariance,
    standardise_quantiles,
    without_heavy_tails,
)


def test_masked_pixels_do_not_bias_the_autocovariance() -> None:
    generator = np.random.default_rng(0)
    field = sample_texture(generator, 4 * np.exp(-np.arange(30) / 5), (300, 300)).astype(float)
    mask = np.ones((300, 300), dtype=bool)
    mask[::7, ::5] = False
    mask[50:120, 80:200] = False
    spoiled = np.where(mask, field, 1e6)
    products, pairs = masked_autocovariance(spoiled, mask, 10)
    covariance = products / pairs
    assert covariance[10, 10] == pytest.approx((field[mask] ** 2).mean(), rel=1e-6)
    assert covariance[10, 15] / covariance[10, 10] == pytest.approx(np.exp(-1), abs=0.08)


def test_texture_and_noise_are_split_at_short_lags() -> None:
    generator = np.random.default_rng(1)
    smooth = sample_texture(generator, 4 * np.exp(-((np.arange(40) / 10) ** 2)), (512, 512))
    total = (smooth + 3 * generator.standard_normal((512, 512))).astype(float)
    texture, noise = split_autocovariance(*masked_autocovariance(total, np.ones_like(total, bool), 40))
    assert texture[0] == pytest.approx(4.0, rel=0.2)
    assert noise[2, 2] == pytest.approx(9.0, rel=0.1)


def test_sampled_texture_has_the_autocorrelation_asked_for() -> None:
    radial = 9 * np.exp(-((np.arange(40) / 8) ** 2))
    field = sample_texture(np.random.default_rng(2), radial, (600, 500)).astype(float)
    assert field.shape == (600, 500)
    assert field.var() == pytest.approx(9, rel=0.1)
    assert (field[:, 6:] * field[:, :-6]).mean() / field.var() == pytest.approx(radial[6] / 9, abs=0.05)


def test_spectrum_survives_a_skewed_marginal() -> None:
    quantiles = standardise_quantiles(np.exp(SCORES))
    target = np.exp(-((np.arange(40) / 8) ** 2))
    needed = compensated_correlation(target, quantiles)
    mapped = map_scores(sample_texture(np.random.default_rng(3), needed, (900, 900)), quantiles).astype(float)
    measured = (mapped[:, 8:] * mapped[:, :-8]).mean() / mapped.var()
    assert measured == pytest.approx(target[8], abs=0.04)
    assert needed[8] > target[8] + 0.03


def test_quantile_map_keeps_the_marginal() -> None:
    values = np.random.default_rng(4).gamma(2.0, 3.0, 200_000)
    drawn = map_scores(np.random.default_rng(5).standard_normal(200_000, np.float32), normal_quantiles(values))
    levels = [1, 5, 25, 50, 75, 95, 99]
    assert np.percentile(drawn, levels) == pytest.approx(np.percentile(values, levels), rel=0.03, abs=0.05)


def test_jitter_spreads_whole_levels_without_moving_them() -> None:
    values = np.repeat([0, 3, 6], [700, 200, 100])
    quantiles = normal_quantiles(values, jitter=3.0)
    back = 3 * np.rint(np.interp(np.linspace(-3, 3, 4001), SCORES, quantiles) / 3)
    weights = np.diff(ndtr(np.linspace(-3, 3, 4002)))
    assert weights[back == 0].sum() == pytest.approx(0.7, abs=0.02)


def test_heavy_tails_are_cut_and_the_loss_reported() -> None:
    table = SCORES.copy()
    table[-8:] += 20
    quantiles, remaining = without_heavy_tails(table)
    assert quantiles.max() < 4
    assert 0 < remaining < 0.8
    assert without_heavy_tails(SCORES)[1] == pytest.approx(1.0, abs=0.02)


def test_sampled_noise_has_its_kernel_in_any_shape() -> None:
    kernel = np.zeros((5, 5))
    kernel[2] = [0.1, 0.5, 1.0, 0.5, 0.1]
    noise = sample_noise(np.random.default_rng(6), kernel, (401, 333)).astype(float)
    assert noise.var() == pytest.approx(1.0, rel=0.03)
    assert (noise[:, 1:] * noise[:, :-1]).mean() == pytest.approx(0.5, abs=0.03)
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.03
    assert sample_noise(np.random.default_rng(6), kernel, (3, 7)).shape == (3, 7)


def test_three_dimensional_fields_are_possible() -> None:
    assert sample_texture(np.random.default_rng(7), np.exp(-np.arange(6.0)), (9, 20, 24)).shape == (9, 20, 24)
