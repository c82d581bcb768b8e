from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage as ndi
from tests.imaging._fields import field

from cytocascade.imaging.background import draw_background, render_background
from cytocascade.imaging.statistics import ImagingStatistics, fit_imaging


@pytest.fixture(scope="module")
def statistics() -> ImagingStatistics:
    return fit_imaging(
        [field(seed, level=200 + 20 * seed, gain=300 + 100 * seed, tilt=15, haze=0.2, texture=4) for seed in range(4)]
    )


def test_draw_is_json_and_repeats(statistics: ImagingStatistics) -> None:
    params = draw_background(statistics, 5, "sample", 3)
    assert json.loads(json.dumps(params, allow_nan=False)) == params
    assert params == draw_background(statistics, 5, "sample", 3)
    assert params != draw_background(statistics, 5, "sample", 4)


def test_render_is_pure_and_survives_json(statistics: ImagingStatistics) -> None:
    params = draw_background(statistics, 5, "sample", 3)
    first = render_background(params, statistics, (100, 120))
    again = render_background(json.loads(json.dumps(params)), statistics, (100, 120))
    assert first.dtype == np.float32
    assert first.tobytes() == again.tobytes()


def test_level_and_gain_are_drawn_together(statistics: ImagingStatistics) -> None:
    drawn = [draw_background(statistics, 0, index) for index in range(200)]
    level, gain = (np.array([params[key] for params in drawn]) for key in ("level", "gain"))
    real = np.array([record.level for record in statistics.records])
    assert level.mean() == pytest.approx(real.mean(), abs=5)
    assert level.std() == pytest.approx(real.std(), rel=0.2)
    assert np.corrcoef(level, gain)[0, 1] > 0.5


@pytest.mark.parametrize("shape", [(64, 40), (256, 288), (700, 31)])
def test_any_shape_shows_the_whole_illumination(statistics: ImagingStatistics, shape: tuple[int, int]) -> None:
    params = draw_background(statistics, 1, 0) | {"texture": 0.0, "illumination": [10.0] + [0.0] * 8}
    image = render_background(params, statistics, shape)
    assert image.shape == shape
    assert image[0, -1] - image[0, 0] == pytest.approx(20 * (1 - 1 / shape[1]), rel=1e-3)


def test_haze_follows_the_cells(statistics: ImagingStatistics) -> None:
    params = draw_background(statistics, 1, 0) | {"texture": 0.0, "illumination": [0.0] * 9}
    signal = np.zeros((200, 200), dtype=np.float32)
    signal[80:120, 80:120] = 500
    image = render_background(params, statistics, (200, 200), signal)
    assert image[100, 125] > image[5, 5] + 3
    assert render_background(params, statistics, (200, 200)).std() < 1e-3


def test_background_never_falls_below_the_pixel_range(statistics: ImagingStatistics) -> None:
    params = draw_background(statistics, 1, 0) | {"level": -50.0}
    assert render_background(params, statistics, (50, 50)).min() >= 0


def test_texture_factor_scales_all_below_one_and_only_what_is_coarse_above(statistics: ImagingStatistics) -> None:
    params = draw_background(statistics, 5, "sample", 3)
    none, half, plain, double = (
        render_background(params, statistics, (200, 200), texture_factor=k).astype(np.float64) for k in (0, 0.5, 1, 2)
    )
    assert half - none == pytest.approx((plain - none) / 2, abs=1e-3)
    wide, fine = (
        [float((image - ndi.gaussian_filter(image, sigma)).std()) for image in (plain - none, double - none)]
        for sigma in (40, 0.7)
    )
    assert wide[1] > 1.5 * wide[0]
    assert fine[1] < 1.5 * fine[0]
