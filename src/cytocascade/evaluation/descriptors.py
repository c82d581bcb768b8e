"""Shape, intensity and texture of single cells in about sixty numbers, for telling real from synthetic."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage as ndi
from scipy.stats import kurtosis, skew
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.measure import perimeter

from cytocascade.evaluation.measured import CellReference, MeasuredImage, MeasuredSet, Window, cell_window
from cytocascade.types import Array, BoolArray, FloatArray

BAND_SIGMAS = (0.0, 0.7, 1.4, 2.8, 5.6)
PROFILE = (-6, -4, -2, -1, 0, 1, 2, 4, 6)
LEVELS = 16
GLCM_PROPERTIES = ("contrast", "homogeneity", "energy", "correlation")


@dataclass(frozen=True)
class _Maps:
    """What is computed once for a whole image."""

    above: FloatArray
    bands: tuple[FloatArray, ...]
    patterns: dict[int, Array]
    gradient: FloatArray


def describe_cells(measured: MeasuredSet) -> tuple[tuple[str, ...], Array]:
    """Return the descriptors' names and their values (n, k) float64 for the sampled cells, in their order."""
    rows: list[dict[str, float]] = []
    current, maps = -1, None
    for cell in measured.cells:
        if cell.image != current or maps is None:
            current, maps = cell.image, _maps(measured.images[cell.image])
        rows.append(_describe(measured, cell, maps))
    names = tuple(rows[0])
    values = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
    return names, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _maps(image: MeasuredImage) -> _Maps:
    above = image.image - image.background
    smooth = [above if sigma == 0 else ndi.gaussian_filter(above, sigma) for sigma in BAND_SIGMAS]
    bands = tuple(fine - coarse for fine, coarse in pairwise(smooth))
    # Patterns compare pixels, so any monotone map to integers will do; the range is that of this image.
    span = max(float(np.ptp(above)), 1e-6)
    grey = [np.round((smooth[i] - above.min()) * (60000 / span)).astype(np.int32) for i in (0, 2)]
    patterns = {
        radius: local_binary_pattern(values, 8, radius, method="uniform") for radius, values in zip((1, 3), grey)
    }
    return _Maps(above, bands, patterns, ndi.gaussian_gradient_magnitude(above, 1.0))


def _describe(measured: MeasuredSet, cell: CellReference, maps: _Maps) -> dict[str, float]:
    image = measured.images[cell.image]
    window = cell_window(measured, cell, margin=10)
    table = {name: float(values[cell.row]) for name, values in image.table.values.items()}
    scale = max(abs(table["signal"]), image.noise, 1e-6)
    relative = maps.above[window.area] / scale
    result = {
        "mean intensity": table["mean_intensity"],
        "signal": table["signal"],
        "contrast to noise": table["contrast"],
    }
    result |= _shape(window, table)
    result |= describe_intensity(relative[window.own])
    result |= _bands(window, maps, scale, image.noise)
    result |= _patterns(window, maps)
    result |= _cooccurrence(relative, window.own)
    result |= _edge(window, relative, maps.gradient[window.area] / scale)
    return result


def _shape(window: Window, table: dict[str, float]) -> dict[str, float]:
    area = float(window.own.sum())
    outline = float(perimeter(window.own))
    rows, columns = np.nonzero(window.own)
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    return {
        "area": area,
        "eccentricity": table["eccentricity"],
        "solidity": table["solidity"],
        "outline length": outline,
        "form factor": 4 * np.pi * area / max(outline, 1.0) ** 2,
        "extent in its box": area / float(box),
        "inscribed radius": float(window.signed_distance.max()),
    }


def describe_intensity(inside: Array) -> dict[str, float]:
    """Return the distribution of the intensities (n,) of one cell, relative to its mean signal."""
    low, lower, upper, high = np.percentile(inside, [5, 25, 75, 95])
    spread = float(inside.std())
    return {
        "intensity CV": spread,
        "5th percentile / mean": float(low),
        "25th percentile / mean": float(lower),
        "75th percentile / mean": float(upper),
        "95th percentile / mean": float(high),
        "brightest pixel / mean": float(inside.max()),
        "skewness": float(skew(inside)) if spread > 1e-9 else 0.0,
        "kurtosis": float(kurtosis(inside)) if spread > 1e-9 else 0.0,
    }


