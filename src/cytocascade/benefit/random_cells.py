"""Cells that no network has learned: smooth random outlines, filled with filtered noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage as ndi

from cytocascade.images.cells import CROP_MARGIN, CROP_SIZE, Modality, SingleCells
from cytocascade.images.descriptors import mask_solidity, wished_size, wished_solidity
from cytocascade.imaging.texture import (
    SCORES,
    compensated_correlation,
    map_scores,
    masked_autocovariance,
    normal_quantiles,
    sample_texture,
    standardise_quantiles,
    without_heavy_tails,
)
from cytocascade.masks.adjustment import adjust_mask
from cytocascade.masks.maskddpm import SampledMasks, clean_mask
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, BoolArray, FloatArray

DEPTHS = np.arange(-9.0, 15.0)
"""Signed distances to the outline, in canonical pixels, at which a cell's mean light is measured."""

REACH = 20
"""Largest lag of the texture's correlation, in canonical pixels."""

AMPLITUDES = (0.0, 0.03, 0.06, 0.1, 0.15, 0.22, 0.32, 0.45, 0.6)
"""Waviness of outlines (standard deviation of the logarithm of the radius) between which the wished one is found."""

STEEPNESS = np.geomspace(0.4, 2.5, 12)
"""Powers of the profile between which that is found which makes up for the rest of a cell's contrast."""

_ANGLES = np.linspace(0, 2 * np.pi, 361)
_WAVES = np.arange(2, 11)
_DECAY = 1.9
_FINE = 4
_MOST_RADIUS = CROP_SIZE / 2 - 3.0


def smooth_outlines(model: object, seeds: Sequence[int], shape: FloatArray, **_: object) -> SampledMasks:
    """Draw one star-convex outline per seed with the wished area, eccentricity and solidity.

    An ellipse whose radius is multiplied by the exponential of a random Fourier series over the angle, with amplitudes
    falling as k^-1.9 (as in SIMCEP, Lehmussola et al. 2007). Stands in for `masks.drawing.draw_masks`.

    Parameters
    ----------
    model : object
        Not looked at: nothing here is learned.
    seeds : sequence of int
        One seed per outline.
    shape : ndarray, (n, 3) float32
        Wished `SHAPE_NAMES`.
    **_ : object
        What only networks need: style, steps, workers.

    Returns
    -------
    SampledMasks
        Signed distances in canonical pixels, (n, 64, 64) float32; none is rejected.
    """
    distance = [star_outline(seed, *wished_size(row), wished_solidity(row)) for seed, row in zip(seeds, shape)]
    stacked = np.stack(distance) if distance else np.zeros((0, CROP_SIZE, CROP_SIZE), dtype=np.float32)
    return SampledMasks(stacked, len(distance), 0)


def star_outline(seed: int, area: float, eccentricity: float, solidity: float) -> FloatArray:
    """Return the signed distance of one random outline, (64, 64) float32, in canonical pixels, positive inside.

    Parameters
    ----------
    seed : int
        Determines orientation and waves.
    area : float
        Wished area in canonical pixels; less where the cell would leave the crop.
    eccentricity, solidity : float
        Wished, in [0, 1) and (0, 1].
    """
    generator = numpy_generator(seed, "smooth outline")
    turn = generator.uniform(0, np.pi)
    cosines, sines = generator.standard_normal((2, len(_WAVES))) * _WAVES**-_DECAY
    phase = np.outer(_ANGLES, _WAVES)
    waves = np.cos(phase) @ cosines + np.sin(phase) @ sines
    waves /= max(float(waves.std()), 1e-6)
    ratio = np.sqrt(1 - eccentricity**2)
    ellipse = 1 / np.hypot(np.cos(_ANGLES - turn), np.sin(_ANGLES - turn) / ratio)
    found = []
    for amplitude in AMPLITUDES:
        mask = _raster(_sized(ellipse * np.exp(amplitude * waves), area), 1)
        found.append(mask_solidity(mask) if mask.any() else 1.0)
        if found[-1] < solidity:
            break
    # Solidity falls with the amplitude; np.interp wants it rising.
    falling = np.minimum.accumulate(found)
    amplitude = float(np.interp(-solidity, -falling, AMPLITUDES[: len(found)]))
    fine = _raster(_sized(ellipse * np.exp(amplitude * waves), area), _FINE)
    signed = _subpixel_distance(fine)
    cleaned = clean_mask(signed, smallest=1)
    return adjust_mask(signed if cleaned is None else cleaned, area, eccentricity)


