"""Halos of cells in phase contrast end where their mean does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.images.halo import LEAST, MOST, halo_reach
from cytocascade.types import AnnotatedImage


def haloed(width: float, *, debris: bool = False) -> AnnotatedImage:
    """Return two cells with a bright halo that falls off as a Gaussian, and pieces of others beside them."""
    labels = np.zeros((160, 160), dtype=np.uint16)
    y, x = np.indices(labels.shape)
    labels[np.hypot(y - 50, x - 50) < 20] = 1
    labels[np.hypot(y - 110, x - 110) < 20] = 2
    image = 100.0 + 80.0 * np.exp(-0.5 * (ndi.distance_transform_edt(labels == 0) / width) ** 2)
    if debris:
        generator = np.random.default_rng(0)
        image += 60.0 * generator.choice([-1, 0, 1], p=[0.02, 0.96, 0.02], size=labels.shape)
    return AnnotatedImage(image, labels, (1.0, 1.0), "haloed")


@pytest.mark.parametrize("width", [2.0, 4.0])
@pytest.mark.parametrize("debris", [False, True])
def test_halo_ends_where_its_mean_does(width: float, debris: bool) -> None:
    # A Gaussian is below a twentieth at 2.45 standard deviations.
    assert halo_reach([haloed(width, debris=debris)]) == pytest.approx(2.45 * width, abs=1.6)


def test_reach_is_limited() -> None:
    assert halo_reach([haloed(0.3)]) == LEAST
    assert halo_reach([haloed(60.0)]) == MOST


def test_images_without_background_tell_nothing() -> None:
    full = AnnotatedImage(np.full((8, 8), 3.0), np.ones((8, 8), dtype=np.uint16), (1.0, 1.0), "full")
    assert halo_reach([full]) == MOST