def _bands(window: Window, maps: _Maps, scale: float, noise: float) -> dict[str, float]:
    """Texture energy per scale inside, noise energy in a ring outside, and their correlation along lag 1."""
    result = {}
    core = window.own & (window.signed_distance > 1.5)
    core = core if core.sum() >= 8 else window.own
    ring = (window.signed_distance < -4) & window.free
    for sigma, band in zip(BAND_SIGMAS[1:], maps.bands):
        patch = band[window.area]
        result[f"texture energy inside, below {sigma:g} px"] = float(patch[core].std()) / scale
        if sigma < 2:
            outside = float(patch[ring].std()) if ring.sum() >= 8 else noise
            result[f"noise outside, below {sigma:g} px"] = outside
    fine = maps.bands[0][window.area] + maps.bands[1][window.area]
    result["neighbour correlation of fine texture inside"] = _lag_correlation(fine, core)
    result["neighbour correlation of noise outside"] = _lag_correlation(fine, ring)
    finest, coarser = (maps.bands[i][window.area][core].std() for i in (0, 2))
    result["fine / coarse texture"] = float(np.log((finest + 1e-6) / (coarser + 1e-6)))
    return result


def _lag_correlation(patch: FloatArray, where: BoolArray) -> float:
    both = where[:, 1:] & where[:, :-1]
    if both.sum() < 8:
        return 0.0
    first, second = patch[:, 1:][both], patch[:, :-1][both]
    power = float(np.sqrt((first**2).mean() * (second**2).mean()))
    return float((first * second).mean()) / power if power > 1e-12 else 0.0


def _patterns(window: Window, maps: _Maps) -> dict[str, float]:
    result = {}
    for radius, pattern in maps.patterns.items():
        inside = pattern[window.area][window.own].astype(np.int64)
        histogram = np.bincount(inside, minlength=10) / len(inside)
        # Of the uniform codes 0 and 8 are spots, the middle ones edges; the last code is disorder.
        for code in (0, 1, 2, 4, 6, 7, 8, 9):
            result[f"local pattern {code} at {radius} px"] = float(histogram[code])
    return result


def _cooccurrence(relative: FloatArray, own: BoolArray) -> dict[str, float]:
    inside = relative[own]
    low, high = np.percentile(inside, [1, 99])
    levels = 1 + np.clip((relative - low) / max(float(high - low), 1e-6) * LEVELS, 0, LEVELS - 1)
    grey = np.where(own, levels, 0).astype(np.uint8)
    counts = graycomatrix(grey, [1, 3], [0, np.pi / 2], levels=LEVELS + 1, symmetric=True)[1:, 1:].astype(float)
    counts /= np.maximum(counts.sum(axis=(0, 1), keepdims=True), 1)
    result = {}
    for name in GLCM_PROPERTIES:
        by_distance = graycoprops(counts, name).mean(axis=1)
        for distance, value in zip((1, 3), by_distance):
            result[f"co-occurrence {name} at {distance} px"] = float(value)
    return result


def _edge(window: Window, relative: FloatArray, gradient: FloatArray) -> dict[str, float]:
    """Mean intensity along the way from 6 px inside the mask's edge to 6 px outside, and how steep it is."""
    result = {}
    distance = window.signed_distance
    for offset in PROFILE:
        band = (np.abs(distance + offset) <= 0.75) & (window.own | window.free)
        side = "inside" if offset < 0 else "outside"
        name = "intensity on the edge" if offset == 0 else f"intensity {abs(offset)} px {side} the edge"
        result[name] = float(relative[band].mean()) if band.any() else float(relative[window.own].mean())
    on_edge = (np.abs(distance) <= 1) & (window.own | window.free)
    result["gradient on the edge"] = float(gradient[on_edge].mean()) if on_edge.any() else 0.0
    reach = max(float(distance.max()), 1e-6)
    core, shell = window.own & (distance > 0.5 * reach), window.own & (distance <= 0.5 * reach)
    result["centre / shell brightness"] = float(relative[core].mean() - relative[shell].mean()) if shell.any() else 0.0
    return result
