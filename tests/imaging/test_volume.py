from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from tests.imaging._fields import field
from tests.imaging._stacks import SPACING, ellipsoids, exposed, grid_of_cells, light_of

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.depth import Attenuation
from cytocascade.imaging.microscope import Microscope
from cytocascade.imaging.optics import focus
from cytocascade.imaging.psf import ConePsf
from cytocascade.imaging.statistics import ImagingStatistics, fit_imaging
from cytocascade.imaging.volume import FineTuning, draw_volume_background
from cytocascade.types import Array

SHARP = Microscope(psf=ConePsf(axial=0.0))
SOFT = Microscope(psf=ConePsf(axial=1.0, halo=0.2, halo_axial=2.5, spread=0.4))


@pytest.fixture(scope="module")
def statistics() -> ImagingStatistics:
    return fit_imaging([field(seed) for seed in range(2)])


def _params(statistics: ImagingStatistics, microscope: Microscope = SHARP) -> dict[str, Any]:
    return draw_volume_background(statistics, microscope, 3, "sample", 0)


def _dark(planes: int = 8, side: int = 96) -> Array:
    return np.zeros((planes, side, side), dtype=np.float32)


def test_images_have_the_fitted_type_and_depend_on_the_params_alone(statistics: ImagingStatistics) -> None:
    labels = grid_of_cells(21, 60, radii=(3.0, 3.0, 3.0))
    light, params = light_of(labels), _params(statistics, SOFT)
    first, second = (exposed(light, statistics, SOFT, params, SPACING, labels=labels) for _ in range(2))
    assert first.dtype == np.uint16
    assert first.shape == light.shape
    assert first.tobytes() == second.tobytes()
    other = draw_volume_background(statistics, SOFT, 3, "sample", 1)
    assert exposed(light, statistics, SOFT, other, SPACING, labels=labels).tobytes() != first.tobytes()
    assert draw_volume_background(statistics, SOFT, 3, "sample", 0) == params


def test_noise_is_that_of_the_camera_and_independent_between_slices(statistics: ImagingStatistics) -> None:
    stack = exposed(_dark(), statistics, SHARP, _params(statistics), SPACING).astype(np.float64)
    assert stack.var(axis=(1, 2)).mean() == pytest.approx(statistics.noise.read, rel=0.15)
    flat = stack - stack.mean(axis=0)
    for lag in (1, 3):
        correlation = np.corrcoef(flat[lag:].ravel(), flat[:-lag].ravel())[0, 1]
        # Taking the mean of eight slices off leaves -1/7.
        assert correlation == pytest.approx(-1 / 7, abs=0.03)


def test_every_slice_has_the_level_of_the_profile(statistics: ImagingStatistics) -> None:
    microscope = SHARP.model_copy(update={"level_heights": [-2.0, 2.0], "level_profiles": [[-0.03, 0.03]]})
    params = {**_params(statistics, microscope), "illumination": [0.0] * len(statistics.illumination.mean)}
    stack = exposed(_dark(), statistics, microscope, params, SPACING)
    heights = (np.arange(8) - 3.5) * SPACING[0]
    wanted = params["level"] + abs(params["gain"]) * 0.015 * heights
    seen = stack.mean(axis=(1, 2))
    # The tables of the camera's noise are biased by a fraction of a grey level.
    assert np.ptp(wanted) > 20
    assert np.abs(seen - wanted).max() < 1.5


def test_fine_tuning_reaches_the_camera(statistics: ImagingStatistics) -> None:
    light = np.full((4, 96, 96), 800, dtype=np.float32)
    params = {**_params(statistics), "haze_strengths": [0.0] * len(statistics.haze_widths)}

    def spread(tuning: FineTuning, source: Array = light, **masks: Array) -> float:
        return float(
            exposed(source, statistics, SHARP, params, SPACING, tuning=tuning, **masks).std(axis=(1, 2)).mean()
        )

    plain, ones = spread(FineTuning()), np.ones_like(light)
    assert spread(FineTuning(background_noise=0.5), _dark()) == pytest.approx(
        0.5 * spread(FineTuning(), _dark()), rel=0.1
    )
    assert spread(FineTuning(photon_gain=0.25)) < 0.7 * plain
    assert spread(FineTuning(noise_share=0.25), extent=ones) == pytest.approx(0.5 * plain, rel=0.1)
    grainy = spread(FineTuning(grain=[[0.01]]), grain_extent=ones)
    assert grainy**2 - plain**2 == pytest.approx(0.01 * 800**2, rel=0.1)


def test_background_texture_is_correlated_along_z_over_the_psf() -> None:
    textured = fit_imaging([field(seed, texture=12.0) for seed in range(2)])
    assert textured.texture_autocorrelation
    microscope = Microscope(psf=ConePsf(axial=1.5))
    params = _params(textured, microscope)
    quiet = FineTuning(background_noise=0.0)
    stack = exposed(_dark(40, 128), textured, microscope, params, SPACING, tuning=quiet).astype(np.float64)
    flat = stack - stack.mean(axis=(1, 2), keepdims=True)
    near, far = (float((flat[lag:] * flat[:-lag]).mean() / (flat**2).mean()) for lag in (1, 16))
    assert near == pytest.approx(np.exp(-1 / 36), abs=0.06)
    assert far < 0.35
    assert flat.std() == pytest.approx(params["texture"], rel=0.25)
    none = exposed(
        _dark(3), textured, microscope, params, SPACING, tuning=FineTuning(background_noise=0.0, background_texture=0.0)
    )
    assert none.std() < 0.3 * flat.std()


