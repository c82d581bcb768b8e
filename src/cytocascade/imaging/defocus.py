"""How far light spreads sideways out of focus: real cells against synthetic ones that are measured alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from cytocascade.imaging.blur import blur
from cytocascade.imaging.columns import CellColumns, trace_columns
from cytocascade.imaging.edge_spread import medians
from cytocascade.imaging.psf import ConePsf
from cytocascade.types import AnnotatedStack, Array, BoolArray

SPREADS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Candidates, in um per um."""
_NEAR = 0.3
_FAR = (0.6, 1.0)
_LEFT = 0.02
_MIN_PIXELS = 15
_DEPTHS = np.array([-0.4, -0.2, 0.0, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0])
_INNER = 3
_MIN_HEIGHTS = 3
_CAUTION = 0.01
_IN_FOCUS = 0.15
_BRIGHT = 1000.0


def outline_softness(stack: AnnotatedStack, cell: CellColumns, heights: Array) -> list[Array]:
    """Measure how soft the outline of a cell's light is, beyond its top and beyond its bottom.

    Parameters
    ----------
    stack : AnnotatedStack
    cell : CellColumns
        Of that stack.
    heights : ndarray of float64, (n,)
        Distances from the cell's end, in um.

    Returns
    -------
    list of ndarray of float64, (n,)
        For every end that is seen: light in a rim just outside the outline relative to that in its middle, both above
        the light in a ring farther out; NaN where no light is left.
    """
    radius = float(np.sqrt(cell.mask.sum() / np.pi))
    outside = np.asarray(ndi.distance_transform_edt(~cell.mask))
    depth = np.asarray(ndi.distance_transform_edt(cell.mask))
    others = ((stack.labels > 0) & (stack.labels != cell.label)).any(axis=0)
    alone = np.asarray(ndi.distance_transform_edt(~others)) > 0.4 * radius if others.any() else np.ones_like(cell.mask)
    zones: list[BoolArray] = [
        depth > 0.5 * depth.max(),
        (outside > 0) & (outside <= _NEAR * radius) & alone,
        (outside > _FAR[0] * radius) & (outside <= _FAR[1] * radius) & alone,
    ]
    if min(int(zone.sum()) for zone in zones) < _MIN_PIXELS:
        return []
    middle, rim, far = (np.asarray(stack.image[:, zone], dtype=np.float64).mean(axis=1) for zone in zones)
    light = middle - far
    softness = np.where(light > _LEFT * cell.plateau, (rim - far) / np.maximum(light, 1e-9), np.nan)
    curves = []
    for ends, met, way in ((cell.low, cell.low_met, -1), (cell.high, cell.high_met, 1)):
        usable = np.isfinite(ends) & ~met
        if usable.mean() > 0.6:
            beyond = (np.arange(len(softness)) - np.median(ends[usable])) * way * cell.spacing[0]
            order = np.argsort(beyond)
            curves.append(np.interp(heights, beyond[order], softness[order], left=np.nan, right=np.nan))
    return curves


def fit_spread(stacks: Sequence[AnnotatedStack], columns: Sequence[CellColumns], psf: ConePsf) -> float:
    """Return the spread of the cone with which outlines of synthetic cells get softer as real ones do.

    Compared is how much softer outlines get beyond the ends of cells, since drawn outlines lie more or less close.
    The synthetic cell is an ellipsoid with the median extents of the real ones, seen through `psf` with every one of
    `SPREADS`; the spread that fits best is interpolated.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
    columns : sequence of CellColumns
        Of these stacks.
    psf : ConePsf
        With its widths along z.

    Returns
    -------
    float
        In um per um; 0 where too little light is seen beyond the ends of cells.
    """
    wide = float(np.sqrt((1 - psf.halo) * psf.axial**2 + psf.halo * psf.halo_axial**2))
    heights = _DEPTHS * wide
    curves = [curve for cell in columns for curve in outline_softness(stacks[cell.stack], cell, heights)]
    usable = [cell for cell in columns if cell.complete]
    if len(curves) < 2 or not usable:
        return 0.0
    measured = medians(curves)
    area = float(np.median([cell.mask.sum() * cell.spacing[1] * cell.spacing[2] for cell in usable]))
    height = float(np.median([cell.thickness / np.median(np.sqrt(1 - (1 - cell.depth) ** 2)) for cell in usable]))
    spacing = (psf.axial / 2, usable[0].spacing[1], usable[0].spacing[2])
    model = _ellipsoid(height, 2 * float(np.sqrt(area / np.pi)), spacing, reach=3.5 * max(psf.axial, psf.halo_axial))
    table = np.stack([_seen_softness(model, psf.model_copy(update={"spread": s}), heights) for s in SPREADS])
    return _best_spread(measured, table)


def _best_spread(measured: Array, table: Array) -> float:
    fine = np.linspace(SPREADS[0], SPREADS[-1], 101)
    models = np.stack([np.interp(fine, SPREADS, column) for column in table.T], axis=1)
    deviation = (_softening(models) - _softening(measured)) ** 2
    # A wide spread leaves no light to measure far out: each candidate is judged by the heights that it reaches.
    enough = np.isfinite(deviation).sum(axis=1) >= _MIN_HEIGHTS
    if not enough.any():
        return 0.0
    # Outlines drawn too narrow make real cells look softer, never sharper; where spread would not show, there is none.
    excess = np.maximum(models[:, :_INNER].mean(axis=1) - measured[:_INNER].mean(), 0)
    cost = np.nanmean(deviation[enough], axis=1) + excess[enough] ** 2 + (_CAUTION * fine[enough]) ** 2
    return round(float(fine[enough][np.argmin(cost)]), 2)


def _softening(softness: Array) -> Array:
    """Return how much softer outlines are beyond the cells' ends than within; heights along the last axis."""
    return np.asarray(softness[..., _INNER:] - softness[..., :_INNER].mean(axis=-1, keepdims=True))


def _ellipsoid(height: float, width: float, spacing: tuple[float, float, float], *, reach: float) -> AnnotatedStack:
    sides = [
        int(2 * np.ceil((size / 2 + margin) / step)) + 1
        for size, margin, step in zip((height, width, width), (reach, 0.8 * width, 0.8 * width), spacing, strict=True)
    ]
    axes = [(np.arange(n) - n // 2) * step for n, step in zip(sides, spacing, strict=True)]
    squares = np.ix_(*[(2 * axis / size) ** 2 for axis, size in zip(axes, (height, width, width), strict=True)])
    inside = np.asarray(sum(squares) <= 1.0)
    light = ndi.gaussian_filter(_BRIGHT * inside.astype(np.float32), [0, *[_IN_FOCUS / step for step in spacing[1:]]])
    labels = np.zeros(inside.shape, dtype=np.uint16)
    middle = len(inside) // 2
    labels[middle] = inside[middle]
    return AnnotatedStack(light, labels, (middle,), spacing, "ellipsoid", True)


def _seen_softness(model: AnnotatedStack, psf: ConePsf, heights: Array) -> Array:
    seen = AnnotatedStack(
        blur(model.image, model.spacing, psf), model.labels, model.annotated, model.spacing, model.name, True
    )
    cells = trace_columns([seen])
    return medians(outline_softness(seen, cells[0], heights)) if cells else np.full(len(heights), np.nan)
