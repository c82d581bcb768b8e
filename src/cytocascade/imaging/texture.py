"""Stationary random fields with a measured autocovariance and a measured marginal distribution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy import fft
from scipy import ndimage as ndi
from scipy.special import eval_hermitenorm, ndtr, roots_hermitenorm

from cytocascade.types import Array, BoolArray, FloatArray

MAX_LAG = 160
NOISE_REACH = 2
SCORES = np.round(np.linspace(-3.2, 3.2, 65), 6)
"""Normal scores at which quantile tables are stored: the p-quantile stands at the score of p."""
_EXTRAPOLATE = (NOISE_REACH + 1, NOISE_REACH + 6)
_MIN_PAIRS = 200.0


def masked_autocovariance(residual: Array, mask: BoolArray, reach: int) -> tuple[Array, Array]:
    """Sum products of pixel pairs at every lag, over pairs that both lie in `mask`.

    Parameters
    ----------
    residual : ndarray
        Values whose mean over `mask` is taken as 0.
    mask : ndarray of bool, same shape
        Pixels that count.
    reach : int
        Largest lag along each axis, in pixels.

    Returns
    -------
    products, pairs : ndarray of float64, (2 * reach + 1, ...) each
        Sums of products and numbers of pairs; lag 0 stands in the middle.
    """
    shape = [fft.next_fast_len(n + reach, real=True) for n in mask.shape]
    centred = np.where(mask, residual, 0.0)
    window = np.ix_(*[np.arange(-reach, reach + 1) % n for n in shape])

    def correlate(values: Array) -> Array:
        spectrum = fft.rfftn(values, shape, workers=1)
        return np.asarray(fft.irfftn(spectrum.real**2 + spectrum.imag**2, shape, workers=1)[window])

    return correlate(centred), np.maximum(correlate(mask.astype(np.float64)), 0.0)


def split_autocovariance(products: Array, pairs: Array) -> tuple[Array, Array]:
    """Split an autocovariance into a smooth isotropic texture and short-range noise.

    What varies slowly beyond the reach of the noise (lags up to `NOISE_REACH`) is texture; its radial
    autocovariance is continued to lag 0 along a parabola, and the rest at short lags is noise.

    Returns
    -------
    texture : ndarray, (reach + 1,)
        Radial autocovariance of the texture at lags 0, 1, ... pixels, tapered to 0.
    noise : ndarray, (2 * NOISE_REACH + 1, ...)
        Autocovariance of the noise, lag 0 in the middle.
    """
    reach = products.shape[0] // 2
    lags = np.meshgrid(*[np.arange(-reach, reach + 1)] * products.ndim, indexing="ij")
    radius = np.sqrt(sum(np.square(lag, dtype=np.float64) for lag in lags))
    ring = np.rint(radius).astype(np.intp).ravel()
    mass = np.bincount(ring, pairs.ravel())[: reach + 1]
    radial = np.bincount(ring, products.ravel())[: reach + 1] / np.maximum(mass, 1.0)
    enough = mass > _MIN_PAIRS
    radial[~enough] = 0.0
    total = products / np.maximum(pairs, 1.0)
    variance = total[(reach,) * products.ndim]
    near, far = _EXTRAPOLATE
    if reach >= far and enough[near:far].all():
        slope, start = np.polyfit(np.arange(near, far), radial[near:far], 1)
        # With this slope where it begins and none at lag 0, as optics blur the texture: a cusp would be noise.
        rise = min(slope, 0.0) / (2 * near)
        radial[:near] = start + slope * near + rise * (np.arange(near) ** 2 - near**2)
    else:
        radial[:near] = 0.0
    radial[:near] = np.clip(radial[:near], 0.0, 0.98 * variance)
    flat = 2 * reach // 3
    taper = np.ones(reach + 1)
    taper[flat:] = 0.5 + 0.5 * np.cos(np.pi * np.arange(reach + 1 - flat) / max(reach - flat, 1))
    texture = radial * taper
    core = tuple(slice(reach - NOISE_REACH, reach + NOISE_REACH + 1) for _ in range(products.ndim))
    noise = total[core] - np.interp(radius[core], np.arange(reach + 1), texture)
    return texture, noise


def _normal_nodes() -> tuple[Array, Array]:
    """Return nodes and weights (sum 1) that integrate over a standard normal variable."""
    nodes, weights = roots_hermitenorm(101)
    return np.asarray(nodes), np.asarray(weights) / np.sum(weights)


def normal_quantiles(values: Array, *, jitter: float = 0.0) -> Array:
    """Return the quantiles of `values` at `SCORES`; whole levels are first spread over `jitter` (their width)."""
    spread = np.asarray(values, dtype=np.float64)
    if jitter > 0:
        # A low-discrepancy spread instead of a random one: the fit depends on the images alone.
        spread = spread + jitter * ((np.arange(spread.size) * 0.6180339887498949) % 1.0 - 0.5)
    return np.asarray(np.quantile(spread, ndtr(SCORES)))


def map_scores(gaussian: FloatArray, quantiles: Sequence[float]) -> FloatArray:
    """Map standard normal values onto the distribution with these quantiles at `SCORES`."""
    return np.asarray(np.interp(gaussian, SCORES, np.asarray(quantiles)), dtype=np.float32)


def standardise_quantiles(quantiles: Array) -> Array:
    """Shift and scale quantiles so that mapped normal values have mean 0 and standard deviation 1."""
    nodes, weights = _normal_nodes()
    mapped = np.interp(nodes, SCORES, quantiles)
    mean = float(weights @ mapped)
    deviation = float(np.sqrt(weights @ (mapped - mean) ** 2))
    return SCORES.copy() if deviation <= 0 else (np.asarray(quantiles) - mean) / deviation


def without_heavy_tails(quantiles: Array) -> tuple[Array, float]:
    """Standardise quantiles after cutting their tails at three robust deviations from the median.

    Such tails come from out-of-focus cells and debris. A random field would spread them over clouds as wide
    as its correlation, which no real image shows.

    Returns
    -------
    quantiles : ndarray
        Mean 0, standard deviation 1.
    remaining : float
        Share of the variance that is left, in (0, 1].
    """
    table = np.asarray(quantiles, dtype=np.float64)
    middle = float(np.interp(0.0, SCORES, table))
    low, high = np.interp([-1.0, 1.0], SCORES, table)
    cut = np.clip(table, middle - 1.5 * (high - low), middle + 1.5 * (high - low))
    nodes, weights = _normal_nodes()

    def variance(values: Array) -> float:
        mapped = np.interp(nodes, SCORES, values)
        return float(weights @ (mapped - weights @ mapped) ** 2)

    whole = variance(table)
    remaining = variance(cut) / whole if whole > 0 else 1.0
    return standardise_quantiles(cut), min(max(remaining, 1e-6), 1.0)


def compensated_correlation(target: Array, quantiles: Sequence[float]) -> Array:
    """Return the correlation a normal field needs so that it has correlation `target` after `map_scores`.

    The map's Hermite series gives the correlation after the map as a power series in that before it
    (the NORTA relation of Cario and Nelson, 1997), which is inverted by table.
    """
    nodes, weights = _normal_nodes()
    mapped = np.interp(nodes, SCORES, np.asarray(quantiles))
    order = 24
    basis = eval_hermitenorm(np.arange(order + 1), nodes[:, None])
    factorial = np.cumprod(np.concatenate([[1.0], np.arange(1, order + 1)]))
    power = (basis.T @ (weights * mapped)) ** 2 / factorial
    power[0] = 0.0
    power[1] += max(float(weights @ (mapped - weights @ mapped) ** 2) - power.sum(), 0.0)
    if power.sum() <= 0:
        return np.asarray(target)
    before = np.linspace(-1, 1, 801)
    after = np.maximum.accumulate(np.polyval(power[::-1] / power.sum(), before))
    return np.interp(target, after, before)


def sample_texture(generator: np.random.Generator, radial: Sequence[float], shape: Sequence[int]) -> FloatArray:
    """Draw a normal field (float32, variance ``radial[0]``) of a radial autocovariance (lags 0, 1, ... pixels)."""
    covariance = np.asarray(radial, dtype=np.float64)
    if not covariance.size or covariance[0] <= 0:
        return np.zeros(tuple(shape), dtype=np.float32)
    padded = [fft.next_fast_len(n + covariance.size, real=True) for n in shape]
    squares = [np.square(np.minimum(np.arange(n), n - np.arange(n)), dtype=np.float32) for n in padded]
    radius = np.sqrt(sum(np.ix_(*squares)))
    values = np.asarray(np.interp(radius, np.arange(covariance.size), covariance, right=0.0))
    return _sample(generator, values, shape)


def sample_noise(generator: np.random.Generator, kernel: Array, shape: Sequence[int]) -> FloatArray:
    """Draw a standard normal field (float32) whose autocorrelation is `kernel` (odd size, lag 0 in the middle)."""
    kernel = np.asarray(kernel, dtype=np.float64)
    if np.count_nonzero(kernel) <= 1:
        return generator.standard_normal(tuple(shape), dtype=np.float32)
    padded = [fft.next_fast_len(n + 2 * size, real=True) for n, size in zip(shape, kernel.shape, strict=True)]
    covariance = np.zeros(padded)
    for lag in product(*[range(size) for size in kernel.shape]):
        covariance[tuple(k - size // 2 for k, size in zip(lag, kernel.shape, strict=True))] = kernel[lag]
    return _sample(generator, covariance, shape)


def _sample(generator: np.random.Generator, covariance: Array, shape: Sequence[int]) -> FloatArray:
    spectrum = np.maximum(fft.rfftn(covariance, workers=1).real, 0.0).astype(np.float32)
    full = covariance.shape
    white = fft.rfftn(generator.standard_normal(full, dtype=np.float32), workers=1)
    # Cutting negative powers (sampling error of the estimate) adds variance: scale it back.
    kept = float(fft.irfftn(spectrum, full, workers=1).flat[0])
    amplitude = np.sqrt(spectrum * np.float32(covariance.flat[0] / max(kept, 1e-30)))
    field = fft.irfftn(white * amplitude, full, workers=1)
    return np.asarray(field[tuple(slice(n) for n in shape)], dtype=np.float32)


def smooth_inside(values: Array, mask: BoolArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Return the Gaussian mean of the pixels in `mask`, and the share of the Gaussian that lies in `mask`."""
    weight = mask.astype(np.float32)
    share = np.asarray(ndi.gaussian_filter(weight, sigma, truncate=3.0, mode="constant"))
    total = ndi.gaussian_filter(weight * np.asarray(values, np.float32), sigma, truncate=3.0, mode="constant")
    return np.asarray(total / np.maximum(share, 1e-6), dtype=np.float32), share