def _sized(radius: Array, area: float) -> Array:
    """Return outline points (361, 2) of the wished area around the middle of their box, small enough for the crop."""
    scaled = radius * np.sqrt(area / (0.5 * np.sum(radius[:-1] ** 2) * (_ANGLES[1] - _ANGLES[0])))
    points = np.stack([scaled * np.sin(_ANGLES), scaled * np.cos(_ANGLES)], axis=1)
    points -= 0.5 * (points.max(axis=0) + points.min(axis=0))
    return np.asarray(points * min(1.0, _MOST_RADIUS / float(np.abs(points).max())))


def _raster(points: Array, fine: int) -> BoolArray:
    """Return the crop's mask of an outline, `fine` pixels per canonical one along each axis."""
    side = CROP_SIZE * fine
    # The outline is star-convex around its centre of mass or very nearly so.
    middle = points.mean(axis=0)
    angle = np.arctan2(points[:-1, 0] - middle[0], points[:-1, 1] - middle[1])
    radius = np.hypot(*(points[:-1] - middle).T)
    order = np.argsort(angle, kind="stable")
    axis = (np.arange(side) - (side - 1) / 2) / fine
    y, x = axis[:, None] - middle[0], axis[None, :] - middle[1]
    reach = np.interp(np.arctan2(y, x).ravel(), angle[order], radius[order], period=2 * np.pi)
    return np.asarray(np.hypot(y, x) < reach.reshape(side, side))


def _subpixel_distance(mask: BoolArray) -> FloatArray:
    inside, outside = ndi.distance_transform_edt(mask), ndi.distance_transform_edt(~mask)
    fine = np.where(mask, inside - 0.5, 0.5 - outside) / _FINE
    blocks = fine.reshape(CROP_SIZE, _FINE, CROP_SIZE, _FINE).mean(axis=(1, 3))
    if blocks.max() <= 0:
        blocks = np.where(blocks == blocks.max(), 0.05, blocks)
    return np.asarray(blocks, dtype=np.float32)


class TextureStatistics(BaseModel):
    """Light inside and around cells, as three curves; noise filtered by them is the simulator's texture."""

    model_config = ConfigDict(extra="forbid")

    profile: list[float] = Field(min_length=len(DEPTHS), max_length=len(DEPTHS))
    """Mean relative signal at the distances `DEPTHS` from the outline."""
    share: float = Field(0.7, gt=0, le=1)
    """Standard deviation of the deviations from it, over that of all light inside a cell."""
    correlation: list[float]
    """Autocorrelation of the deviations from it, at lags of 0, 1, ... canonical pixels."""
    quantiles: list[float] = Field(min_length=len(SCORES), max_length=len(SCORES))
    """Their quantiles at the normal scores `imaging.texture.SCORES`, with mean 0 and standard deviation 1."""

    @classmethod
    def usual(cls, modality: Modality) -> TextureStatistics:
        """Return what to assume without images: two scales of log-normal structure, an edge blurred over a pixel."""
        lags = np.arange(REACH + 1)
        correlation = (0.6 * np.exp(-lags / 6.0) + 0.4 * np.exp(-lags / 1.8)) * _taper()
        edge = 1 / (1 + np.exp(-1.4 * DEPTHS))
        profile = edge * (1 - 0.25 * np.exp(-np.maximum(DEPTHS, 0) / 3))
        if modality == "phase":
            # A dark body in a bright halo.
            profile = 0.8 * np.exp(-0.5 * ((DEPTHS + 2.0) / 1.8) ** 2) - 0.4 * edge
        quantiles = standardise_quantiles(np.exp(0.4 * SCORES))
        return cls(profile=profile.tolist(), correlation=correlation.tolist(), quantiles=quantiles.tolist())


