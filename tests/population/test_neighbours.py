"""Neighbours are about as bright as each other."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from skimage.draw import disk

from cytocascade.population import neighbours
from cytocascade.population.neighbours import USUAL, alike, fit_neighbours
from cytocascade.types import AnnotatedImage

DIAMETER = 16.0


def grid(side: int = 8) -> np.ndarray:
    return 1.15 * DIAMETER * (1 + np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2))


def image(light: np.ndarray, centres: np.ndarray) -> AnnotatedImage:
    labels = np.zeros((180, 180), dtype=np.uint16)
    for number, centre in enumerate(centres, start=1):
        labels[disk(centre, DIAMETER / 2 - 0.5, shape=labels.shape)] = number
    shown = 100 + np.where(labels > 0, np.exp(light)[np.maximum(labels, 1) - 1] * 400, 0)
    return AnnotatedImage(shown.astype(np.uint16), labels, (1.0, 1.0), "image")


def mixed(seed: int, wanted: float) -> np.ndarray:
    return alike(light(seed), grid(), DIAMETER, wanted, np.random.default_rng(1000 + seed))


def light(seed: int, n: int = 64) -> np.ndarray:
    return 0.5 * np.random.default_rng(seed).standard_normal(n)


@pytest.mark.parametrize("wanted", [0.3, 0.55, 0.8])
def test_light_correlates_as_wished_and_is_measured_as_such(wanted, monkeypatch):
    monkeypatch.setattr(neighbours, "USUAL_WORTH", 1e-6)
    images = [image(mixed(seed, wanted), grid()) for seed in range(12)]
    assert fit_neighbours(images) == pytest.approx(wanted, abs=0.12)


def test_light_drawn_for_every_cell_alone_does_not_correlate(monkeypatch):
    monkeypatch.setattr(neighbours, "USUAL_WORTH", 1e-6)
    assert fit_neighbours([image(light(seed), grid()) for seed in range(12)]) < 0.1


def test_few_pairs_tell_little_and_none_nothing():
    alone = image(light(0)[:3], grid()[:3])
    assert fit_neighbours([alone]) == USUAL
    few = image(light(1)[:8], grid()[:8])
    assert abs(fit_neighbours([few]) - USUAL) < abs(fit_neighbours([image(light(2), grid())] * 4) - USUAL)


def test_mean_and_spread_stay_and_far_cells_are_not_alike():
    assert mixed(3, 0.7).mean() == pytest.approx(light(3).mean(), abs=1e-5)
    assert mixed(3, 0.7).std() == pytest.approx(light(3).std(), rel=1e-4)
    rows = np.array([mixed(seed, 0.7) for seed in range(60)])
    correlation, distance = np.corrcoef(rows.T), cdist(grid(), grid())
    assert correlation[distance > 6 * DIAMETER].mean() < 0.05 < 0.5 < correlation[distance < 1.5 * DIAMETER].mean()


def test_without_neighbours_or_without_wish_light_stays():
    few = alike(light(0)[:2], grid()[:2], DIAMETER, 0.9, np.random.default_rng(0))
    assert np.array_equal(few, light(0)[:2].astype(np.float32))
    assert np.allclose(mixed(0, 0.0), light(0), atol=1e-6)
