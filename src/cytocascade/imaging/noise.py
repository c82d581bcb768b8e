"""Estimating the camera: how the noise of a pixel depends on the light that reaches it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import ndimage as ndi

from cytocascade.imaging.texture import SCORES, normal_quantiles, sample_noise
from cytocascade.types import Array, BoolArray, FloatArray

_BINS = 16
_MIN_BIN = 1500
_MIN_WINDOWS = 200
_WINDOW = 7
_LOW = 0.2


class NoiseModel(BaseModel):
    """Signal-dependent, spatially correlated noise of the camera."""

    model_config = ConfigDict(extra="forbid")

    read: float
    """Variance of the noise at the mean background, in squared image units."""
    gain: float
    """Increase of that variance per unit of light above the background."""
    kernel: list[list[float]]
    """Autocorrelation of the noise over (y, x), lag 0 (value 1) in the middle."""
    means: list[float]
    """Background levels, increasing, at which the distribution of the noise was measured, in image units."""
    variances: list[float]
    """Variance of the noise at each of `means`, without rounding unless there is `jitter`."""
    quantiles: list[list[float]]
    """For each of `means` the deviation of a pixel at the normal scores `texture.SCORES`, in image units."""
    jitter: float
    """Width over which whole grey levels were spread before the quantiles were taken (0: continuous)."""


class NoiseTable:
    """Collects (local mean, pixel value) of background pixels and bins them by local mean.

    Binning keeps what a formula would lose: photon counts, clipping at zero, rounding to few grey levels.
    """

    def __init__(self) -> None:
        self._means: list[Array] = []
        self._values: list[Array] = []

    def add(self, image: Array, local_mean: FloatArray, mask: BoolArray) -> None:
        """Add the pixels of `image` inside `mask`; at most about 300 000 of them are kept."""
        stride = max(1, int(mask.sum() / 300_000))
        self._means.append(local_mean[mask][::stride].astype(np.float64))
        self._values.append(np.asarray(image[mask][::stride], dtype=np.float64))

    def share_at(self, value: float) -> float:
        """Return the share of the pixels that have exactly `value`."""
        return float(np.mean(np.concatenate(self._values) == value))

    def fit(self, variance: float, jitter: float, *, level_width: float = 0.0) -> tuple[Array, Array, Array]:
        """Return means (k,), variances (k,) and quantiles (k, s), with overall noise variance `variance`.

        Local means are themselves noisy and miss the finest texture, hence the scaling to the variance that
        the autocovariance gives to noise; it must not include rounding. Counted or clipped light is measured
        level by level instead (`jitter`: the distance of the grey levels) and not scaled.

        Grey levels of `level_width` not far below the noise make the variance rise and fall with the distance
        of the mean from the next level. Rounding brings that back, so the table holds the trend alone.
        """
        mean, value = np.concatenate(self._means), np.concatenate(self._values)
        bins = int(np.clip(mean.size // _MIN_BIN, 1, _BINS))
        edges = np.quantile(mean, np.linspace(0.005, 0.995, bins + 1))
        which = np.clip(np.searchsorted(edges, mean, side="right") - 1, -1, bins)
        which[mean == edges[-1]] = bins - 1
        means, variances, quantiles = [], [], []
        for index in range(bins):
            members = which == index
            if members.sum() < min(_MIN_BIN // 4, mean.size):
                continue
            deviation = value[members] - mean[members] if jitter == 0 else value[members] - value[members].mean()
            centre = float(value[members].mean()) if jitter > 0 else float(mean[members].mean())
            means.append(centre)
            quantiles.append(normal_quantiles(deviation, jitter=jitter))
            low, high = quantiles[-1][[0, -1]]
            variances.append(float(np.clip(deviation, low, high).var()))
        if not means:
            means, variances, quantiles = [float(mean.mean())], [variance], [SCORES * np.sqrt(variance)]
        order = np.argsort(means)
        table = np.asarray(quantiles)[order]
        spread = np.asarray(variances)[order]
        factor = float(np.clip(variance / max(spread.mean(), 1e-12), 0.2, 1.5)) if variance > 0 else 1.0
        if jitter > 0:
            factor = 1.0  # counts must stay on their grey levels
        elif level_width > 0.5 * np.sqrt(variance) and len(means) > 2:
            shape = (table / np.sqrt(np.maximum(spread, 1e-12))[:, None]).mean(axis=0)
            trend = np.polyval(np.polyfit(np.asarray(means)[order], spread, 1), np.asarray(means)[order])
            spread = np.clip(trend, 0.5 * spread.mean(), 2 * spread.mean())
            table = shape * np.sqrt(spread)[:, None]
        return np.asarray(means)[order], spread * factor, table * np.sqrt(factor)


def _high_pass(image: Array) -> FloatArray:
    """Apply Immerkaer's operator (1996), blind to constant and linear intensity, along the last two axes."""
    values = np.asarray(image, dtype=np.float32)
    for axis in (-1, -2):
        values = np.asarray(ndi.correlate1d(values, [1.0, -2.0, 1.0], axis=axis, mode="nearest"))
    return values


