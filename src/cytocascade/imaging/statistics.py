"""Everything about the images that is not the cells: background, noise, and file format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.debris import Debris
from cytocascade.imaging.illumination import (
    LargeScale,
    fit_large_scale,
    large_scale_problem,
    render_haze,
    render_illumination,
)
from cytocascade.imaging.noise import NoiseModel, NoiseTable, fit_gain, kernel_rows, noise_by_intensity, pooled
from cytocascade.imaging.output import OutputFormat, fit_output, level_width
from cytocascade.imaging.regions import LOCAL, PreparedImage, away_from, prepare, without_debris
from cytocascade.imaging.texture import (
    MAX_LAG,
    masked_autocovariance,
    normal_quantiles,
    smooth_inside,
    split_autocovariance,
    without_heavy_tails,
)
from cytocascade.recorded import LeftOutUnset, Recorded
from cytocascade.types import AnnotatedImage, Array

HAZE_WIDTHS = (1.0, 3.0, 8.0)
"""Widths of the haze in radii of the median cell."""
_RIM = 0.5
_CALM = 1.5
_CLIPPED = 0.02
_LUMINOUS = 3.0


class ImageRecord(BaseModel):
    """What one real image measured; drawn images are smoothed draws from these records."""

    model_config = ConfigDict(extra="forbid")

    level: float
    """Background without illumination and haze, in image units."""
    gain: float
    """Median over the cells of their mean signal above the local background (negative: dark cells)."""
    noise: float
    """Standard deviation of the noise at the background."""
    texture: float
    """Standard deviation of the background texture."""
    illumination: list[float]
    """Legendre coefficients of the illumination, in image units."""
    haze: list[float]
    """Scattered light per blurred cell signal, one per haze width."""


class Illumination(BaseModel):
    """Distribution of the illumination surface over images."""

    model_config = ConfigDict(extra="forbid")

    unit: Literal["absolute", "level", "gain"]
    """What the coefficients are relative to: whichever varied least over the images."""
    mean: list[float]
    """Mean coefficients, in the order of `illumination.illumination_terms`."""
    covariance: list[list[float]]
    """Covariance of the coefficients, shrunk towards its diagonal."""


class ImagingStatistics(Recorded):
    """Background and camera of a set of images."""

    model_config = ConfigDict(extra="forbid")

    ndim: int
    """Number of image axes."""
    records: list[ImageRecord]
    """One per fitted image."""
    illumination: Illumination
    """Large-scale surface."""
    haze_widths: list[float]
    """Standard deviations of the haze, in pixels."""
    texture_autocorrelation: list[float]
    """Radial autocorrelation of the background texture at lags 0, 1, ... pixels; empty if there is none."""
    texture_quantiles: list[float]
    """Standardised marginal distribution of the texture at the normal scores `texture.SCORES`."""
    noise: NoiseModel
    """Noise of the camera."""
    output: OutputFormat
    """File format of the images."""
    debris: Annotated[Debris | None, LeftOutUnset()] = None
    """What lies between the cells and is no cell."""


def _pool_illumination(fits: Sequence[LargeScale], levels: Array, gains: Array) -> Illumination:
    coefficients = np.stack([fit.coefficients for fit in fits])
    units: dict[Literal["absolute", "level", "gain"], Array] = {"absolute": np.ones(len(fits))}
    if levels.min() > 0:
        units["level"] = levels
    if gains.min() > 0 or gains.max() < 0:
        units["gain"] = np.abs(gains)
    count, size = coefficients.shape

    def spread(unit: Literal["absolute", "level", "gain"]) -> float:
        relative = coefficients / units[unit][:, None]
        return float(relative.var(axis=0).sum() / max((relative**2).mean(axis=0).sum(), 1e-30))

    # The absolute unit wins ties: a camera's offset is part of the level.
    best = min(units, key=lambda unit: spread(unit) * (1.0 if unit == "absolute" else 1.1))
    relative = coefficients / units[best][:, None]
    covariance = np.cov(relative, rowvar=False) if count > 1 else np.zeros((size, size))
    shrink = size / (size + count - 1)
    covariance = (1 - shrink) * covariance + shrink * np.diag(np.diag(covariance))
    return Illumination(unit=best, mean=relative.mean(axis=0).tolist(), covariance=covariance.tolist())


def typical_noise(statistics: ImagingStatistics) -> float:
    """Return the median over the fitted images of the background noise, in image units."""
    return float(np.median([record.noise for record in statistics.records]))


def with_gains(statistics: ImagingStatistics, gains: Sequence[float]) -> ImagingStatistics:
    """Return the statistics with other gains, one per fitted image: those that the cells were divided by."""
    records = [record.model_copy(update={"gain": gain}) for record, gain in zip(statistics.records, gains, strict=True)]
    return statistics.model_copy(update={"records": records})


def fit_imaging(images: Sequence[AnnotatedImage]) -> ImagingStatistics:
    """Estimate background, noise and format from annotated images.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        At least one; all of one dtype and number of axes. Sizes may differ.

    Returns
    -------
    ImagingStatistics

    Raises
    ------
    CytoCascadeError
        No image, mixed dtypes or axes, NaN, or shapes of image and labels that differ.
    """
    if not images:
        raise CytoCascadeError("no image to learn the background from", hint="Give at least one annotated image.")
    kinds = {(source.image.dtype.name, source.image.ndim) for source in images}
    if len(kinds) > 1:
        raise CytoCascadeError(
            f"the images differ in type: {sorted(kinds)} (dtype, axes)", hint="Convert them to one dtype first."
        )
    prepared = [prepare(source) for source in images]
    output = fit_output([source.image for source in images])
    radius = float(np.median([p.radius for p in prepared]))
    frame = min(min(p.image.shape[-2:]) for p in prepared)
    # A haze as wide as the frame cannot be told from its illumination.
    widths = [factor * radius for factor in HAZE_WIDTHS if factor <= 1.0 or factor * radius < frame / 4]
    if np.median([p.gain / max(p.noise, 1e-12) for p in prepared]) < _LUMINOUS:
        widths = []  # phase contrast: what is no light source scatters no light
    problems = []
    for p in prepared:
        # Right at a cell its own optical rim dominates, which belongs to the cell, not to the haze.
        away = away_from(p.labels, p.free, _RIM * radius)
        problems.append(large_scale_problem(p.image, away, p.signal, widths))
    return _fit_small_scale(prepared, fit_large_scale(problems), radius, widths, output)


def _fit_small_scale(
    prepared: Sequence[PreparedImage],
    fits: Sequence[LargeScale],
    radius: float,
    widths: list[float],
    output: OutputFormat,
) -> ImagingStatistics:
    table = NoiseTable()
    reach = max(1, min(MAX_LAG, *(n // 3 for p in prepared for n in p.image.shape[-2:])))
    products: list[Array] = []
    pairs: list[Array] = []
    marginals: list[Array] = []
    levels: list[float] = []
    for p, fit in zip(prepared, fits, strict=True):
        surface = render_illumination(fit.coefficients.tolist(), p.image.shape) + np.float32(fit.constant)
        surface += render_haze(p.signal, widths, fit.haze.tolist())
        residual = np.asarray(p.image, dtype=np.float32) - surface
        quiet = without_debris(residual, away_from(p.labels, p.free, _CALM * radius))
        bias = float(residual[quiet].mean())
        residual -= np.float32(bias)
        levels.append(fit.constant + bias)
        local, covered = smooth_inside(residual, quiet, LOCAL)
        table.add(p.image, surface + np.float32(bias) + local, quiet & (covered > 0.5))
        marginals.append(local[quiet & (covered > 0.5)][::7])
        summed, counted = masked_autocovariance(residual, quiet, reach)
        products.append(summed)
        pairs.append(counted)
    splits = [split_autocovariance(a, b) for a, b in zip(products, pairs, strict=True)]
    texture, noise = split_autocovariance(np.sum(products, axis=0), np.sum(pairs, axis=0))
    has_texture = bool(texture[0] > 0)
    shapes = [m / s for m, (t, _) in zip(marginals, splits, strict=True) if (s := float(np.sqrt(t[0]))) > 0]
    quantiles, tame = without_heavy_tails(normal_quantiles(pooled(shapes) if shapes else np.zeros(1)))
    level = float(np.mean(levels))
    middle = (noise.shape[0] // 2,) * noise.ndim
    records = [
        ImageRecord(
            level=lv,
            gain=p.gain,
            noise=float(np.sqrt(max(n[middle], 0.0))),
            texture=float(np.sqrt(tame * max(t[0], 0.0))),
            illumination=f.coefficients.tolist(),
            haze=f.haze.tolist(),
        )
        for lv, p, f, (t, n) in zip(levels, prepared, fits, splits, strict=True)
    ]
    return ImagingStatistics(
        ndim=prepared[0].image.ndim,
        records=records,
        illumination=_pool_illumination(fits, np.asarray(levels), np.asarray([p.gain for p in prepared])),
        haze_widths=widths,
        texture_autocorrelation=(texture / texture[0]).tolist() if has_texture else [],
        texture_quantiles=quantiles.tolist(),
        noise=_fit_noise(prepared, table, noise, level, output),
        output=output,
    )


def _fit_noise(
    prepared: Sequence[PreparedImage], table: NoiseTable, noise: Array, level: float, output: OutputFormat
) -> NoiseModel:
    rows = kernel_rows(noise)
    kernel = np.asarray(rows)
    read = max(float(noise[tuple(size // 2 for size in noise.shape)]), 0.0)
    width = level_width(output, level)
    coarse = width > 0.5 * np.sqrt(read)
    clipped = output.low is not None and table.share_at(output.low) > _CLIPPED
    jitter = width if coarse and (output.levels or clipped) else 0.0
    unrounded = max(read - width**2 / 12, 0.05 * read)
    means, variances, quantiles = table.fit(unrounded, jitter, level_width=width)
    saturation = np.inf if output.high is None else output.high
    measured = [noise_by_intensity(p.image, p.labels, kernel, saturation) for p in prepared]
    intensity, variance, weight = (pooled([m[k] for m in measured]) for k in range(3))
    return NoiseModel(
        read=read,
        gain=fit_gain(intensity, variance, weight, float(means.mean()), read),
        kernel=rows,
        means=means.tolist(),
        variances=variances.tolist(),
        quantiles=quantiles.tolist(),
        jitter=jitter,
    )
