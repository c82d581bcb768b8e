"""Dark spots are what is dark inside a cell, not what is dark at its outline."""

import numpy as np
import pytest
from skimage.draw import disk

from cytocascade.images.spots import basin_depth, spotted_cells

LEVEL, LIGHT = 50.0, 400.0


def cells(*, spots: int = 0, notches: int = 0, missing: float = 0.7, count: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Return image and labels of whole, round cells of 28 pixels, some with a spot, some with a notch."""
    labels = np.zeros((132, 132), dtype=np.uint16)
    light = np.full(labels.shape, LEVEL)
    for number in range(count):
        middle = np.array([22 + 44 * (number // 3), 22 + 44 * (number % 3)])
        labels[disk(middle, 14)] = number + 1
        light[disk(middle, 14)] += LIGHT
        where = middle + np.array((3, 2) if number < spots else (0, 13))
        if number < spots + notches:
            dark = np.exp(-(((np.indices(labels.shape) - where[:, None, None]) ** 2).sum(axis=0) / 18.0))
            light = LEVEL + (light - LEVEL) * (1 - missing * dark)
    return light, labels


def counted(image: np.ndarray, labels: np.ndarray) -> tuple[int, int]:
    return spotted_cells(image, labels, np.full(labels.shape, LEVEL, dtype=np.float32))


@pytest.mark.parametrize("spots", [0, 1, 4])
def test_cells_with_a_spot_are_counted_and_those_with_a_notch_are_not(spots):
    assert counted(*cells(spots=spots, notches=3)) == (spots, 9)


def test_what_is_hardly_darker_than_the_rest_is_no_spot():
    assert counted(*cells(spots=4, missing=0.15)) == (0, 9)


def test_noise_makes_no_spots():
    image, labels = cells(spots=2)
    noise = np.random.default_rng(0).normal(0, 0.12 * LIGHT, image.shape)
    assert counted(image + noise, labels) == (2, 9)


def test_cut_cells_and_fragments_are_left_out():
    image, labels = cells(spots=9)
    assert counted(image[14:], labels[14:])[1] == 6
    labels[60:64, 2:6] = 20
    assert counted(image, labels) == (9, 9)
    assert counted(image, np.zeros_like(labels)) == (0, 0)


def test_depth_is_that_of_the_water_which_stays_in():
    light = np.full((9, 9), 1.0)
    light[4, 4] = 0.2
    mask = np.ones(light.shape, dtype=bool)
    assert basin_depth(light, mask) == pytest.approx(0.8)
    # Through a channel it runs out, but for what the channel's floor holds back.
    light[4, 5:] = 0.6
    assert basin_depth(light, mask) == pytest.approx(0.4)
    light[4, 5:] = 0.1
    assert basin_depth(light, mask) == 0.0
    assert basin_depth(light, np.zeros_like(mask)) == 0.0
