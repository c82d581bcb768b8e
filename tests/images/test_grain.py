from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.images.grain import (
    GRAIN_REACH,
    FineStructure,
    measure_fine_structure,
    missing_grain,
    missing_spread,
    refined_grain,
)

MIDDLE = (GRAIN_REACH, GRAIN_REACH)


def field_of_discs(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and the level of every pixel."""
    side = 48
    y, x = np.mgrid[:side, :side]
    disc = (y - 23.5) ** 2 + (x - 23.5) ** 2 < 20**2
    labels = np.concatenate([disc * (k + 1) for k in range(len(levels))], axis=1).astype(np.uint16)
    return labels, np.concatenate([[0.0], levels])[labels]


LEVELS = np.repeat([50.0, 100.0, 200.0], 10)


def noisy(
    variance: float, gain: float, grain: float, seed: int, *, width: float = 0.0, spread: float = 0.0
) -> FineStructure:
    """Return cells with camera noise and grain; both are white unless the grain has a width."""
    labels, light = field_of_discs(LEVELS)
    rng = np.random.default_rng(seed)
    field = rng.standard_normal(light.shape)
    if width:
        field = ndi.gaussian_filter(field, width) * 2 * width * np.sqrt(np.pi)
    field *= np.concatenate([[0.0], np.exp(spread * rng.standard_normal(len(LEVELS)) - spread**2)])[labels]
    image = light * (1 + grain * field) + np.sqrt(variance + gain * light) * rng.standard_normal(light.shape)
    return measure_fine_structure(image, labels, np.zeros(light.shape, np.float32))


def test_level_and_variance_of_white_noise() -> None:
    found = noisy(9.0, 0.0, 0.0, 0)
    assert found.level == pytest.approx(LEVELS, rel=0.02)
    # The high pass takes away little of white noise.
    variance = found.covariance[:, *MIDDLE] * found.level**2
    assert np.median(variance) == pytest.approx(9.0, rel=0.1)
    assert np.allclose(found.covariance, found.covariance[:, ::-1, ::-1])


def test_image_without_cells_measures_nothing() -> None:
    empty = measure_fine_structure(np.ones((20, 20)), np.zeros((20, 20), np.uint16), np.zeros((20, 20), np.float32))
    assert len(empty.level) == 0
    assert missing_grain(empty, empty, empty)[0] == 1.0


def test_camera_noise_is_told_from_grain_by_how_it_grows_with_the_light() -> None:
    quiet, loud = noisy(0.1, 0.0, 0.0, 1), noisy(100.0, 0.0, 0.0, 2)
    share, grain = missing_grain(noisy(50.0, 0.0, 0.0, 3), quiet, loud)
    assert share == pytest.approx(0.5, abs=0.1)
    assert grain[MIDDLE] < 0.1 * 50 / 100**2
    share, grain = missing_grain(noisy(0.1, 0.0, 0.1, 4), quiet, loud)
    assert share < 0.1
    assert grain[MIDDLE] == pytest.approx(0.01, rel=0.3)


def test_grain_keeps_its_correlation() -> None:
    real = noisy(0.1, 0.0, 0.1, 5, width=1.0)
    _, grain = missing_grain(real, noisy(0.1, 0.0, 0.0, 6), noisy(20.0, 0.0, 0.0, 7))
    neighbour = grain[GRAIN_REACH, GRAIN_REACH + 1] / grain[MIDDLE]
    assert neighbour == pytest.approx(np.exp(-0.25), abs=0.15)


def test_refining_leaves_what_fits_and_raises_what_is_short() -> None:
    _, grain = missing_grain(noisy(0.1, 0.0, 0.1, 8), noisy(0.1, 0.0, 0.0, 9), noisy(20.0, 0.0, 0.0, 10))
    same = refined_grain(grain, noisy(0.1, 0.0, 0.1, 8), noisy(0.1, 0.0, 0.1, 11))
    assert same[MIDDLE] == pytest.approx(grain[MIDDLE], rel=0.15)
    more = refined_grain(grain, noisy(0.1, 0.0, 0.14, 8), noisy(0.1, 0.0, 0.1, 11))
    assert more[MIDDLE] > 1.5 * grain[MIDDLE]


def test_spread_of_the_grain_is_found() -> None:
    without, with_ = noisy(1.0, 0.0, 0.0, 12), noisy(1.0, 0.0, 0.1, 13)
    assert missing_spread(noisy(1.0, 0.0, 0.1, 14), without, with_) < 0.15
    assert missing_spread(noisy(1.0, 0.0, 0.1, 15, spread=0.4), without, with_) == pytest.approx(0.4, abs=0.2)


def test_what_has_no_grain_has_no_spread() -> None:
    plain = noisy(1.0, 0.0, 0.0, 16)
    assert missing_spread(noisy(1.0, 0.0, 0.1, 17, spread=0.4), plain, plain) == 0.0
