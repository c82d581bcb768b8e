"""The large-scale background: a constant, an illumination surface, and haze that follows the cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import linalg
from scipy import ndimage as ndi
from scipy.optimize import lsq_linear
from scipy.special import eval_legendre

from cytocascade.types import Array, BoolArray, FloatArray

ORDER = 3
_BLOCKS = 12_000
_RIDGE = 1e-3
_HAZE_RIDGE = 0.1


@dataclass(frozen=True)
class LargeScale:
    """The large-scale background of one image.

    Attributes
    ----------
    constant : float
        Level without illumination and haze, in the image's units.
    coefficients : ndarray, (t,)
        One per term of `illumination_terms`, in the image's units.
    haze : ndarray, (k,)
        Light scattered from the cells: background per blurred cell signal, for each width.
    """

    constant: float
    coefficients: Array
    haze: Array


def illumination_terms(ndim: int) -> list[tuple[int, ...]]:
    """Return the Legendre orders per axis of every term, total order 1 to `ORDER`."""
    return [term for term in product(range(ORDER + 1), repeat=ndim) if 1 <= sum(term) <= ORDER]


def _axis_polynomials(shape: Sequence[int]) -> list[Array]:
    # Coordinates run over [-1, 1] from frame edge to frame edge, whatever the number of pixels.
    return [eval_legendre(np.arange(ORDER + 1), ((2 * np.arange(n) + 1) / n - 1)[:, None]) for n in shape]


def illumination_basis(shape: Sequence[int]) -> Array:
    """Return the illumination terms on a frame of `shape`, as (t, *shape) float64."""
    axes = _axis_polynomials(shape)
    planes = []
    for term in illumination_terms(len(shape)):
        plane = np.ones(())
        for axis, order in zip(axes, term, strict=True):
            plane = np.multiply.outer(plane, axis[:, order])
        planes.append(plane)
    return np.stack(planes)


def render_illumination(coefficients: Sequence[float], shape: Sequence[int]) -> FloatArray:
    """Return the surface (`shape`, float32) of `coefficients`, which come in the order of the terms."""
    grid = np.zeros((ORDER + 1,) * len(shape))
    for term, value in zip(illumination_terms(len(shape)), coefficients, strict=True):
        grid[term] = value
    for axis in _axis_polynomials(shape):
        grid = np.tensordot(grid, axis, axes=([0], [1]))
    return grid.astype(np.float32)


def block_means(values: Array, weights: Array, block: int) -> tuple[Array, Array]:
    """Return the weighted mean of each block (0 where empty) and the mean weight of each block, float64.

    The frame is padded with weight 0 to whole blocks.
    """
    pad = [(0, -n % block) for n in values.shape]
    split = [size for n, (_, extra) in zip(values.shape, pad, strict=True) for size in ((n + extra) // block, block)]
    inner = tuple(range(1, 2 * values.ndim, 2))
    weight = np.pad(np.asarray(weights, dtype=np.float32), pad)
    total = np.pad(np.asarray(values, dtype=np.float32) * np.asarray(weights, dtype=np.float32), pad)
    mass = weight.reshape(split).mean(axis=inner, dtype=np.float64)
    mean = total.reshape(split).mean(axis=inner, dtype=np.float64) / np.maximum(mass, 1e-12)
    return mean, mass


def blur_wide(signal: FloatArray, width: float) -> FloatArray:
    """Blur `signal` with a Gaussian of standard deviation `width` pixels; beyond the frame it is mirrored.

    Wide blurs run on block means (blocks up to a quarter of the width), which changes them by less than 1 %.
    """
    block = max(1, int(width / 4))
    if block == 1:
        return np.asarray(ndi.gaussian_filter(signal, width, mode="reflect", truncate=3.0), dtype=np.float32)
    coarse, _ = block_means(signal, np.ones(signal.shape, dtype=np.float32), block)
    smooth = ndi.gaussian_filter(coarse, width / block, mode="reflect", truncate=3.0)
    for axis, n in enumerate(signal.shape):
        position = np.clip((np.arange(n) + 0.5) / block - 0.5, 0, smooth.shape[axis] - 1)
        low = np.minimum(position.astype(np.intp), max(smooth.shape[axis] - 2, 0))
        share = (position - low).reshape([-1 if a == axis else 1 for a in range(signal.ndim)])
        high = np.minimum(low + 1, smooth.shape[axis] - 1)
        smooth = np.take(smooth, low, axis) * (1 - share) + np.take(smooth, high, axis) * share
    return np.asarray(smooth, dtype=np.float32)


def render_haze(signal: FloatArray, widths: Sequence[float], strengths: Sequence[float]) -> FloatArray:
    """Return the light (float32, the signal's units) that cells of clean `signal` scatter into the field."""
    haze = np.zeros(signal.shape, dtype=np.float32)
    for width, strength in zip(widths, strengths, strict=True):
        if strength > 0:
            haze += np.float32(strength) * blur_wide(signal, width)
    return haze


@dataclass(frozen=True)
class LargeScaleProblem:
    """Block means of the background of one image, ready for `solve_large_scale`.

    Attributes
    ----------
    design : ndarray, (n, 1 + t + k)
        Constant, illumination terms and blurred cell signal (one column per haze width) of each block.
    target, weight : ndarray, (n,)
        Background of each block, in the image's units, and how much of the block it comes from.
    haze : int
        Number of haze columns, k.
    """

    design: Array
    target: Array
    weight: Array
    haze: int


def large_scale_problem(
    image: Array, free: BoolArray, signal: FloatArray, widths: Sequence[float]
) -> LargeScaleProblem:
    """Reduce an image to what determines its large-scale background.

    Parameters
    ----------
    image : ndarray
        Intensities.
    free : ndarray of bool, same shape
        Background pixels.
    signal : ndarray of float32, same shape
        Image minus local background inside the cells, 0 elsewhere.
    widths : sequence of float
        Standard deviations of the haze, in pixels.
    """
    block = max(1, round((image.size / _BLOCKS) ** (1 / image.ndim)))
    mean, mass = block_means(image, free, block)
    ones = np.ones(image.shape, dtype=np.float32)
    columns = [np.ones(mean.shape)]
    columns += [block_means(plane, ones, block)[0] for plane in illumination_basis(image.shape)]
    columns += [block_means(blur_wide(signal, width), ones, block)[0] for width in widths]
    seen = mass > 0.1 * mass.max()
    return LargeScaleProblem(
        design=np.stack([column[seen] for column in columns], axis=1),
        target=mean[seen],
        weight=mass[seen],
        haze=len(widths),
    )


def fit_large_scale(problems: Sequence[LargeScaleProblem]) -> list[LargeScale]:
    """Fit constant, illumination and haze of several images, robustly; haze is never negative.

    In one image haze is hard to tell from illumination. Optics do not change from image to image, so each
    image's haze is held near the median over the images.
    """
    alone = [_solve(problem, np.zeros(problem.haze), _RIDGE) for problem in problems]
    if len(problems) == 1:
        return alone
    common = np.median([fit.haze for fit in alone], axis=0)
    return [_solve(problem, common, _HAZE_RIDGE) for problem in problems]


def _solve(problem: LargeScaleProblem, haze: Array, trust: float) -> LargeScale:
    # Unlabelled cells and debris are bright outliers: Tukey weights, scale from the median deviation.
    design, weight = problem.design, problem.weight
    size = design.shape[1]
    start = size - problem.haze
    offset = float(np.median(problem.target))
    target = problem.target - offset
    scale = np.maximum(np.sqrt((design**2).mean(axis=0)), 1e-12)
    lower = np.where(np.arange(size) < start, -np.inf, 0.0)
    strength = np.sqrt(weight.sum() * np.r_[0.0, np.full(start - 1, _RIDGE), np.full(problem.haze, trust)])
    prior = np.r_[np.zeros(start), haze] * scale
    robust = np.ones(len(target))
    solution = np.zeros(size)
    for _ in range(6):
        root = np.sqrt(weight * robust)
        stacked = np.vstack([design / scale * root[:, None], np.diag(strength)])
        rotation, triangle = linalg.qr(stacked, mode="economic")
        rhs = rotation.T @ np.concatenate([target * root, strength * prior])
        fitted = lsq_linear(triangle, rhs, bounds=(lower, np.inf), method="bvls")
        solution = fitted.x / scale
        residual = target - design @ solution
        spread = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
        if spread <= 0:
            break
        robust = np.clip(1 - (residual / (6 * spread)) ** 2, 0, 1) ** 2
    return LargeScale(constant=offset + float(solution[0]), coefficients=solution[1:start], haze=solution[start:])
