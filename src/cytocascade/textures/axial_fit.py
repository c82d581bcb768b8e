"""Which starting noise makes the textures of neighbouring slices as alike as in real stacks.

The textures of two slices are a function of their two noises, which are jointly normal; so, for one mask, their
correlation depends on nothing but the correlation of the noise. This response of the network is measured once and then
tells the correlation of the textures for any `AxialNoise` and distance. Blur along z adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from cytocascade.diffusion.sampling import starting_noise
from cytocascade.images.cells import CROP_SIZE, Modality
from cytocascade.seeding import derive_seed
from cytocascade.textures.axial_noise import DEFAULT_LENGTH, AxialNoise
from cytocascade.textures.axial_statistics import REACH, AxialCorrelation, measure_stacks, texture_correlation
from cytocascade.textures.model import Textures, painted
from cytocascade.types import AnnotatedStack, Array, FloatArray

LEVELS = (0.0, 0.35, 0.65, 0.85, 0.95, 1.0)
"""Correlations of the noise at which the network's response is measured."""

SHORTEST, LONGEST = 0.05, 50.0
"""Limits of a fitted length in micrometres."""

_SHARE_OF_BLUR = 0.6


@dataclass(frozen=True)
class TextureResponse:
    """Correlation of two textures of one mask as a function of that of their noise.

    Attributes
    ----------
    noise, texture : ndarray, (k,) float64
        Correlations; `noise` ascends from 0 to 1, `texture` never falls and ends at 1.
    """

    noise: Array
    texture: Array

    def __call__(self, correlation: Array) -> Array:
        """Return the correlation of textures for that of their noise."""
        return np.interp(correlation, self.noise, self.texture)


def measure_response(
    model: Textures,
    *,
    modality: Modality,
    style: int = 0,
    distance: FloatArray | None = None,
    texture: FloatArray | None = None,
    steps: int | None = None,
    seed: int = 0,
    workers: int = 1,
) -> TextureResponse:
    """Measure how alike the network's textures are for noise that is more or less alike.

    Parameters
    ----------
    model : Denoiser or TexturePainter
        Trained texture model.
    modality, style, steps, workers
        See `cytocascade.textures.model.sample_textures`.
    distance : ndarray, (n, 64, 64) float32, optional
        Masks to paint; by default twelve ellipses of 28 to 44 pixels.
    texture : ndarray, (n, 2) float32, optional
        Their `TEXTURE_NAMES`; by default ordinary ones (nought).
    seed : int
        Seed of the noise.

    Returns
    -------
    TextureResponse
    """
    distance = ellipses(12) if distance is None else distance
    texture = np.zeros((len(distance), 2), dtype=np.float32) if texture is None else texture
    first, second = (
        starting_noise(model, [derive_seed(seed, "response", name, i) for i in range(len(distance))])
        for name in ("first", "second")
    )
    mixed = torch.cat([level * first + float(np.sqrt(1 - level**2)) * second for level in LEVELS])
    signal = painted(
        model,
        mixed,
        np.tile(distance, (len(LEVELS), 1, 1)),
        np.tile(texture, (len(LEVELS), 1)),
        modality=modality,
        style=style,
        steps=steps,
        workers=workers,
    ).reshape(len(LEVELS), len(distance), *distance.shape[1:])
    found = []
    for painted_at_level in signal:
        pairs = zip(signal[-1], painted_at_level, distance)
        each = [texture_correlation(one, other, outline > 2.0) for one, other, outline in pairs]
        found.append(float(np.mean([value for value in each if value is not None] or [0.0])))
    found[-1] = 1.0
    return TextureResponse(np.asarray(LEVELS), np.maximum.accumulate(np.clip(found, 0.0, 1.0)))


def ellipses(count: int) -> FloatArray:
    """Return `count` masks for trials, (count, 64, 64) float32: ellipses of 28 to 44 canonical pixels."""
    y, x = np.mgrid[:CROP_SIZE, :CROP_SIZE] - (CROP_SIZE - 1) / 2
    share = np.linspace(0, 1, count)
    masks = []
    for a, angle in zip(14 + 8 * share, 2.4 * np.arange(count)):
        b = a * (1.0 - 0.3 * abs(np.sin(angle)))
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        radius = np.hypot(u / a, v / b)
        # Value over gradient: the distance to first order.
        slope = np.hypot(u / a**2, v / b**2) / np.maximum(radius, 1e-6)
        masks.append((1 - radius) / np.maximum(slope, 1 / a))
    return np.asarray(masks, dtype=np.float32)


def predicted_correlation(
    noise: AxialNoise, response: TextureResponse, distance: Array, *, axial_sigma: float = 0.0
) -> Array:
    """Return the correlation of the final texture of two slices.

    Parameters
    ----------
    noise : AxialNoise
        How alike the noise is.
    response : TextureResponse
        What the network makes of it.
    distance : ndarray
        Axial distance in micrometres.
    axial_sigma : float
        Standard deviation, in micrometres, of the Gaussian along z that the light is blurred with afterwards.

    Returns
    -------
    ndarray of float64, same shape
    """
    lags, covariance = _blurred(noise, response, axial_sigma)
    if axial_sigma <= 0:
        return response(noise.correlation(distance))
    return np.asarray(np.interp(np.abs(distance), lags, covariance) / covariance[0])


