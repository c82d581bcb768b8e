"""Halos of cells of another size than those that were learned."""

import numpy as np
import pytest

from cytocascade.textures.halos import stretched_halos
from cytocascade.types import FloatArray


def disc(side: int, fineness: int = 1) -> tuple[FloatArray, FloatArray]:
    """Return a cell with a halo that falls off over four canonical pixels, and its signed distance."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    distance = ((side / 4) - np.hypot(y, x)) / fineness
    light = np.where(distance > 0, -0.5 + 0.1 * np.sin(x), np.exp(np.minimum(distance, 0) / 4))
    return light[None].astype(np.float32), distance[None].astype(np.float32)


@pytest.mark.parametrize("factor", [0.6, 1.0 / 0.6])
@pytest.mark.parametrize("fineness", [1, 2])
def test_halos_become_as_much_wider_and_cells_stay_as_they_are(factor: float, fineness: int) -> None:
    light, distance = disc(64 * fineness, fineness)
    wider = stretched_halos(light, distance, factor, fineness)
    inside, halo = distance > 1, (distance < -2.5) & (distance > -8)
    np.testing.assert_array_equal(wider[inside], light[inside])
    np.testing.assert_allclose(wider[halo], np.exp(distance[halo] / (4 * factor)), atol=0.06)
    assert np.abs(wider[halo] - light[halo]).mean() > 0.08


def test_as_wide_as_they_were_nothing_changes() -> None:
    light, distance = disc(64)
    np.testing.assert_array_equal(stretched_halos(light, distance, 1.0), light)
    assert stretched_halos(light[:0], distance[:0], 2.0).shape == (0, 64, 64)
