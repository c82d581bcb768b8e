"""Drawing and rendering the background of a synthetic image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cytocascade.imaging.debris import Debris
from cytocascade.imaging.illumination import render_haze, render_illumination
from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.imaging.texture import compensated_correlation, map_scores, sample_texture
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.types import Array, FloatArray

_SMOOTHING = 0.35
_SURFACE_SMOOTHING = 0.7
_COARSE = 3.0
_SHARPEST = 0.9


def draw_background(statistics: ImagingStatistics, seed: int, *keys: str | int) -> dict[str, Any]:
    """Draw everything random about the background of one image.

    Level, gain and strength of the texture belong together in real images (exposure, staining), so they are
    drawn jointly: a smoothed bootstrap from the records of the real images that keeps mean and variance.

    Parameters
    ----------
    statistics : ImagingStatistics
    seed : int
        Seed of the data set.
    *keys : str or int
        Name of the draw, for example ``("sample", 12)``.

    Returns
    -------
    dict
        JSON values: ``record`` (index of the real image that was drawn), ``level``, ``gain`` (image units),
        ``texture`` (standard deviation), ``illumination`` (coefficients, image units), ``haze_widths``
        (pixels), ``haze_strengths`` and ``field_seed``; where there is debris, ``debris`` (flecks per pixel).
    """
    generator = numpy_generator(seed, *keys, "background")
    records = statistics.records
    index = int(generator.integers(len(records)))
    table = np.array([[record.level, record.gain, record.texture] for record in records])
    level, gain, texture = _smoothed(table, index, generator.standard_normal(3))
    gain = _same_sign(gain, table[:, 1])
    texture = float(np.clip(texture, 0.5 * table[:, 2].min(), 1.5 * table[:, 2].max()))
    illumination = _draw_illumination(statistics, index, generator, level=level, gain=gain)
    return {
        "record": index,
        "level": level,
        "gain": gain,
        "texture": texture,
        "illumination": illumination,
        "haze_widths": list(statistics.haze_widths),
        "haze_strengths": list(records[index].haze),
        "field_seed": derive_seed(seed, *keys, "background", "field"),
        **({} if statistics.debris is None else {"debris": statistics.debris.densities[index]}),
    }


def _draw_illumination(
    statistics: ImagingStatistics, index: int, generator: np.random.Generator, *, level: float, gain: float
) -> list[float]:
    model = statistics.illumination
    records = statistics.records
    measured = np.array([record.illumination for record in records])
    of_record = {
        "absolute": np.ones(len(records)),
        "level": np.array([record.level for record in records]),
        "gain": np.array([abs(record.gain) for record in records]),
    }[model.unit]
    mean = np.asarray(model.mean)
    values, vectors = np.linalg.eigh(np.asarray(model.covariance))
    jitter = vectors @ (np.sqrt(np.maximum(values, 0)) * np.clip(generator.standard_normal(len(values)), -2, 2))
    departure = measured[index] / of_record[index] - mean
    relative = mean + (departure + _SURFACE_SMOOTHING * jitter) / np.sqrt(1 + _SURFACE_SMOOTHING**2)
    unit = {"absolute": 1.0, "level": level, "gain": abs(gain)}[model.unit]
    return [float(value) for value in unit * relative]


def _smoothed(table: Array, index: int, scores: Array) -> Sequence[float]:
    mean, deviation = table.mean(axis=0), table.std(axis=0)
    drawn = mean + (table[index] - mean + _SMOOTHING * deviation * scores) / np.sqrt(1 + _SMOOTHING**2)
    return [float(value) for value in drawn]


def _same_sign(gain: float, gains: Array) -> float:
    # A gain scales the cells: it must not vanish or turn them dark where no real image did.
    if gains.min() > 0:
        return max(gain, 0.5 * float(gains.min()))
    return min(gain, 0.5 * float(gains.max())) if gains.max() < 0 else gain


def render_debris(params: dict[str, Any], debris: Debris, labels: Array) -> FloatArray:
    """Render what lies between the cells and is no cell.

    Parameters
    ----------
    params : dict
        From `draw_background`.
    debris : Debris
        The flecks of `ImagingStatistics.debris`.
    labels : ndarray of int, (Y, X)
        Instance labels: cells hide what is below them.

    Returns
    -------
    ndarray of float32, (Y, X)
        Light above the background, in the image's units.
    """
    light = debris.render(params["debris"], int(params["field_seed"]), labels.shape)
    seen = 1.0 - ndi.gaussian_filter((labels > 0).astype(np.float32), _SHARPEST)
    return np.asarray(np.float32(abs(params["gain"])) * light * seen, dtype=np.float32)


def render_background(
    params: dict[str, Any],
    statistics: ImagingStatistics,
    shape: Sequence[int],
    cell_signal: FloatArray | None = None,
    *,
    texture_factor: float = 1.0,
) -> FloatArray:
    """Render the background of an image, without camera noise.

    Parameters
    ----------
    params : dict
        From `draw_background`.
    statistics : ImagingStatistics
    shape : sequence of int
        Shape of the image; the illumination spans the frame, texture and haze keep their size in pixels.
    cell_signal : ndarray of float32, `shape`, optional
        Clean light of the cells above the background; it adds haze. Without cells there is none.
    texture_factor : float
        Factor on the texture. Above 1 it concerns structure coarser than about three pixels only: finer structure
        cannot be told from noise.

    Returns
    -------
    ndarray of float32, `shape`
        Level, illumination, haze and texture, in the image's units.
    """
    image = render_illumination(params["illumination"], shape) + np.float32(params["level"])
    if cell_signal is not None:
        image += render_haze(cell_signal, params["haze_widths"], params["haze_strengths"])
    strength = params["texture"] * min(texture_factor, 1.0)
    if strength > 0 and statistics.texture_autocorrelation:
        quantiles = statistics.texture_quantiles
        target = np.asarray(statistics.texture_autocorrelation)
        generator = numpy_generator(int(params["field_seed"]), "texture")
        field = sample_texture(generator, compensated_correlation(target, quantiles).tolist(), shape)
        texture = map_scores(field, quantiles)
        if texture_factor > 1:
            texture += np.float32(texture_factor - 1) * ndi.gaussian_filter(texture, _COARSE)
        image += np.float32(strength) * texture
    if statistics.output.low is not None:
        np.maximum(image, np.float32(statistics.output.low), out=image)
    return np.asarray(image, dtype=np.float32)