def _low_quantile_of_unit_noise(kernel: Array) -> float:
    """Return what the low quantile of windowed high-pass variance is for pure noise of variance 1."""
    noise = sample_noise(np.random.default_rng(0), kernel, (256, 256))
    return float(np.quantile(ndi.uniform_filter(_high_pass(noise) ** 2, _WINDOW), _LOW))


def noise_by_intensity(image: Array, labels: Array, kernel: Array, saturation: float) -> tuple[Array, Array, Array]:
    """Measure noise variance in windows that lie wholly inside one cell.

    Structure adds to the variance in a window, never takes from it; the low quantile of the windows of
    similar intensity, corrected for the quantile, therefore comes closest to the camera's noise.

    Returns
    -------
    intensity, variance, weight : ndarray of float64, (bins,)
    """
    size = (1,) * (image.ndim - 2) + (_WINDOW + 2, _WINDOW + 2)
    inside = ndi.minimum_filter(labels, size=size) == ndi.maximum_filter(labels, size=size)
    inside &= (labels > 0) & (ndi.maximum_filter(image, size=size) < saturation)
    if inside.sum() < _MIN_WINDOWS:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    window = (*size[:-2], _WINDOW, _WINDOW)
    power = ndi.uniform_filter(_high_pass(image) ** 2, window)[inside]
    light = ndi.uniform_filter(np.asarray(image, dtype=np.float32), window)[inside]
    # Narrow bins: mixing dim and bright cells would let the dim ones set the low quantile.
    bins = int(np.clip(light.size // _MIN_WINDOWS, 1, 16))
    edges = np.quantile(light, np.linspace(0, 1, bins + 1))
    which = np.clip(np.searchsorted(edges, light, side="right") - 1, 0, bins - 1)
    unit = _low_quantile_of_unit_noise(kernel)
    filled = [index for index in range(bins) if (which == index).any()]
    intensity = [float(light[which == index].mean()) for index in filled]
    variance = [float(np.quantile(power[which == index], _LOW)) / unit for index in filled]
    return np.asarray(intensity), np.asarray(variance), np.asarray([(which == i).sum() for i in filled], float)


def fit_gain(intensity: Array, variance: Array, weight: Array, background: float, read: float) -> float:
    """Return the robust slope (never negative) of noise variance over light above the background.

    The line is held at the background, where the noise is known best; the slope is the weighted median of
    the slopes of the bins.
    """
    light = np.asarray(intensity) - background
    usable = light > 2 * np.sqrt(max(read, 0.0))
    if not usable.any():
        return 0.0
    slopes = (np.asarray(variance)[usable] - read) / light[usable]
    order = np.argsort(slopes)
    mass = np.cumsum((np.asarray(weight)[usable] * light[usable])[order])
    return float(max(slopes[order][np.searchsorted(mass, 0.5 * mass[-1])], 0.0))


def kernel_rows(kernel: Array) -> list[list[float]]:
    """Return a 2D kernel as nested lists, normalised to 1 in the middle and symmetric."""
    centre = kernel[tuple(size // 2 for size in kernel.shape)]
    unit = kernel / centre if centre > 0 else np.zeros_like(kernel)
    unit = np.clip(0.5 * (unit + unit[::-1, ::-1]), -1.0, 1.0)
    unit[tuple(size // 2 for size in kernel.shape)] = 1.0
    return [[float(value) for value in row] for row in unit]


def pooled(values: Sequence[Array]) -> Array:
    """Return the concatenation of `values`, also if there are none."""
    return np.concatenate([*values]) if len(values) else np.zeros(0)
