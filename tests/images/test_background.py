from __future__ import annotations

import numpy as np
import pytest

from cytocascade.images.background import (
    background_noise,
    background_pixels,
    estimate_background,
    unlabelled_foreground,
)
from cytocascade.types import Array

SHAPE = (160, 160)


def scene(*, slope: float = 0.0, light: float = 300.0, noise: float = 3.0) -> tuple[Array, Array, Array]:
    """Return image, labels of four cells of five (the last is unlabelled), and the true background."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    truth = 100.0 + slope * x
    image = truth + np.random.default_rng(0).normal(0, noise, SHAPE)
    labels = np.zeros(SHAPE, dtype=np.uint16)
    for number, (cy, cx) in enumerate([(35, 35), (35, 120), (120, 35), (120, 120), (80, 80)], start=1):
        mask = (y - cy) ** 2 + (x - cx) ** 2 <= 14**2
        image[mask] += light
        if number < 5:
            labels[mask] = number
    return image, labels, truth


def test_background_keeps_off_the_cells_by_the_rim() -> None:
    image, labels, _ = scene()
    free = background_pixels(image, labels, rim=6.0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    assert not free[np.hypot(y - 35, x - 35) < 19].any()
    assert free[np.hypot(y - 35, x - 35) > 22][0]
    assert free.mean() > 0.5


def test_crowded_image_still_has_background() -> None:
    labels = np.ones((40, 40), dtype=np.uint16)
    labels[::13] = 0
    free = background_pixels(np.zeros((40, 40)), labels)
    assert free.any()
    assert (labels[free] == 0).all()


def test_image_full_of_cells_falls_back_on_all_pixels() -> None:
    assert background_pixels(np.zeros((20, 20)), np.ones((20, 20), dtype=np.uint16)).all()


def test_unlabelled_cell_is_found_and_nothing_else() -> None:
    image, labels, _ = scene()
    seen = unlabelled_foreground(image, labels)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    distance = np.hypot(y - 80, x - 80)
    assert seen[distance < 12].all()
    assert seen[distance > 24].mean() < 0.01


def test_dark_unlabelled_cell_is_found_too() -> None:
    image, labels, _ = scene(light=-60.0)
    assert unlabelled_foreground(image, labels)[78:83, 78:83].all()


def test_no_cell_is_seen_in_plain_noise() -> None:
    image, labels, truth = scene()
    plain = np.where(labels > 0, image, truth + np.random.default_rng(1).normal(0, 3, SHAPE))
    assert unlabelled_foreground(plain, labels).mean() < 0.01


def test_without_labels_nothing_is_judged() -> None:
    image, labels, _ = scene()
    assert not unlabelled_foreground(image, np.zeros_like(labels)).any()


def test_unlabelled_cell_is_background_unless_annotation_is_sparse() -> None:
    image, labels, _ = scene()
    assert background_pixels(image, labels)[80, 80]
    assert not background_pixels(image, labels, sparse=True)[80, 80]


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_estimate_follows_the_truth_even_under_cells(slope: float) -> None:
    image, labels, truth = scene(slope=slope)
    found = estimate_background(image, labels, sparse=True)
    assert found.dtype == np.float32
    assert np.abs(found - truth).mean() < 3
    assert np.abs(found - truth)[labels > 0].max() < 12


def test_sparse_estimate_is_not_raised_by_the_unlabelled_cell() -> None:
    image, labels, _ = scene()
    assert estimate_background(image, labels)[80, 80] > 120
    assert estimate_background(image, labels, sparse=True)[80, 80] == pytest.approx(100, abs=5)


def test_noise_is_that_of_the_drawing() -> None:
    image, labels, _ = scene(noise=5.0)
    background = estimate_background(image, labels, sparse=True)
    free = background_pixels(image, labels, sparse=True)
    assert background_noise(image, background, free) == pytest.approx(5.0, rel=0.05)


def test_mostly_constant_background_still_has_noise() -> None:
    image = np.zeros((20, 20))
    image[3, 4] = 10
    free = np.ones((20, 20), dtype=bool)
    assert background_noise(image, np.zeros((20, 20), np.float32), free) > 0
