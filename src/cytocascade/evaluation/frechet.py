"""Distances between two clouds of feature vectors: Fréchet and kernel."""

from __future__ import annotations

import numpy as np

from cytocascade.types import Array


def frechet_distance(first: Array, second: Array) -> float:
    """Return the Fréchet distance of the Gaussians fitted to two samples (n, d) and (m, d).

    With centred samples A, B (each / sqrt(count - 1)) the covariances are A'A and B'B, and the eigenvalues of
    their product are the squared singular values of AB'; the trace of the matrix square root is therefore the
    sum of the singular values of AB'. This is exact for fewer vectors than dimensions, where square roots of
    the singular covariances lose digits.

    Source: Heusel et al., *GANs trained by a two time-scale update rule* (NeurIPS 2017).
    """
    gap = first.mean(axis=0) - second.mean(axis=0)
    a, b = _factor(first), _factor(second)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (a**2).sum() + (b**2).sum() - 2 * overlap))


def _factor(sample: Array) -> Array:
    centred = (sample - sample.mean(axis=0)) / np.sqrt(max(1, len(sample) - 1))
    # R of the QR decomposition has the same R'R and at most d rows.
    return np.asarray(np.linalg.qr(centred, mode="r") if len(sample) > sample.shape[1] else centred)


def kernel_distance(
    first: Array, second: Array, generator: np.random.Generator, *, subsets: int = 50, size: int = 100
) -> tuple[float, float]:
    """Return mean and deviation over subsets of the unbiased squared MMD with the kernel (xy/d + 1)³.

    Unbiased: two samples of one distribution give 0 on average (single values may be negative), whatever
    the number of vectors.

    Source: Bińkowski et al., *Demystifying MMD GANs* (ICLR 2018).
    """
    size = min(size, len(first), len(second))
    if size < 2:
        return 0.0, 0.0
    inside_first, inside_second, across = (
        (x @ y.T / first.shape[1] + 1) ** 3 for x, y in ((first, first), (second, second), (first, second))
    )
    values = []
    for _ in range(subsets):
        i = generator.choice(len(first), size, replace=False)
        j = generator.choice(len(second), size, replace=False)
        values.append(
            _without_diagonal(inside_first[np.ix_(i, i)])
            + _without_diagonal(inside_second[np.ix_(j, j)])
            - 2 * float(across[np.ix_(i, j)].mean())
        )
    return float(np.mean(values)), float(np.std(values))


def _without_diagonal(kernel: Array) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
