"""How bright an image can be: microscopists expose so that cells do not saturate."""

from __future__ import annotations

from typing import Any

import numpy as np

from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.types import Array

MOST_SATURATED = 0.02
"""Largest share of the pixels of cells that images brighter than usual saturate."""


def dimmed(cells: Array, background: dict[str, Any], statistics: ImagingStatistics) -> dict[str, Any] | None:
    """Return the background of an image with which its cells hardly saturate, None if they do not.

    Parameters
    ----------
    cells : ndarray of float, (n,)
        Intensities within cells before rounding and clipping, in the image's units.
    background : dict
        From `draw_background`, perhaps with a larger gain.
    statistics : ImagingStatistics
        Tell where images saturate, and how bright they usually are.

    Returns
    -------
    dict or None
        With a smaller ``gain``: about `MOST_SATURATED` of the pixels are then at the largest value that the camera can
        hold, or fewer. No image is made darker than the usual fitted one.
    """
    high, level, gain = statistics.output.high, float(background["level"]), float(background["gain"])
    usual = float(np.median([record.gain for record in statistics.records]))
    if high is None or gain <= usual or high <= level or not cells.size:
        return None
    light = float(np.quantile(cells, 1 - MOST_SATURATED)) - level
    if light <= high - level:
        return None
    return {**background, "gain": max(gain * (high - level) / light, usual)}