def contrast_left(noise: AxialNoise, response: TextureResponse, axial_sigma: float) -> float:
    """Return the factor, in (0, 1], by which blur along z lowers the standard deviation of the texture.

    The network has learned slices that the microscope had already blurred, so its inverse is a factor on the contrast.
    """
    return float(np.sqrt(_blurred(noise, response, axial_sigma)[1][0])) if axial_sigma > 0 else 1.0


def _blurred(noise: AxialNoise, response: TextureResponse, axial_sigma: float) -> tuple[Array, Array]:
    """Return lags in micrometres from 0 and the covariance of unit textures after the blur."""
    step = max(min(axial_sigma, noise.length or np.inf, 1.0) / 8, 0.005)
    reach = 2 * REACH + 8 * axial_sigma
    z = step * np.arange(-int(reach / step), int(reach / step) + 1)
    covariance = response(noise.correlation(z))
    if axial_sigma <= 0:
        return z[z >= 0], covariance[z >= 0]
    # Blurring the texture twice, once per slice, blurs its covariance by sqrt(2) sigma. What never decays
    # (shared noise, and what the mask alone decides) stays as it is.
    floor = covariance.min()
    kernel = np.exp(-(z**2) / (4 * axial_sigma**2))
    blurred = floor + np.convolve(covariance - floor, kernel / kernel.sum(), mode="same")
    return z[z >= 0], blurred[z >= 0]


def match_axial_noise(
    measured: AxialCorrelation,
    response: TextureResponse,
    *,
    axial_sigma: float = 0.0,
    kernels: Sequence[str] = ("gaussian",),
) -> AxialNoise:
    """Return the noise whose textures decorrelate along z as measured.

    Parameters
    ----------
    measured : AxialCorrelation
        Of real stacks.
    response : TextureResponse
        Of the texture network.
    axial_sigma : float
        Standard deviation of the later blur along z, in micrometres. The length never falls below 0.6 times of it:
        shorter ones hardly change the correlation after the blur any more, but take the texture's contrast.
    kernels : sequence of {"gaussian", "exponential"}
        Which to choose from. Real stacks follow the Gaussian (``benchmarks/slice_consistency.py``), which also flickers
        less.

    Returns
    -------
    AxialNoise
        With `length` and the kernel of the smaller squared error, weighted by pixels.
    """
    distance, wished = np.asarray(measured.distance), measured.noise_free
    shortest = max(SHORTEST, _SHARE_OF_BLUR * axial_sigma)
    weight = np.asarray(measured.pixels) / np.max(measured.pixels)

    def error(log_length: float, kernel: str) -> float:
        noise = AxialNoise.model_validate({"length": float(np.exp(log_length)), "kernel": kernel})
        off = predicted_correlation(noise, response, distance, axial_sigma=axial_sigma) - wished
        return float((weight * off**2).sum())

    best: tuple[float, AxialNoise] | None = None
    for kernel in kernels:
        # The error is not convex where everything or nothing is alike, so the best of a coarse grid is refined.
        grid = np.linspace(np.log(shortest), np.log(LONGEST), 30)
        start = grid[int(np.argmin([error(value, kernel) for value in grid]))]
        pitch = grid[1] - grid[0]
        limits = max(start - pitch, grid[0]), min(start + pitch, grid[-1])
        found = minimize_scalar(error, bounds=limits, args=(kernel,), method="bounded", options={"xatol": 1e-4})
        length = float(np.exp(found.x))
        if best is None or found.fun < best[0]:
            best = found.fun, AxialNoise.model_validate({"length": round(length, 4), "kernel": kernel})
    assert best is not None
    return best[1]


def fit_axial_noise(
    stacks: Iterable[AnnotatedStack],
    model: Textures,
    *,
    modality: Modality,
    style: int = 0,
    distance: FloatArray | None = None,
    texture: FloatArray | None = None,
    axial_sigma: float = 0.0,
    steps: int | None = None,
    seed: int = 0,
    workers: int = 1,
) -> tuple[AxialNoise, AxialCorrelation | None]:
    """Return the noise that makes synthetic slices as alike as those of real stacks, and what was measured there.

    Parameters
    ----------
    stacks : iterable of AnnotatedStack
        Real stacks, wholly or sparsely annotated.
    model : Denoiser or TexturePainter
        Trained texture model.
    modality, style, steps, workers
        See `cytocascade.textures.model.sample_textures`.
    distance, texture
        See `measure_response`; best the masks and wishes of a few real cells.
    axial_sigma : float
        Standard deviation, in micrometres, of the blur along z that follows.
    seed : int
        Seed of the textures that are painted to measure the network's response.

    Returns
    -------
    noise : AxialNoise
        `DEFAULT_LENGTH` where the stacks tell nothing.
    measured : AxialCorrelation or None
        Of the stacks.
    """
    measured = measure_stacks(stacks)
    if measured is None:
        return AxialNoise(length=DEFAULT_LENGTH), None
    response = measure_response(
        model,
        modality=modality,
        style=style,
        distance=distance,
        texture=texture,
        steps=steps,
        seed=seed,
        workers=workers,
    )
    return match_axial_noise(measured, response, axial_sigma=axial_sigma), measured
