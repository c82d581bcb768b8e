"""The PSF along z, from how gradually the light of real cells ends above and below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import ndtr

from cytocascade.imaging.columns import CellColumns
from cytocascade.imaging.psf import ConePsf
from cytocascade.types import Array

_CENTRAL = 0.5
_MET = 0.4
_MIN_EDGES = 4
_BINS = 120
_REACH = 12.0
_BETTER = 0.6
_MOST = 0.6


@dataclass(frozen=True)
class EdgeSpread:
    """How light falls across the tops and bottoms of cells; medians over cells.

    Attributes
    ----------
    heights : ndarray of float64, (n,)
        Distance beyond the end of the cell's columns, in um; negative inside.
    middle : ndarray of float64, (n,)
        Light through the middle of the cells, relative to the light inside; NaN where not seen.
    thickness : float
        Median thickness of the cells, in um.
    edges : int
        Number of tops and bottoms.
    """

    heights: Array
    middle: Array
    thickness: float
    edges: int


def measure_edge_spread(columns: Sequence[CellColumns]) -> EdgeSpread | None:
    """Average light over the columns of all cells, aligned where each of them ends; None with too few edges.

    Aligned columns do not blur the edge of a domed or tilted cell as a mean at equal height would. Sides where other
    cells follow are left out.
    """
    unit = max(min(cell.spacing[0] for cell in columns) / 2, _REACH / _BINS) if columns else 1.0
    heights = np.arange(-_REACH, _REACH, unit)
    middles, thickness = [], []
    for cell in columns:
        for ends, met, way in ((cell.low, cell.low_met, -1), (cell.high, cell.high_met, 1)):
            usable = np.isfinite(ends) & ~met & (cell.depth >= _CENTRAL)
            if usable.sum() < (1 - _MET) * (cell.depth >= _CENTRAL).sum() or not cell.complete:
                continue
            planes = np.arange(len(cell.light))[:, None]
            beyond = (planes - ends[usable]) * way * cell.spacing[0]
            middles.append(_binned(beyond, (cell.light[:, usable] - cell.level) / cell.plateau, heights))
            thickness.append(cell.thickness)
    if len(middles) < _MIN_EDGES:
        return None
    return EdgeSpread(
        heights=heights,
        middle=medians(middles),
        thickness=float(np.median(thickness)),
        edges=len(middles),
    )


def medians(curves: Sequence[Array]) -> Array:
    """Return the median of curves with gaps, where at least a third of them (and two) are known."""
    table = np.stack(curves)
    enough = np.isfinite(table).sum(axis=0) >= max(2, len(curves) // 3)
    result = np.full(table.shape[1], np.nan)
    if enough.any():
        result[enough] = np.nanmedian(table[:, enough], axis=0)
    return result


def _binned(heights: Array, values: Array, centres: Array) -> Array:
    """Return the mean value around every centre, linear shares to the two nearest; NaN where there is none."""
    unit = centres[1] - centres[0]
    place = (heights.ravel() - centres[0]) / unit
    inside = (place >= 0) & (place < len(centres) - 1)
    low = np.floor(place[inside]).astype(np.intp)
    share = place[inside] - low
    kept = values.ravel()[inside].astype(np.float64)
    size = len(centres)
    total = np.bincount(low, (1 - share) * kept, size) + np.bincount(low + 1, share * kept, size)
    mass = np.bincount(low, 1 - share, size) + np.bincount(low + 1, share, size)
    return np.where(mass > 1.0, total / np.maximum(mass, 1e-12), np.nan)


def fit_axial_psf(spread: EdgeSpread) -> ConePsf:
    """Fit the PSF with which the light of a slab as thick as the cells falls like `spread`.

    A Gaussian, and a halo if that makes the deviation clearly smaller.

    Parameters
    ----------
    spread : EdgeSpread

    Returns
    -------
    ConePsf
        Without lateral spread, which edges along z do not tell.
    """
    x, y = spread.heights, spread.middle
    # Deep inside, structure of the cell and its other end tell more than this edge.
    used = np.isfinite(y) & (x > -0.5 * spread.thickness)
    x, y = x[used], y[used]
    start = float(np.clip(0.74 * _width(x, y), 0.05, 10.0))

    def gaussian(p: Array) -> Array:
        return np.asarray(p[0] * _slab(x - p[1], p[2], spread.thickness) + p[3] - y)

    def with_halo(p: Array) -> Array:
        scale, shift, core, level, halo, wide = p
        sharp, soft = (_slab(x - shift, sigma, spread.thickness) for sigma in (core, wide))
        return np.asarray(scale * ((1 - halo) * sharp + halo * soft) + level - y)

    low, high = [0.5, -5, 0.01, -0.1], [2, 5, 20, 0.1]
    single = least_squares(gaussian, [1.0, 0.0, start, 0.0], bounds=(low, high))
    core = float(single.x[2])
    start_halo = [*single.x[:2], 0.8 * core, single.x[3], 0.2, 2.5 * core]
    double = least_squares(
        with_halo, np.clip(start_halo, 1e-6, None), bounds=([*low, 0.0, 1.5 * core], [*high, _MOST, 6 * core])
    )
    if double.cost > _BETTER**2 * single.cost:
        return ConePsf(axial=core)
    return ConePsf(axial=float(double.x[2]), halo=float(double.x[4]), halo_axial=float(double.x[5]))


def _slab(x: Array, sigma: float, thickness: float) -> Array:
    return np.asarray(ndtr(-x / sigma) - ndtr(-(x + thickness) / sigma))


def _width(x: Array, y: Array) -> float:
    """Return the distance over which light falls from 3/4 to 1/4."""
    fallen = np.interp([0.25, 0.75], y[::-1], x[::-1])
    return float(abs(fallen[0] - fallen[1]))
