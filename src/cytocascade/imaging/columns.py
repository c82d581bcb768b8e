"""Where the light of an annotated cell begins and ends along z, column by column, without annotation there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.types import AnnotatedStack, Array, BoolArray, FloatArray

_CORE = 0.3
_SMOOTHING = 0.12
_MIN_SMOOTHING = 0.8
_AXIAL_SMOOTHING = 0.5
_DIP = 0.1
_DEEP = 0.85
_ROUNDS = 3
_MIN_COLUMNS = 9
_SEEN = 0.6


@dataclass(frozen=True)
class CellColumns:
    """The columns through the middle of one annotated cell.

    Attributes
    ----------
    stack, label, plane : int
        Which stack of the sequence, which cell, and the annotated slice with its largest outline.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    mask : ndarray of bool, (Y, X)
        The cell in that slice.
    depth : ndarray of float64, (n,)
        How deep in the outline every column lies: 0 at its edge, 1 in the middle.
    light : ndarray of float32, (Z, n)
        Intensities of the columns, smoothed within slices.
    level, plateau : float
        Background at the cell's columns, and the light inside the cell above it.
    low, high : ndarray of float64, (n,)
        Planes (fractional) where a column's light falls to half of `plateau`; NaN where it never does.
    low_met, high_met : ndarray of bool, (n,)
        Whether the column meets another cell there: then it ends where the light between the two is lowest.
    """

    stack: int
    label: int
    plane: int
    spacing: tuple[float, float, float]
    mask: BoolArray
    depth: Array
    light: FloatArray
    level: float
    plateau: float
    low: Array
    high: Array
    low_met: BoolArray
    high_met: BoolArray

    @property
    def complete(self) -> bool:
        """Whether most columns end within the stack."""
        return bool(np.mean(np.isfinite(self.low) & np.isfinite(self.high)) >= _SEEN)

    @property
    def thickness(self) -> float:
        """Median length of the columns in um; NaN if no column ends on both sides."""
        length = self.high - self.low
        return float(np.nanmedian(length) * self.spacing[0]) if np.isfinite(length).any() else float("nan")

    @property
    def height(self) -> float:
        """Height of the cell's middle above the first plane in um, or of its annotated slice."""
        middle = 0.5 * (self.high + self.low)
        plane = float(np.nanmedian(middle)) if np.isfinite(middle).any() else float(self.plane)
        return plane * self.spacing[0]


def trace_columns(stacks: Sequence[AnnotatedStack]) -> list[CellColumns]:
    """Follow the light of every annotated cell up and down.

    A column starts in the annotated outline, climbs to the nearest maximum of light, and ends on either side where
    it falls to half of the cell's light (the mean over the middle half of a column, the median over the columns), or
    at the dip before another cell.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
        Fluorescence stacks with at least one annotated slice.

    Returns
    -------
    list of CellColumns
        One per cell; without cells that the frame cuts, that are tiny, or no brighter than their surroundings.

    Raises
    ------
    CytoCascadeError
        A stack with fewer than three slices.
    """
    traced = []
    for number, stack in enumerate(stacks):
        if stack.image.shape[0] < 3:
            raise CytoCascadeError(
                f"a stack of {stack.image.shape[0]} slices does not show how light changes along z",
                path=stack.name,
                hint="Give stacks of at least three slices, or state the PSF.",
            )
        for label, plane in sorted(_largest_outlines(stack).items()):
            columns = _trace_cell(stack, number, label, plane)
            if columns is not None:
                traced.append(columns)
    return traced


def _largest_outlines(stack: AnnotatedStack) -> dict[int, int]:
    """Return for every label the annotated slice where it is largest."""
    best: dict[int, tuple[int, int]] = {}
    for plane in stack.annotated:
        areas = np.bincount(stack.labels[plane].ravel())
        for label in np.flatnonzero(areas):
            if label > 0 and areas[label] > best.get(int(label), (0, 0))[0]:
                best[int(label)] = (int(areas[label]), plane)
    return {label: plane for label, (_, plane) in best.items()}


