"""How noisy the inside of cells is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import Array

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
    inner = np.where(ndi.minimum_filter(labels, 5) == ndi.maximum_filter(labels, 5), labels, 0)
    present = np.isin(wanted, np.unique(inner))
    energy = np.full(len(wanted), np.nan)
    if present.any():
        energy[present] = ndi.mean(response, inner, np.asarray(wanted)[present])
    return energy
