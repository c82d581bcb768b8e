"""How the background of a stack changes from slice to slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from cytocascade.imaging.columns import CellColumns
from cytocascade.imaging.illumination import render_haze
from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.types import AnnotatedStack, Array, BoolArray, FloatArray

_FOREGROUND = 0.25
_RIM = 0.5
_MIN_FREE = 0.05
_TRIM = 0.95
_SMOOTHING = 1.0


def level_profiles(
    stacks: Sequence[AnnotatedStack], columns: Sequence[CellColumns], statistics: ImagingStatistics | None
) -> tuple[list[float], list[list[float]]]:
    """Measure the background of every slice relative to the annotated slices of its stack.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
    columns : sequence of CellColumns
        Of these stacks. Stacks without any say nothing.
    statistics : ImagingStatistics or None
        Fitted on the annotated slices. Its haze is taken off each slice, since it is rendered from the light anyway.

    Returns
    -------
    heights : list of float
        Micrometres above the mean height of the cells' light.
    profiles : list of list of float
        One per stack: background minus that of the annotated slices, in units of the mean light of its median cell.
        Beyond a stack its last value is continued.
    """
    measured = []
    for number, stack in enumerate(stacks):
        cells = [cell for cell in columns if cell.stack == number]
        if cells:
            measured.append(_profile(stack, cells, statistics))
    if not measured:
        return [], []
    step = min(float(heights[1] - heights[0]) for heights, _ in measured)
    low, high = (limit([heights[end] for heights, _ in measured]) for limit, end in ((min, 0), (max, -1)))
    grid = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
    profiles = [np.interp(grid, heights, values) for heights, values in measured]
    return [round(float(z), 4) for z in grid], [[round(float(v), 6) for v in values] for values in profiles]


def _profile(
    stack: AnnotatedStack, cells: Sequence[CellColumns], statistics: ImagingStatistics | None
) -> tuple[Array, Array]:
    level = float(np.median([cell.level for cell in cells]))
    gain = _mean_light(stack, cells, level)
    bright = np.stack([_bright(plane, level + _FOREGROUND * gain) for plane in stack.image])
    rim = _RIM * float(np.median([np.sqrt(cell.mask.sum() / np.pi) for cell in cells]))
    # Light from above and below a cell is the PSF's matter, so its columns are left out in all slices.
    free = _away(np.asarray(bright.any(axis=0)), rim)
    shared = free if free.mean() >= _MIN_FREE else None
    widths = [] if statistics is None else statistics.haze_widths
    strengths = [] if statistics is None else common_haze(statistics)
    values, light = [], []
    for plane, seen in zip(stack.image, bright, strict=True):
        above = np.asarray(plane, dtype=np.float32) - np.float32(level)
        signal = np.where(seen, np.maximum(above, 0), np.float32(0))
        light.append(float(signal.sum()))
        values.append(_quiet_mean(above - render_haze(signal, widths, strengths), _away(seen, rim), shared))
    smooth = np.asarray(ndi.gaussian_filter1d(values, _SMOOTHING, mode="nearest"))
    relative = (smooth - smooth[list(stack.annotated)].mean()) / gain
    heights = np.arange(len(values)) * stack.spacing[0]
    mean = float(np.average(heights, weights=light)) if sum(light) > 0 else float(heights.mean())
    return heights - mean, relative


def common_haze(statistics: ImagingStatistics) -> list[float]:
    """Return the strengths of the haze that all slices share: medians over the fitted slices."""
    return [float(value) for value in np.median([record.haze for record in statistics.records], axis=0)]


def _mean_light(stack: AnnotatedStack, cells: Sequence[CellColumns], level: float) -> float:
    """Return the median over the cells of their mean light in their outlines, as the gain of a slice is defined."""
    means = [float(stack.image[cell.plane][cell.mask].mean()) - level for cell in cells]
    return max(float(np.median(means)), 1e-6)


def _bright(plane: Array, threshold: float) -> BoolArray:
    smooth = ndi.gaussian_filter(np.asarray(plane, dtype=np.float32), 1.0)
    return np.asarray(ndi.binary_opening(smooth > threshold))


def _away(bright: BoolArray, rim: float) -> BoolArray:
    return np.asarray(ndi.distance_transform_edt(~bright) > rim) if bright.any() else np.ones(bright.shape, dtype=bool)


def _quiet_mean(values: FloatArray, own: BoolArray, shared: BoolArray | None) -> float:
    """Return the mean of the background pixels without the brightest, which are debris; a median would stick at 0."""
    free = own if shared is None else shared
    pixels = values[free] if free.any() else values.ravel()
    return float(pixels[pixels <= np.quantile(pixels, _TRIM)].mean())
