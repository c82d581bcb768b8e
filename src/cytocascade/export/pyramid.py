"""Smaller and smaller copies of an image or a label map, for viewers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from cytocascade.types import Array

_SMALLEST = 64
"""The pyramid ends when both lateral axes have at most as many pixels."""


def level_factors(shape: Sequence[int], spacing: Sequence[float]) -> list[tuple[int, ...]]:
    """Return for each level how many voxels of the full image one of its voxels spans, along each axis.

    Each level halves the axes with the finest spacing, until all are about equal (within a factor of the square root
    of 2); from then on it halves all. The first level is the image itself.

    Parameters
    ----------
    shape : sequence of int
        Voxels along (y, x) or (z, y, x).
    spacing : sequence of float
        Micrometres per voxel, same order.
    """
    sizes, factors = list(shape), [1] * len(shape)
    levels = [tuple(factors)]
    while max(sizes[-2:]) > _SMALLEST:
        steps = [size * factor for size, factor in zip(spacing, factors)]
        finest = min(step for step, size in zip(steps, sizes) if size > 1)
        halved = [size > 1 and step < finest * 2**0.5 for step, size in zip(steps, sizes)]
        sizes = [-(-size // 2) if half else size for size, half in zip(sizes, halved)]
        factors = [factor * 2 if half else factor for factor, half in zip(factors, halved)]
        levels.append(tuple(factors))
    return levels


def shrink_by_mean(array: Array, factors: Sequence[int]) -> Array:
    """Return the means of blocks of `factors` voxels, in the dtype of `array`.

    Where an axis ends within a block, its last voxels count twice. Integers are rounded.
    """
    shape = [-(-size // factor) for size, factor in zip(array.shape, factors)]
    missing = [(0, size * factor - have) for size, factor, have in zip(shape, factors, array.shape)]
    padded = np.pad(array, missing, mode="edge")
    blocks = padded.reshape(list(itertools.chain.from_iterable(zip(shape, factors))))
    means = blocks.mean(axis=tuple(range(1, 2 * array.ndim, 2)), dtype=np.float64)
    return np.asarray(np.rint(means) if array.dtype.kind in "ui" else means).astype(array.dtype)


def shrink_by_nearest(array: Array, factors: Sequence[int]) -> Array:
    """Return one voxel out of each block of `factors` voxels, so that no new labels arise."""
    return array[tuple(slice(None, None, factor) for factor in factors)]


def pyramid(
    array: Array, levels: Sequence[tuple[int, ...]], shrink: Callable[[Array, Sequence[int]], Array]
) -> list[Array]:
    """Return `array` at all levels of `level_factors`, each made from the one before."""
    arrays = [array]
    for finer, coarser in itertools.pairwise(levels):
        arrays.append(shrink(arrays[-1], [big // small for big, small in zip(coarser, finer)]))
    return arrays
