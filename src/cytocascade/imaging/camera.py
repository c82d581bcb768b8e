"""The camera: noise on the clean image, then the file's grey levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cytocascade.imaging.noise import NoiseModel
from cytocascade.imaging.output import quantise
from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.imaging.texture import SCORES, sample_noise
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, FloatArray


def add_noise(
    clean: FloatArray,
    background: FloatArray,
    share: FloatArray | float,
    params: dict[str, Any],
    statistics: ImagingStatistics,
    *,
    factor: float = 1.0,
    gain: float = 1.0,
) -> FloatArray:
    """Add camera noise to a clean image.

    Parameters
    ----------
    clean : ndarray of float32
        Background plus cells, in the image's units.
    background : ndarray of float32, same shape
        The background alone, from `cytocascade.imaging.background.render_background`.
    share : float or ndarray of float32, same shape
        Fraction of the noise variance that is still missing at each pixel. Less than 1 where the clean image
        carries noise already, as textures learned from noisy crops do.
    params : dict
        From `cytocascade.imaging.background.draw_background`.
    statistics : ImagingStatistics
    factor : float
        Factor on the standard deviation of the background's noise.
    gain : float
        Factor on the gain of the camera.

    Returns
    -------
    ndarray of float32, same shape
        In pure background the measured distribution of the noise at that background level; inside cells
        with variance ``read + gain * signal`` and the skewness of photon noise.
    """
    model = statistics.noise
    generator = numpy_generator(int(params["field_seed"]), "noise")
    score = sample_noise(generator, np.asarray(model.kernel), clean.shape)
    measured, variance = background_noise_at(background, score, model)
    measured, variance = measured * np.float32(factor), variance * np.float32(factor**2)
    # Rounding at the end adds the variance of a grey level back.
    rounding = np.float32(model.jitter**2 / 12)
    gain = gain * model.gain
    extra = np.float32(gain) * np.maximum(clean - background, 0)
    weight = variance / np.maximum(variance + extra, 1e-12)
    gaussian = np.sqrt(np.maximum(variance + extra - rounding, 0)) - weight * np.sqrt(
        np.maximum(variance - rounding, 0)
    )
    # Photon noise is skewed (Cornish-Fisher): its third cumulant is the gain times its variance.
    skew = np.float32(gain) * extra / np.maximum(variance + extra, 1e-12) ** 1.5
    skew = np.minimum(skew, 1.2)
    photons = (score + skew / 6 * (score**2 - 1)) / np.sqrt(1 + skew**2 / 18)
    noise = weight * measured + gaussian * photons
    return np.asarray(clean + np.sqrt(np.maximum(share, 0)) * noise, dtype=np.float32)


def background_noise_at(background: FloatArray, score: FloatArray, model: NoiseModel) -> tuple[FloatArray, FloatArray]:
    """Return deviation and variance of background pixels whose noise has these normal scores.

    Between and beyond the measured background levels the distribution is interpolated, and scaled to a
    variance that grows with the gain of the camera.
    """
    means = np.asarray(model.means)
    row = np.interp(background, means, np.arange(len(means))).astype(np.float32)
    column = (score - np.float32(SCORES[0])) / np.float32(SCORES[1] - SCORES[0])
    table = np.asarray(model.quantiles, dtype=np.float32)
    deviation = ndi.map_coordinates(
        table, np.stack([row, column]).reshape(2, -1), order=1, mode="nearest", output=np.float32
    ).reshape(score.shape)
    variance = np.interp(background, means, model.variances)
    beyond = np.float32(model.gain) * np.maximum(background - np.float32(means[-1]), 0)
    scale = np.sqrt((variance + beyond) / np.maximum(variance, 1e-12))
    return np.asarray(deviation * scale, np.float32), np.asarray(variance + beyond, np.float32)


def add_grain(light: FloatArray, extent: FloatArray, covariance: Sequence[Sequence[float]], seed: int) -> FloatArray:
    """Multiply the light of cells by normally distributed grain of mean 1, which never turns it negative.

    Parameters
    ----------
    light : ndarray of float32
        Light of the cells.
    extent : ndarray of float32, same shape
        Factor on the grain at each pixel; 0 for none.
    covariance : sequence of sequences of float
        Autocovariance over (y, x) of the relative grain, lag 0 in the middle; empty for none.
    seed : int
        Seed of the grain.
    """
    if not len(covariance):
        return light
    kernel = np.asarray(covariance)
    variance = float(kernel[tuple(size // 2 for size in kernel.shape)])
    if variance <= 0:
        return light
    field = sample_noise(numpy_generator(seed, "grain"), kernel / variance, light.shape)
    return np.asarray(light * np.maximum(1 + np.float32(np.sqrt(variance)) * extent * field, 0), dtype=np.float32)


def to_output(image: FloatArray, statistics: ImagingStatistics) -> Array:
    """Return `image` in the dtype, range and grey levels of the images that were fitted."""
    return quantise(image, statistics.output)
