"""Local background of an annotated image, estimated from the pixels that no cell reaches."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

from cytocascade.types import Array, BoolArray, FloatArray


def background_pixels(image: Array, labels: Array, *, rim: float = 4.0, sparse: bool = False) -> BoolArray:
    """Return the pixels that belong to the background.

    Parameters
    ----------
    image, labels : ndarray, (Y, X) or (Z, Y, X)
        Intensities and instance labels.
    rim : float
        Distance from the labels, in pixels, within which light of the cells still reaches.
    sparse : bool
        Whether there may be unlabelled cells; pixels as far from the background level as they are
        (in either direction, so that phase contrast works too) are then left out as well.

    Returns
    -------
    ndarray of bool
        True where the pixel is background. Never empty: the rim shrinks until some pixels are left.
    """
    distance = np.asarray(ndi.distance_transform_edt(labels == 0))
    free = distance > rim
    while free.mean() < 0.02 and rim > 0.5:
        rim *= 0.5
        free = distance > rim
    if not free.any():
        free = np.ones(labels.shape, dtype=bool)
    if sparse:
        free &= ~unlabelled_foreground(image, labels, rim=rim)
    return np.asarray(free)


def unlabelled_foreground(image: Array, labels: Array, *, rim: float = 4.0) -> BoolArray:
    """Return pixels away from every label that look like cells.

    A pixel counts if, after light smoothing, it differs from the median of the unlabelled pixels by more than
    half of what the labelled pixels do, or lies beyond the Otsu threshold of those differences.
    """
    smooth = ndi.gaussian_filter(np.asarray(image, dtype=np.float32), 1.0)
    outside = ndi.distance_transform_edt(labels == 0) > rim
    if not outside.any() or not (labels > 0).any():
        return np.zeros(labels.shape, dtype=bool)
    level = float(np.median(smooth[outside]))
    spread = 1.4826 * float(np.median(np.abs(smooth[outside] - level))) + 1e-6
    departure = np.abs(smooth - level)
    inside = float(np.median(departure[labels > 0]))
    threshold = 0.5 * inside
    if departure[outside].max() > departure[outside].min():
        otsu = float(threshold_otsu(departure[outside]))
        if otsu > 6 * spread:
            threshold = min(threshold, otsu)
    seen = (departure > max(threshold, 4 * spread)) & outside
    seen = ndi.binary_opening(seen, iterations=1)
    return np.asarray(ndi.binary_dilation(seen, iterations=max(1, round(rim))) & outside)


def estimate_background(
    image: Array, labels: Array, *, rim: float = 4.0, scale: float = 24.0, sparse: bool = False
) -> FloatArray:
    """Estimate the background under and around the cells by normalised convolution.

    Parameters
    ----------
    image, labels : ndarray, (Y, X) or (Z, Y, X)
        Intensities and instance labels.
    rim : float
        See `background_pixels`.
    scale : float
        Standard deviation, in pixels, of the Gaussian over which background pixels are averaged. Where a
        wide area holds no background pixel, coarser averages fill in.
    sparse : bool
        Whether there may be unlabelled cells.

    Returns
    -------
    ndarray of float32
        Background in the image's units, same shape.
    """
    free = background_pixels(image, labels, rim=rim, sparse=sparse)
    values = np.asarray(image, dtype=np.float32)
    result = np.full(values.shape, np.median(values[free]), dtype=np.float32)
    weights = free.astype(np.float32)
    for sigma in (4 * scale, 2 * scale, scale):
        norm = _wide_blur(weights, sigma)
        mean = _wide_blur(weights * (values - result), sigma)
        trust = norm / (norm + 0.02)
        result += trust * mean / np.maximum(norm, 1e-6)
    return result


def _wide_blur(values: FloatArray, sigma: float) -> FloatArray:
    """Return a Gaussian average, computed on blocks of about a sixth of `sigma`: as smooth, and much faster."""
    block = max(1, int(sigma // 6))
    if min(values.shape) < 4 * block:
        return np.asarray(ndi.gaussian_filter(values, sigma, truncate=3.0))
    padded = np.pad(values, [(0, -side % block) for side in values.shape], mode="edge")
    split = [part for side in padded.shape for part in (side // block, block)]
    coarse = padded.reshape(split).mean(axis=tuple(range(1, 2 * values.ndim, 2)))
    coarse = ndi.gaussian_filter(coarse, sigma / block, truncate=3.0)
    for axis, side in enumerate(values.shape):
        # Linear interpolation along one axis after the other, at the centres of the pixels.
        position = np.clip((np.arange(side) + 0.5) / block - 0.5, 0, coarse.shape[axis] - 1)
        low = np.minimum(position.astype(int), max(coarse.shape[axis] - 2, 0))
        share = (position - low).reshape([-1 if a == axis else 1 for a in range(values.ndim)]).astype(np.float32)
        high = np.minimum(low + 1, coarse.shape[axis] - 1)
        coarse = np.take(coarse, low, axis) * (1 - share) + np.take(coarse, high, axis) * share
    return np.asarray(coarse, dtype=np.float32)


def background_noise(image: Array, background: FloatArray, free: BoolArray) -> float:
    """Return the standard deviation of the background noise (robust, in the image's units)."""
    residual = np.asarray(image, dtype=np.float32)[free] - background[free]
    spread = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    return spread if spread > 0 else float(residual.std())