def _taper() -> Array:
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.clip(np.arange(REACH + 1) / REACH * 2 - 1, 0, 1)))


def fit_texture(cells: SingleCells) -> TextureStatistics:
    """Measure edge profile, correlation and distribution of the light of real cells.

    Parameters
    ----------
    cells : SingleCells
        Real cells on the canonical grid.
    """
    inner = slice(CROP_MARGIN, CROP_MARGIN + CROP_SIZE)
    distance, signal = cells.distance[:, inner, inner], cells.signal[:, inner, inner]
    usable = cells.known[:, inner, inner] | (distance > 0)
    profile = _mean_profile(signal, distance, usable, TextureStatistics.usual(cells.modality).profile)
    side = 2 * REACH + 1
    products, pairs = np.zeros((side, side)), np.zeros((side, side))
    values, shares = [], []
    relative = cells.modality == "fluorescence"
    for light, depth in zip(signal.astype(np.float64), distance):
        deep = depth > 1.0
        if deep.sum() < 30:
            continue
        expected = np.interp(depth, DEPTHS, profile)
        rest = light / np.maximum(expected, 0.2) if relative else light - expected
        spread = float(light[depth > 0].std()) / (max(float(light[depth > 0].mean()), 0.1) if relative else 1.0)
        shares.append(float(rest[deep].std()) / max(spread, 1e-6))
        rest = (rest - rest[deep].mean()) / max(float(rest[deep].std()), 1e-6)
        found = masked_autocovariance(rest, deep, REACH)
        products, pairs = products + found[0], pairs + found[1]
        values.append(rest[deep])
    usual = TextureStatistics.usual(cells.modality)
    if not values:
        return usual.model_copy(update={"profile": np.round(profile, 5).tolist()})
    found_quantiles = normal_quantiles(np.concatenate(values))
    # In fluorescence nucleoli make heavy tails, which filtered noise would spread all over the cells as specks. In
    # phase contrast most of the contrast is in a few dark and bright spots.
    heavy = cells.modality == "phase"
    quantiles = standardise_quantiles(found_quantiles) if heavy else without_heavy_tails(found_quantiles)[0]
    correlation = _without_noise(_radial(products, pairs)) * _taper()
    return TextureStatistics(
        profile=np.round(profile, 5).tolist(),
        share=round(float(np.clip(np.median(shares), 0.1, 1.0)), 4),
        correlation=np.round(correlation, 5).tolist(),
        quantiles=np.round(quantiles, 5).tolist(),
    )


def _mean_profile(signal: FloatArray, distance: FloatArray, usable: BoolArray, usual: Sequence[float]) -> Array:
    """Return the median over cells of their mean signal per distance; constant where few cells reach."""
    row = np.rint(distance - DEPTHS[0]).astype(int)
    rows = []
    for light, index, valid in zip(signal, row, usable & (row >= 0) & (row < len(DEPTHS))):
        total = np.bincount(index[valid], light[valid], len(DEPTHS))
        count = np.bincount(index[valid], minlength=len(DEPTHS))
        rows.append(np.where(count >= 4, total / np.maximum(count, 1), np.nan))
    known = np.isfinite(rows).sum(axis=0) >= max(min(3, len(rows)), 0.5 * len(rows))
    if not known.any():
        return np.asarray(usual)
    median = np.nanmedian(np.asarray(rows)[:, known], axis=0)
    return np.asarray(np.interp(DEPTHS, DEPTHS[known], median))


def _radial(products: Array, pairs: Array) -> Array:
    """Return the autocovariance at lags of 0, 1, ... pixels, averaged over directions."""
    lag = np.arange(-REACH, REACH + 1)
    ring = np.rint(np.hypot(lag[:, None], lag)).astype(int).ravel()
    mass = np.bincount(ring, pairs.ravel())[: REACH + 1]
    return np.asarray(np.bincount(ring, products.ravel())[: REACH + 1] / np.maximum(mass, 1.0))


