"""How noisy the inside of cells is, and how varied beneath the noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import Array, FloatArray

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
    mean, square = (_mean_inside(values, labels, wanted) for values in (smooth, smooth**2))
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)) / np.maximum(np.abs(mean), 1e-6))


def _mean_inside(values: Array, labels: Array, wanted: Array) -> Array:
    inner = np.where(ndi.minimum_filter(labels, 5) == ndi.maximum_filter(labels, 5), labels, 0)
    present = np.isin(wanted, np.unique(inner))
    mean = np.full(len(wanted), np.nan)
    if present.any():
        mean[present] = ndi.mean(values, inner, np.asarray(wanted)[present])
    return mean