def test_cells_keep_their_mean_and_structure_while_caps_fade() -> None:
    labels = ellipsoids((41, 61, 61), [(10.0, 12.0, 12.0)], (3.5, 6.0, 6.0))
    light = (300.0 * (labels > 0)).astype(np.float32)
    light[:, :, ::2] *= 0.5
    seen = focus(light, SOFT, SPACING, labels=labels).light
    inside = labels > 0
    assert seen[inside].mean() == pytest.approx(light[inside].mean(), rel=1e-3)
    core = seen[20, 25:36, 25:36]
    assert core[:, ::2].mean() / core[:, 1::2].mean() == pytest.approx(2.0, rel=0.02)
    top = np.flatnonzero(inside[:, 30, 30])[-1]
    assert 0.35 < seen[top, 30, 31] / seen[20, 30, 31] < 0.75
    assert 0.05 < seen[top + 2, 30, 31] / seen[20, 30, 31] < 0.4
    blurred = focus(light, SOFT, SPACING).light[20, 25:36, 25:36]
    assert blurred[:, ::2].mean() / blurred[:, 1::2].mean() < 1.7


def test_light_of_other_cells_comes_in() -> None:
    labels = ellipsoids((41, 41, 41), [(6.0, 8.0, 8.0), (13.0, 8.0, 8.0)], (3.4, 5.0, 5.0))
    bright = np.array([0, 100, 1000], dtype=np.float32)[labels]
    alone = np.array([0, 100, 0], dtype=np.float32)[labels]
    both = focus(bright, SOFT, SPACING, labels=labels).light
    one = focus(alone, SOFT, SPACING, labels=labels * (labels == 1)).light
    upper, lower = (int(np.flatnonzero(labels[:, 20, 20] == 1)[k]) for k in (-1, 0))
    assert both[upper, 20, 20] > 1.5 * one[upper, 20, 20]
    assert both[lower, 20, 20] < 1.3 * one[lower, 20, 20]


def test_deep_cells_are_dimmer() -> None:
    labels = ellipsoids((81, 40, 40), [(8.0, 8.0, 8.0), (32.0, 8.0, 8.0)], (3.0, 4.0, 4.0))
    light = (100.0 * (labels > 0)).astype(np.float32)
    microscope = SOFT.model_copy(update={"attenuation": Attenuation(coefficient=0.03)})
    seen = focus(light, microscope, SPACING, labels=labels).light
    ratio = seen[labels == 2].mean() / seen[labels == 1].mean()
    assert ratio == pytest.approx(np.exp(-0.03 * 24), rel=0.05)
    assert seen[labels > 0].mean() == pytest.approx(100, rel=0.1)


def test_light_on_a_finer_grid_gives_the_image_of_the_coarse_one(statistics: ImagingStatistics) -> None:
    fine = ellipsoids((48, 40, 40), [(4.7, 8.0, 8.0)], (3.0, 5.0, 5.0), (0.2, 0.4, 0.4))
    light = (500.0 * (fine > 0)).astype(np.float32)
    seen = focus(light, SOFT, (0.2, 0.4, 0.4), labels=fine, out_step=0.6)
    assert seen.light.shape == (16, 40, 40)
    assert seen.spacing == (0.6, 0.4, 0.4)
    heights = (np.arange(16) - 7.5) * 0.6
    profile = seen.light.sum(axis=(1, 2))
    assert np.average(heights, weights=profile) == pytest.approx(0.0, abs=0.03)
    image = exposed(
        light, statistics, SOFT, _params(statistics), (0.2, 0.4, 0.4), labels=fine, out_step=1.3, extent=light / 500
    )
    assert image.shape == (7, 40, 40)


def test_light_and_labels_must_fit() -> None:
    with pytest.raises(CytoCascadeError, match="do not fit"):
        focus(_dark()[0], SHARP, SPACING)
    with pytest.raises(CytoCascadeError, match="do not fit"):
        focus(_dark(), SHARP, SPACING, labels=np.zeros((3, 3, 3), np.uint16))


@pytest.mark.slow
def test_a_volume_of_usual_size_takes_seconds() -> None:
    statistics = fit_imaging([field(seed, texture=12.0, haze=0.1) for seed in range(2)])
    spacing = (0.5, 0.25, 0.25)
    centres = [(8.0 + 2 * (k % 5), 8 + 12 * (k // 5), 8 + 12 * (k % 5)) for k in range(25)]
    labels = ellipsoids((48, 256, 256), centres, (3.0, 5.0, 5.0), spacing)
    light = light_of(labels)
    started = time.process_time()
    exposed(light, statistics, SOFT, _params(statistics, SOFT), spacing, labels=labels)
    assert time.process_time() - started < 10
