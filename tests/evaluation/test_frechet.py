from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from cytocascade.evaluation.frechet import frechet_distance, kernel_distance


def textbook(first: np.ndarray, second: np.ndarray) -> float:
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    gap = first.mean(axis=0) - second.mean(axis=0)
    return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b).real))


def samples(count: int, other: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.standard_normal((count, dimensions)), 1.5 * draw.standard_normal((other, dimensions)) + 0.3


@pytest.mark.parametrize(("count", "other"), [(200, 300), (40, 200)])
def test_frechet_distance_agrees_with_the_matrix_square_root(count: int, other: int) -> None:
    first, second = samples(count, other, 12)
    assert frechet_distance(first, second) == pytest.approx(textbook(first, second), rel=1e-6)


def test_fewer_vectors_than_dimensions_still_give_zero_for_the_same_sample() -> None:
    first, _ = samples(20, 20, 500)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-8)


def test_frechet_distance_of_known_gaussians() -> None:
    draw = np.random.default_rng(1)
    first, second = draw.standard_normal((200_000, 2)), 3 * draw.standard_normal((200_000, 2)) + [1, 0]
    assert frechet_distance(first, second) == pytest.approx(1 + 2 * (3 - 1) ** 2, rel=0.02)


def test_kernel_distance_is_unbiased() -> None:
    draw = np.random.default_rng(2)
    values = [
        kernel_distance(draw.standard_normal((60, 8)), draw.standard_normal((60, 8)), draw, subsets=4, size=50)[0]
        for _ in range(60)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


def test_kernel_distance_sees_a_shift() -> None:
    first, second = samples(150, 150, 8)
    value, spread = kernel_distance(first, second, np.random.default_rng(0))
    assert value > 5 * spread > 0
