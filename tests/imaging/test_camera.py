from __future__ import annotations

import numpy as np
import pytest
from tests.imaging._fields import discs, field

from cytocascade.imaging.background import draw_background, render_background
from cytocascade.imaging.camera import add_grain, add_noise, to_output
from cytocascade.imaging.statistics import fit_imaging
from cytocascade.types import AnnotatedImage


def _photon_counts(seed: int) -> AnnotatedImage:
    labels = discs((256, 288))
    rate = np.where(labels > 0, 12.0, 0.4)
    counts = np.random.default_rng(seed).poisson(rate)
    image = np.clip(np.floor(3.4 * counts), 0, 255).astype(np.uint8)
    return AnnotatedImage(image, labels, (1.0, 1.0), f"counts{seed}")


def test_noise_in_cells_grows_with_their_light() -> None:
    statistics = fit_imaging([field(seed) for seed in range(3)])
    params = draw_background(statistics, 0, 0)
    background = np.full((300, 300), 200, dtype=np.float32)
    model = statistics.noise
    for signal in (0.0, 400.0, 2000.0):
        noise = add_noise(background + np.float32(signal), background, 1.0, params, statistics) - background - signal
        assert noise.var() == pytest.approx(model.read + model.gain * signal, rel=0.08)
        assert abs(noise.mean()) < 0.05 * noise.std()


def test_share_scales_the_variance_pixel_by_pixel() -> None:
    statistics = fit_imaging([field(0)])
    params = draw_background(statistics, 0, 0)
    background = np.full((200, 200), 200, dtype=np.float32)
    share = np.zeros((200, 200), dtype=np.float32)
    share[100:] = 0.25
    noise = add_noise(background, background, share, params, statistics) - background
    assert (noise[:100] == 0).all()
    assert noise[100:].var() == pytest.approx(0.25 * statistics.noise.read, rel=0.1)


def test_factors_scale_background_noise_and_gain() -> None:
    statistics = fit_imaging([field(seed) for seed in range(3)])
    params = draw_background(statistics, 0, 0)
    background = np.full((300, 300), 200, dtype=np.float32)
    model = statistics.noise
    dark = add_noise(background, background, 1.0, params, statistics, factor=0.5) - background
    assert dark.var() == pytest.approx(0.25 * model.read, rel=0.08)
    light = add_noise(background + 2000, background, 1.0, params, statistics, gain=0.3) - background - 2000
    assert light.var() == pytest.approx(model.read + 0.3 * model.gain * 2000, rel=0.08)


def test_grain_has_its_covariance_where_it_reaches_and_keeps_the_mean() -> None:
    light = np.full((256, 256), 50, dtype=np.float32)
    extent = np.zeros_like(light)
    extent[:, 128:] = 1
    covariance = np.outer([0.5, 1.0, 0.5], [0.5, 1.0, 0.5]) * 0.04
    grainy = add_grain(light, extent, covariance.tolist(), 3)
    assert (grainy[:, :128] == 50).all()
    relative = grainy[:, 128:] / 50 - 1
    assert relative.mean() == pytest.approx(0, abs=0.01)
    assert relative.var() == pytest.approx(0.04, rel=0.05)
    assert (relative[1:] * relative[:-1]).mean() == pytest.approx(0.02, rel=0.1)
    assert np.array_equal(grainy, add_grain(light, extent, covariance.tolist(), 3))
    assert (add_grain(light, extent, (covariance * 100).tolist(), 3) >= 0).all()


@pytest.mark.parametrize("covariance", [[], [[0.0]]])
def test_no_grain_changes_nothing(covariance: list[list[float]]) -> None:
    light = np.ones((8, 8), dtype=np.float32)
    assert add_grain(light, light, covariance, 0) is light


def test_same_params_give_the_same_bytes() -> None:
    statistics = fit_imaging([field(0)])
    params = draw_background(statistics, 0, 0)
    clean = render_background(params, statistics, (90, 70))
    first, second = (add_noise(clean, clean, 1.0, params, statistics).tobytes() for _ in range(2))
    assert first == second
    other = draw_background(statistics, 0, 1)
    assert add_noise(clean, clean, 1.0, other, statistics).tobytes() != first


def test_photon_counts_keep_their_grey_levels_and_frequencies() -> None:
    sources = [_photon_counts(seed) for seed in range(3)]
    statistics = fit_imaging(sources)
    assert statistics.output.levels[:5] == [0, 3, 6, 10, 13]
    params = draw_background(statistics, 0, 0)
    clean = render_background(params, statistics, (256, 288))
    image = to_output(add_noise(clean, clean, 1.0, params, statistics), statistics)
    assert image.dtype == np.uint8
    real = sources[0].image[sources[0].labels == 0]
    for grey in (0, 3, 6):
        assert (image == grey).mean() == pytest.approx((real == grey).mean(), abs=0.03)
    assert set(np.unique(image)) <= set(statistics.output.levels)
    assert statistics.noise.gain == pytest.approx(3.4, rel=0.25)


def test_background_of_few_grey_levels_keeps_mean_and_spread() -> None:
    sources = [field(seed, level=5.4, gain=20, read=0.25, slope=0.02, dtype="uint8") for seed in range(3)]
    statistics = fit_imaging(sources)
    params = draw_background(statistics, 0, 0)
    clean = render_background(params, statistics, (256, 288))
    image = to_output(add_noise(clean, clean, 1.0, params, statistics), statistics).astype(float)
    real = sources[0].image[sources[0].labels == 0].astype(float)
    assert image.mean() == pytest.approx(real.mean(), abs=0.1)
    assert image.std() == pytest.approx(real.std(), rel=0.1)
