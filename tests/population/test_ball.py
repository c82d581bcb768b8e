from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from cytocascade.population.ball import spread_points

SEMI = np.array([20.0, 30.0, 30.0])


def test_points_stay_inside_and_keep_their_distance() -> None:
    points = spread_points(SEMI, SEMI, np.full(60, 9.0), np.random.default_rng(0))
    assert (((points / SEMI) ** 2).sum(axis=1) <= 1 + 1e-9).all()
    nearest = KDTree(points).query(points, k=2)[0][:, 1]
    assert nearest.mean() > 8.5


def test_points_stay_in_the_box() -> None:
    points = spread_points(SEMI, np.array([5.0, 30.0, 30.0]), np.full(30, 9.0), np.random.default_rng(0))
    assert np.abs(points[:, 0]).max() <= 5.0


def test_without_room_points_come_as_near_as_they_must() -> None:
    points = spread_points(SEMI, SEMI, np.full(200, 40.0), np.random.default_rng(0))
    assert np.isfinite(points).all()
    assert KDTree(points).query(points, k=2)[0][:, 1].mean() > 5.0
