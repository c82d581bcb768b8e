"""The background of a volume: what light there would be without the cells, and its noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import Array, BoolArray, FloatArray

BLOCK = 6
"""Side of the lateral blocks, in voxels, on which averages are taken: as smooth, and much faster."""


def volume_background(image: Array, free: BoolArray, *, lateral: float = 24.0, axial: float = 1.5) -> FloatArray:
    """Estimate the background under and around the cells of a volume by normalised convolution.

    Unlike the estimate of `cytocascade.images.background`, it follows the slices: attenuation and haze make
    them differ over a few micrometres along z, while they vary slowly within a slice.

    Parameters
    ----------
    image : ndarray, (Z, Y, X)
        Intensities.
    free : ndarray of bool, (Z, Y, X)
        Voxels that belong to the background.
    lateral, axial : float
        Standard deviations, in voxels, of the Gaussian over which they are averaged. Where there are none
        nearby, averages two and four times as coarse fill in.

    Returns
    -------
    ndarray of float32, (Z, Y, X)
        Background in the image's units.
    """
    weights = _blocks(free.astype(np.float32))
    values = _blocks(np.where(free, image, 0).astype(np.float32))
    level = float(np.median(image[free]))
    coarse = np.full(weights.shape, level, dtype=np.float32)
    for factor in (4, 2, 1):
        sigma = (factor * axial, factor * lateral / BLOCK, factor * lateral / BLOCK)
        norm = ndi.gaussian_filter(weights, sigma, truncate=3.0)
        # The rest over what is known already, so that sparse places keep the coarser estimate.
        rest = ndi.gaussian_filter(values - weights * coarse, sigma, truncate=3.0)
        coarse = coarse + norm / (norm + 0.02) * rest / np.maximum(norm, 1e-6)
    return _enlarged(coarse, image.shape)


def slice_noise(image: Array, free: BoolArray) -> float:
    """Return the standard deviation of the noise in the background of a volume, in the image's units.

    Taken from the differences of neighbours along x that are both background, over the square root of 2, the
    outermost 1 % of them cut to the rest. Unlike a median deviation this also holds where dark pixels are clipped
    to 0, as in 8-bit stacks.

    Parameters
    ----------
    image : ndarray, (Z, Y, X)
        Intensities.
    free : ndarray of bool, (Z, Y, X)
        Voxels that belong to the background.
    """
    both = free[..., 1:] & free[..., :-1]
    if not both.any():
        return 0.0
    steps = np.diff(np.asarray(image, dtype=np.float32), axis=-1)[both]
    return float(np.clip(steps, *np.percentile(steps, [0.5, 99.5])).std() / np.sqrt(2))


def _blocks(values: FloatArray) -> FloatArray:
    depth, *sides = values.shape
    rows, columns = (-(-side // BLOCK) for side in sides)
    padded = np.pad(values, [(0, 0), *((0, -side % BLOCK) for side in sides)])
    return np.asarray(padded.reshape(depth, rows, BLOCK, columns, BLOCK).mean(axis=(2, 4)))


def _enlarged(coarse: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    fine = ndi.zoom(coarse, (1, BLOCK, BLOCK), order=1, mode="nearest", grid_mode=True)
    return np.asarray(fine[:, : shape[1], : shape[2]], dtype=np.float32)
