"""Background texture and grain of a stack, one plane after the other, correlated along z."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cytocascade.imaging.planes import correlated_fields
from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.imaging.texture import compensated_correlation, map_scores, sample_noise, sample_texture
from cytocascade.seeding import numpy_generator
from cytocascade.types import FloatArray

_COARSE = 3.0


def plane_textures(
    params: dict[str, Any],
    statistics: ImagingStatistics,
    shape: Sequence[int],
    planes: int,
    sigma: float,
    *,
    factor: float = 1.0,
) -> Iterator[FloatArray]:
    """Yield the background texture of every plane, in image units.

    Every plane has the distribution and lateral correlation of `cytocascade.imaging.background.render_background`.

    Parameters
    ----------
    params : dict
        From `draw_background`.
    statistics : ImagingStatistics
    shape : sequence of int
        Pixels of a plane, (Y, X).
    planes : int
        Number of planes.
    sigma : float
        Standard deviation of the PSF along z, in planes.
    factor : float
        Factor on the texture; above 1 on its coarse structure only, as in 2D.
    """
    strength = float(params["texture"]) * min(factor, 1.0)
    if strength <= 0 or not statistics.texture_autocorrelation:
        for _ in range(planes):
            yield np.zeros(tuple(shape), dtype=np.float32)
        return
    quantiles = statistics.texture_quantiles
    radial = compensated_correlation(np.asarray(statistics.texture_autocorrelation), quantiles).tolist()
    seed = int(params["field_seed"])

    def draw(plane: int) -> FloatArray:
        return sample_texture(numpy_generator(seed, "texture", plane), radial, shape)

    for field in correlated_fields(draw, planes, sigma):
        texture = map_scores(field, quantiles)
        if factor > 1:
            texture += np.float32(factor - 1) * ndi.gaussian_filter(texture, _COARSE)
        yield np.float32(strength) * texture


def plane_grains(
    seed: int,
    covariance: Sequence[Sequence[float]],
    shape: Sequence[int],
    planes: int,
    sigma: float,
    *,
    noise: float = 0.0,
) -> Iterator[FloatArray]:
    """Yield the grain of every plane relative to the light, normally distributed around 0.

    Parameters
    ----------
    seed : int
        Seed of the grain.
    covariance : sequence of sequences of float
        Autocovariance over (y, x), lag 0 in the middle; empty for none.
    shape, planes, sigma
        As for `plane_textures`.
    noise : float
        Share of its variance that is different in every plane, as the camera's noise is.
    """
    kernel = np.asarray(covariance, dtype=np.float64)
    variance = float(kernel[tuple(size // 2 for size in kernel.shape)]) if kernel.size else 0.0
    if variance <= 0:
        for _ in range(planes):
            yield np.zeros(tuple(shape), dtype=np.float32)
        return

    def draw(plane: int) -> FloatArray:
        return sample_noise(numpy_generator(seed, "grain", plane), kernel / variance, shape)

    for plane, field in enumerate(correlated_fields(draw, planes, sigma)):
        if noise > 0:
            alone = sample_noise(numpy_generator(seed, "grain", "alone", plane), kernel / variance, shape)
            field = np.float32(np.sqrt(noise)) * alone + np.float32(np.sqrt(1 - noise)) * field
        yield np.float32(np.sqrt(variance)) * field