def _trace_cell(stack: AnnotatedStack, number: int, label: int, plane: int) -> CellColumns | None:
    mask = stack.labels[plane] == label
    if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
        return None
    distance = np.asarray(ndi.distance_transform_edt(mask))
    depth = distance / distance.max()
    core = depth >= _CORE
    if core.sum() < _MIN_COLUMNS:
        return None
    sigma = max(_MIN_SMOOTHING, _SMOOTHING * float(np.sqrt(mask.sum() / np.pi)))
    pad = int(3 * sigma) + 1
    box = tuple(slice(max(int(i.min()) - pad, 0), int(i.max()) + pad + 1) for i in np.nonzero(core))
    crop = np.asarray(stack.image[(slice(None), *box)], dtype=np.float32)
    light = ndi.gaussian_filter(crop, (0, sigma, sigma), truncate=3.0)[:, core[box]]
    smooth = ndi.gaussian_filter1d(light, _AXIAL_SMOOTHING, axis=0)
    level = float(np.median(np.minimum(smooth[0], smooth[-1])))
    peak = _climb(smooth, plane)
    plateau = float(np.median(np.take_along_axis(smooth, peak[None], axis=0))) - level
    if plateau <= 0:
        return None
    for _ in range(_ROUNDS):
        (low, low_met), (high, high_met) = (_ends(smooth - level, peak, plateau, way) for way in (-1, 1))
        plateau = _middle_light(smooth - level, low, high, plateau)
        if plateau <= 0:
            return None
    return CellColumns(
        number, label, plane, stack.spacing, mask, depth[core], light, level, plateau, low, high, low_met, high_met
    )


def _climb(light: FloatArray, plane: int) -> Array:
    """Return the plane of the maximum that every column reaches by going uphill from `plane`."""
    place = np.full(light.shape[1], plane)
    padded = np.pad(light, ((1, 1), (0, 0)), constant_values=-np.inf)
    column = np.arange(light.shape[1])
    for _ in range(len(light)):
        here, below, above = (padded[place + 1 + offset, column] for offset in (0, -1, 1))
        move = np.where((above > here) & (above >= below), 1, np.where(below > here, -1, 0))
        if not move.any():
            break
        place = place + move
    return place


def _ends(light: FloatArray, peak: Array, plateau: float, way: int) -> tuple[Array, BoolArray]:
    """Return where columns end in one direction (NaN: nowhere), and whether they meet another cell there."""
    count, columns = light.shape
    index = peak[None] + way * np.arange(count)[:, None]
    inside = (index >= 0) & (index < count)
    path = np.where(inside, np.take_along_axis(light, np.clip(index, 0, count - 1), axis=0), np.nan)
    # A dim column of a bright cell ends at half of its own light.
    half = 0.5 * np.minimum(plateau, path[0])
    lowest = np.fmin.accumulate(path, axis=0)
    dim = path < half
    rises = (path > lowest + _DIP * plateau) & (lowest < _DEEP * plateau)
    first_dim = np.where(dim.any(axis=0), dim.argmax(axis=0), count)
    first_rise = np.where(rises.any(axis=0), rises.argmax(axis=0), count)
    met = first_rise < first_dim
    column = np.arange(columns)
    after = np.clip(first_dim, 1, count - 1)
    upper, lower = path[after - 1, column], path[after, column]
    crossing = after - (half - lower) / np.maximum(upper - lower, 1e-12)
    until = np.where(np.arange(count)[:, None] < first_rise, path, np.inf)
    dip = np.nanargmin(np.where(np.isnan(until), np.inf, until), axis=0)
    distance = np.where(met, dip, np.where(first_dim < count, crossing, np.nan))
    return peak + way * distance, np.asarray(met)


def _middle_light(light: FloatArray, low: Array, high: Array, otherwise: float) -> float:
    """Return the median over the columns of their mean light in the middle half between their ends."""
    planes = np.arange(len(light))[:, None]
    quarter = 0.25 * (high - low)
    middle = (planes >= low + quarter - 0.5) & (planes <= high - quarter + 0.5)
    counts = middle.sum(axis=0)
    if not (counts > 0).any():
        return otherwise
    means = (light * middle).sum(axis=0)[counts > 0] / counts[counts > 0]
    return float(np.median(means))
