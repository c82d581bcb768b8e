"""Dark spots, as common in synthetic cells as in real ones.

In one nucleus of fifty there is a spot that holds hardly any stain. Networks that learn from a few cells have seen none
or one, and make fewer than there are; a segmenter that has not seen them either splits such nuclei by rays from the
spot to the outline. What textures lack is drawn into them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cytocascade.images.cells import fineness_of
from cytocascade.types import FloatArray

USUAL_SHARE = 0.02
"""Share of nuclei with a dark spot where few or none have been looked at (`images.spots.spotted_cells`): 1.8 % of those
of 24 images of BBBC039, 2.5 % of those of 44 images of BBBC038."""

USUAL_WORTH = 30
"""How many cells that outweighs."""

SECOND = 0.33
"""Share of spotted cells that have two spots."""

SMALLEST, LARGEST = 0.12, 0.28
"""Diameter of a spot (full width at half its depth), relative to that of its cell: 0.12 to 0.24 in BBBC039, 0.14 to
0.26 in BBBC038 (10 and 90 % quantiles)."""

SHALLOWEST, DEEPEST = 0.45, 0.95
"""Share of the light that is missing in the middle of a spot."""

LEAST_RATIO = 0.5
"""Smallest ratio of a spot's axes."""

LEAST_DEPTH = 0.1
"""Least distance of a spot's middle from the outline, in diameters of its cell."""

_PIXELS = 3.0
_HALF = 1.2515  # The profile exp(-(r**2 / 2) ** 1.5) has fallen to half there.


def share_of(spotted: int, whole: int) -> float:
    """Return the share of cells with a dark spot, shrunk towards `USUAL_SHARE` the fewer cells were looked at."""
    return (spotted + USUAL_WORTH * USUAL_SHARE) / (whole + USUAL_WORTH)


def lacking(wished: float, present: float) -> float:
    """Return the share of all cells to draw spots into, whatever they hold already, so that `wished` have one."""
    return max(0.0, (wished - present) / (1.0 - present)) if present < 1 else 0.0


def draw_spots(count: int, share: float, generator: np.random.Generator) -> list[list[float]]:
    """Draw dark spots for a `share` of `count` cells.

    Returns
    -------
    list of list of float
        One row per spot: number of the cell, place in it (its rank among all places, in [0, 1]), diameter relative to
        the cell's, missing light, ratio of the axes, and direction of the long one in radians, from the axis y.
    """
    rows = []
    for cell, (picked, second) in enumerate(generator.random((count, 2))):
        # Drawn for every cell, so that another share leaves the spots of a cell as they are.
        drawn = generator.random((2, 5))
        if picked >= share:
            continue
        for place, size, depth, ratio, turn in drawn[: 2 if second < SECOND else 1]:
            diameter = SMALLEST * (LARGEST / SMALLEST) ** size
            missing = SHALLOWEST + (DEEPEST - SHALLOWEST) * depth
            axes = LEAST_RATIO + (1.0 - LEAST_RATIO) * ratio
            rows.append([cell, *(round(float(value), 6) for value in (place, diameter, missing, axes, np.pi * turn))])
    return rows


def with_spots(signal: FloatArray, distance: FloatArray, spots: Sequence[Sequence[float]]) -> FloatArray:
    """Take the light out of dark spots.

    Parameters
    ----------
    signal, distance : ndarray, (n, S, S) float32
        Relative light and signed distances (canonical pixels) of the cells.
    spots : sequence of sequence of float
        From `draw_spots`. Cells without light, or too thin for a spot, stay as they are.

    Returns
    -------
    ndarray, (n, S, S) float32
    """
    if not len(spots):
        return signal
    result = signal.copy()
    rows, columns = np.indices(signal.shape[-2:], dtype=np.float64)
    fine = fineness_of(signal)
    for cell, place, size, missing, ratio, turn in spots:
        inside = distance[int(cell)] * fine
        diameter = 2.0 * float(np.sqrt((inside > 0).sum() / np.pi))
        places = np.argwhere(inside > LEAST_DEPTH * diameter)
        if not len(places):
            continue
        row, column = places[min(int(place * len(places)), len(places) - 1)]
        # Optics leave nothing smaller than a few pixels.
        width = max(size * diameter, _PIXELS * fine) / (2.0 * _HALF)
        along = (rows - row) * np.cos(turn) + (columns - column) * np.sin(turn)
        across = ((columns - column) * np.cos(turn) - (rows - row) * np.sin(turn)) / ratio
        dark = missing * np.exp(-(((along**2 + across**2) / (2.0 * width**2)) ** 1.5))
        result[int(cell)] *= (1.0 - dark * np.clip(inside + 0.5, 0.0, 1.0)).astype(np.float32)
    return result
