"""How noisy the inside of cells and the background are, and how varied beneath the noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import Array, BoolArray, FloatArray

_LAPLACIAN = np.asarray([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
"""Noise estimator of Immerkaer (1996): blind to planes, weak on smooth structure."""


def high_pass_energy(image: Array, labels: Array, wanted: Array) -> Array:
    """Return the mean squared Laplacian response inside each labelled cell, two pixels from its outline.

    For white noise it is the noise's variance. NaN for cells that are nowhere deeper than two pixels.

    Parameters
    ----------
    image, labels : ndarray, (Y, X)
        Intensities and instance labels.
    wanted : ndarray of int, (n,)
        Labels to measure.

    Returns
    -------
    ndarray of float64, (n,)
        In squared units of the image.
    """
    response = ndi.convolve(np.asarray(image, dtype=np.float32), _LAPLACIAN) ** 2
    return _mean_inside(response, labels, wanted)


def structure_cv(image: Array, labels: Array, background: FloatArray, wanted: Array) -> Array:
    """Return the coefficient of variation of the smoothed signal inside each labelled cell.

    A Gaussian of two pixels takes most of the noise away and leaves nucleoli and chromatin; pixels within two
    pixels of the outline are left out, NaN where none remain.

    Parameters
    ----------
    image, labels : ndarray, (Y, X)
        Intensities and instance labels.
    background : ndarray, (Y, X) float32
        Local background.
    wanted : ndarray of int, (n,)
        Labels to measure.
    """
    smooth = ndi.gaussian_filter(np.asarray(image, dtype=np.float32) - background, 2.0).astype(np.float64)
    mean, deviation = _moments_inside(smooth, labels, wanted)
    return np.asarray(deviation / np.maximum(np.abs(mean), 1e-6))


def structure_spread(
    image: Array, labels: Array, background: FloatArray, wanted: Array, *, smoothing: float = 0.0
) -> Array:
    """Return the standard deviation of the signal inside each labelled cell.

    Parameters as for `structure_cv`, and the standard deviation, in pixels, of the Gaussian that the signal is smoothed
    with before.
    """
    signal = ndi.gaussian_filter(np.asarray(image, dtype=np.float64) - background, smoothing)
    return _moments_inside(signal, labels, wanted)[1]


def background_spread(image: Array, labels: Array, background: FloatArray) -> tuple[float, float, float]:
    """Return robust standard deviations of the background: of noise far from and near cells, and of texture.

    Parameters
    ----------
    image, labels : ndarray, (Y, X)
        Intensities and instance labels.
    background : ndarray, (Y, X) float32
        Local background.

    Returns
    -------
    far, near, texture : float
        Structure below 0.7 pixels farther than eight pixels from the cells, the same from three to eight pixels
        from them, and structure from 4 to 24 pixels far from them. NaN where there are too few pixels.
    """
    if not (labels > 0).any():
        distance = np.full(labels.shape, np.inf)
    else:
        distance = np.asarray(ndi.distance_transform_edt(labels == 0))
    free = distance > 3
    above = np.where(free, np.asarray(image, dtype=np.float32) - background, np.float32(0))
    weight = free.astype(np.float32)
    fine, middle, coarse = (
        ndi.gaussian_filter(above, sigma) / np.maximum(ndi.gaussian_filter(weight, sigma), 1e-3)
        for sigma in (0.7, 1.4, 4.0)
    )
    noise = above - fine
    far, near = (_without_debris(middle, where) for where in (distance > 8, free & (distance <= 8)))
    return _deviation(noise[far]), _deviation(noise[near]), _deviation(coarse[distance > 8])


def _without_debris(smooth: FloatArray, where: BoolArray) -> BoolArray:
    """Return `where` without the surroundings of what stands out of the spread of the rest."""
    if not where.any():
        return where
    departure = np.abs(smooth - np.median(smooth[where]))
    odd = where & (departure > 4 * 1.4826 * float(np.median(departure[where])))
    return np.asarray(where & ~ndi.binary_dilation(odd, iterations=3))


def _deviation(values: Array) -> float:
    """Return the standard deviation of values cut at 2.5 times their median absolute deviation (scaled).

    Debris does not count, and yet a few grey levels are enough. NaN for fewer than 100 values.
    """
    if len(values) < 100:
        return float("nan")
    centred = np.asarray(values, dtype=np.float64) - np.median(values)
    limit = 2.5 * 1.4826 * float(np.median(np.abs(centred)))
    return float(np.clip(centred, -limit, limit).std())


def inside(labels: Array, depth: int) -> Array:
    """Return the labels where the square that reaches `depth` pixels around holds no other, 0 elsewhere."""
    side = 2 * depth + 1
    alone = ndi.minimum_filter(labels, side) == ndi.maximum_filter(labels, side)
    return np.asarray(np.where(alone, labels, 0))


def _moments_inside(values: Array, labels: Array, wanted: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation, see `_mean_inside`."""
    mean, square = (_mean_inside(powers, labels, wanted) for powers in (values, values**2))
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def _mean_inside(values: Array, labels: Array, wanted: Array) -> Array:
    inner = inside(labels, 2)
    present = np.isin(wanted, np.unique(inner))
    mean = np.full(len(wanted), np.nan)
    if present.any():
        mean[present] = ndi.mean(values, inner, np.asarray(wanted)[present])
    return mean
