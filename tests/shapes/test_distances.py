from __future__ import annotations

import numpy as np
import pytest

from cytocascade.shapes.distances import redistance


def ball(size: int, ndim: int, radius: float) -> np.ndarray:
    line = np.linspace(-1, 1, size)
    return radius - np.sqrt(sum(axis**2 for axis in np.meshgrid(*[line] * ndim, indexing="ij")))


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_distance_to_a_ball_is_found_from_any_field_with_its_zero_set(ndim: int) -> None:
    step = 2 / 39
    true = ball(40, ndim, 0.61)
    # The same zero set, but neither the right slope nor a constant one.
    field = true * (2.0 + np.indices(true.shape)[0] / 40)
    found = redistance(field, step)
    assert np.array_equal(found > 0, true > 0)
    near = np.abs(true) < 3 * step
    assert np.abs(found - true)[near].max() < 0.25 * step
    assert np.abs(found - true)[near].mean() < 0.05 * step
    assert np.abs(found - true).max() < 0.6 * step


def test_the_zero_set_stays_where_it_is_between_nodes() -> None:
    step = 1.0
    x = np.arange(20.0)[None, :].repeat(20, axis=0)
    for edge in (9.1, 9.5, 9.9):
        assert np.allclose(redistance(edge - x, step)[5:15, 5:15], (edge - x)[5:15, 5:15], atol=1e-4)


def test_units_follow_the_step() -> None:
    field = ball(20, 2, 0.5)
    assert np.allclose(redistance(field, 3.0), 3 * redistance(field, 1.0), rtol=1e-5)
