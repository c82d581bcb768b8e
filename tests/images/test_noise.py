from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.images.noise import background_spread


@pytest.fixture
def labels() -> np.ndarray:
    found = np.zeros((200, 200), dtype=np.uint16)
    found[90:110, 90:110] = 1
    return found


def spread(image: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    return background_spread(image, labels, np.zeros(labels.shape, np.float32))


def test_noise_and_texture_are_told_apart(labels: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(0, 4, labels.shape)
    smooth = ndi.gaussian_filter(rng.standard_normal(labels.shape), 5)
    smooth *= 3 / smooth.std()
    far, near, texture = spread(white, labels)
    assert near == pytest.approx(far, rel=0.1)
    far_too, _, more = spread(white + smooth, labels)
    assert far_too == pytest.approx(far, rel=0.02)
    # A Gaussian of 4 on a field that a Gaussian of 5 made.
    assert np.sqrt(more**2 - texture**2) == pytest.approx(3 * np.sqrt(25 / 41), rel=0.15)


def test_debris_does_not_count_as_noise(labels: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(0, 4, labels.shape)
    dirty = clean.copy()
    dirty[20:30, 20:60] += rng.normal(300, 80, (10, 40))
    assert spread(dirty, labels)[0] == pytest.approx(spread(clean, labels)[0], rel=0.03)


def test_noise_near_cells_is_measured_for_itself(labels: np.ndarray) -> None:
    distance = ndi.distance_transform_edt(labels == 0)
    noise = np.random.default_rng(0).normal(0, 1, labels.shape) * np.where(distance < 8.5, 6, 2)
    far, near, _ = spread(noise, labels)
    assert near / far == pytest.approx(3, rel=0.15)


def test_without_background_there_is_no_answer() -> None:
    assert np.isnan(spread(np.ones((30, 30)), np.ones((30, 30), dtype=np.uint16))).all()
