"""Weights along one axis: narrow Gaussians, and the way from one raster to another."""

from __future__ import annotations

import numpy as np
from scipy.special import ive

from cytocascade.types import Array

_REACH = 4.0


def discrete_gaussian(sigma: float, *, reach: float = _REACH) -> Array:
    """Return the discrete analogue of a Gaussian (odd length, sum 1), of variance `sigma` ** 2 however narrow it is.

    A sampled Gaussian is too narrow where `sigma` is below a voxel, which is common along z.

    References
    ----------
    T. Lindeberg, Scale-space for discrete signals, IEEE TPAMI 12, 234-254 (1990): ``exp(-t) I_n(t)``.
    """
    length = int(np.ceil(reach * sigma + 2)) if sigma > 0 else 0
    kernel = np.asarray(ive(np.abs(np.arange(-length, length + 1)), sigma**2), dtype=np.float64)
    return np.asarray(kernel / kernel.sum())


def overlap_weights(
    count: int, step: float, planes: int, out_step: float, *, width: float, shift: float = 0.0
) -> Array:
    """Return how much each input plane counts in each output plane.

    An output plane is the mean of the input over a slab of `width` around it. With ``width=step`` this is linear
    interpolation, with ``width=out_step`` the mean over the slab that it stands for. Both rasters are centred on each
    other; beyond its ends the input is continued by its last planes.

    Parameters
    ----------
    count, step
        Planes of the input and their distance.
    planes, out_step
        Planes of the output and their distance.
    width : float
        Thickness of the slab, in the unit of the steps.
    shift : float
        How far the middle of the output lies above that of the input.

    Returns
    -------
    ndarray of float64, (planes, count)
        Rows sum to 1.
    """
    centres = (np.arange(planes) - (planes - 1) / 2) * out_step + shift
    edges = (np.arange(count + 1) - count / 2) * step
    edges[0], edges[-1] = -np.inf, np.inf
    low = np.maximum(edges[None, :-1], centres[:, None] - width / 2)
    high = np.minimum(edges[None, 1:], centres[:, None] + width / 2)
    return np.asarray(np.maximum(high - low, 0.0) / width)