def _without_noise(radial: Array) -> Array:
    """Return the autocorrelation without what is different in every pixel: noise and grain, which calibration adds."""
    peak = float(radial[1] + 0.7 * max(radial[1] - radial[2], 0.0))
    if peak <= 0:
        return np.asarray(np.eye(1, len(radial))[0])
    return np.asarray(np.concatenate([[1.0], np.clip(radial[1:] / min(peak, float(radial[0])), -1, 1)]))


def noise_fields(statistics: TextureStatistics, seed: int, mixing: Array) -> FloatArray:
    """Draw fields with the measured correlation and distribution, and mixed so that slices are alike.

    Parameters
    ----------
    statistics : TextureStatistics
    seed : int
        Seed of the cell.
    mixing : ndarray, (n, n)
        Lower triangular root of the correlation matrix of the slices; ``[[1.0]]`` for an image.

    Returns
    -------
    ndarray, (n, 64, 64) float32
        Mean 0, standard deviation 1 on average.
    """
    generator = numpy_generator(seed, "filtered noise")
    radial = compensated_correlation(np.asarray(statistics.correlation), statistics.quantiles).tolist()
    normal = np.stack([sample_texture(generator, radial, (CROP_SIZE, CROP_SIZE)) for _ in range(len(mixing))])
    mixed = np.tensordot(mixing, normal, axes=1).astype(np.float32)
    return map_scores(mixed, statistics.quantiles)


def lit(
    statistics: TextureStatistics, distance: FloatArray, field: FloatArray, texture: FloatArray, modality: Modality
) -> FloatArray:
    """Return the relative signal of one cell: its profile, varied by the field as far as the wished contrast asks.

    Parameters
    ----------
    statistics : TextureStatistics
    distance, field : ndarray, (64, 64) or (slices, 64, 64) float32
        Signed distance in canonical pixels, and noise of unit variance.
    texture : ndarray, (2,)
        Wished `TEXTURE_NAMES`: mean and spread inside the mask.
    modality : {"fluorescence", "phase"}
        Whether the field multiplies the light or is added to it.
    """
    inside = distance > 0
    base = np.interp(distance, DEPTHS, statistics.profile)
    field = field - field[inside].mean()
    if modality == "phase":
        return _in_phase(base, distance, field, texture)
    scale = max(float(base[inside].mean()), 1e-3)
    base = base / scale
    field = field * np.clip(1 + distance / 3, 0, 1)

    wished = 0.3 * float(np.exp(texture[1]))
    strength = statistics.share * wished
    # Dips are bent towards 0, so that strong contrast makes no black holes.
    factor = np.where(field < 0, np.exp(strength * np.minimum(field, 0)), 1 + strength * field)
    outline = max(float(np.interp(0.0, DEPTHS, statistics.profile)) / scale, 1e-3)

    def steepened(values: Array, power: float) -> Array:
        # Only inside: in the rim a power would blow up what is faint.
        return np.asarray(
            np.where(values > outline, np.maximum(values, outline) ** power, values * outline ** (power - 1))
        )

    spread = []
    for power in STEEPNESS:
        light = steepened(base[inside], power) * factor[inside]
        spread.append(float(light.std()) / max(float(light.mean()), 1e-3))
    power = float(np.interp(wished, np.maximum.accumulate(spread), STEEPNESS))
    signal = steepened(base, power) * factor
    return np.asarray(signal / max(float(signal[inside].mean()), 1e-3), dtype=np.float32)


def _in_phase(base: Array, distance: FloatArray, field: FloatArray, texture: FloatArray) -> FloatArray:
    """Return mean, profile (halo) and field added up; cells of strong contrast have a strong halo too."""
    inside = distance > 0
    wished = 0.5 * float(np.exp(texture[1]))
    halo = (base - base[inside].mean() * np.clip(1 + distance / 2, 0, 1)) * (wished / 0.5)
    rest = float(np.sqrt(max(wished**2 - float(halo[inside].var()), 0.1 * wished**2)))
    body = np.clip(1 + distance, 0, 1)
    return np.asarray(
        halo + body * (float(texture[0]) + rest * field / max(float(field[inside].std()), 0.3)), np.float32
    )
