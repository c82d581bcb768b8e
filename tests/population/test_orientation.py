from __future__ import annotations

import numpy as np
import pytest
from tests.population.solids import SPACING, ellipsoid

from cytocascade.population.orientation import assign_bodies, body_covariance, measure_flatness


def test_the_covariance_is_that_of_micrometres() -> None:
    covariance = body_covariance(ellipsoid(12, 6, 6), SPACING)
    assert np.trace(covariance) == pytest.approx(1)
    assert covariance[0, 0] == pytest.approx(144 / (144 + 36 + 36), abs=0.03)


@pytest.mark.parametrize(("flatness", "flat"), [(1.0, True), (0.0, False)])
def test_flat_bodies_lie_flat_only_if_wished(flatness: float, flat: bool) -> None:
    directions = np.repeat(np.eye(3), 2, axis=0)
    # Flat along y, x, z, ...: the wrong order for directions z, z, y, y, x, x.
    shapes = [ellipsoid(*size) for size in [(8, 3, 8), (8, 8, 3), (3, 8, 8)] * 2]
    scores = np.zeros((6, 6))
    np.fill_diagonal(scores, -1)
    order = assign_bodies(directions, shapes, SPACING, flatness, scores)
    thin = [int(np.argmin(np.diag(body_covariance(shapes[i], SPACING)))) for i in order]
    assert (thin == [0, 0, 1, 1, 2, 2]) == flat
    assert sorted(order) == list(range(6))


def test_flatness_is_measured_as_it_is_made() -> None:
    flat = np.zeros((30, 60, 60), dtype=np.uint16)
    upright = np.zeros_like(flat)
    middle = np.array([15, 30, 30])
    for label, (axis, side) in enumerate([(a, s) for a in range(3) for s in (-1, 1)], start=1):
        for volume, thin in ((flat, axis), (upright, (axis + 1) % 3)):
            size = [8.0, 8.0, 8.0]
            size[thin] = 3.0
            mask = ellipsoid(size[0], size[1], size[2])
            corner = middle - np.array(mask.shape) // 2
            corner[axis] += side * (9 if axis == 0 else 18)
            volume[tuple(slice(a, a + n) for a, n in zip(corner, mask.shape))][mask] = label
    assert measure_flatness(flat, SPACING) == pytest.approx(1.0, abs=0.05)
    assert measure_flatness(upright, SPACING) == 0.0
