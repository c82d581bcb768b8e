"""How light fades with depth in the specimen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cytocascade.types import Array, FloatArray

_CERTAIN = 2.5
_FEW = 6
_HUBER = 1.5


class Attenuation(BaseModel):
    """Beer-Lambert attenuation: light falls as ``exp(-coefficient * depth)``."""

    model_config = ConfigDict(extra="forbid")

    coefficient: float = Field(0.0, ge=0)
    """Attenuation in 1/um; 0 is none."""
    surface: Literal["first", "last"] = "first"
    """The plane that is nearest to the objective, where depth is 0."""
    reference: float | None = None
    """Depth in um at which the factor is 1; by default the mean depth of the light in the volume."""


def attenuation_factors(attenuation: Attenuation, planes: int, step: float, light: Sequence[float]) -> FloatArray:
    """Return the factor on the light of every plane.

    Parameters
    ----------
    attenuation : Attenuation
    planes : int
        Number of planes.
    step : float
        Micrometres between them.
    light : sequence of float
        Light of every plane; where there is no reference its mean depth is it, since brightness was learned from
        cells at all depths.

    Returns
    -------
    ndarray of float32, (planes,)
    """
    depth = (np.arange(planes) + 0.5) * step
    if attenuation.surface == "last":
        depth = depth[::-1]
    reference = attenuation.reference
    if reference is None:
        weight = np.maximum(np.asarray(light, dtype=np.float64), 0)
        reference = float(weight @ depth / weight.sum()) if weight.sum() > 0 else float(depth.mean())
    return np.asarray(np.exp(-attenuation.coefficient * (depth - reference)), dtype=np.float32)


def fit_attenuation(groups: Sequence[tuple[Array, Array]]) -> Attenuation:
    """Fit the attenuation to the brightness of cells at several depths.

    Cells differ in brightness anyway, so a slope counts only if it is larger than `_CERTAIN` of its standard errors;
    otherwise there is no attenuation.

    Parameters
    ----------
    groups : sequence of (ndarray, ndarray)
        For every stack the heights of its cells (um above the first plane) and their brightness above the
        background. Stacks are compared with themselves only: their exposure differs.

    Returns
    -------
    Attenuation
        The surface is the side where cells are brighter.
    """
    heights, logs = [], []
    for height, brightness in groups:
        usable = np.asarray(brightness) > 0
        if usable.sum() > 1:
            z, log = np.asarray(height, dtype=np.float64)[usable], np.log(np.asarray(brightness, np.float64)[usable])
            heights.append(z - z.mean())
            logs.append(log - log.mean())
    count = sum(len(z) for z in heights)
    if count < _FEW or not np.ptp(np.concatenate(heights)) > 0:
        return Attenuation()
    z, log = np.concatenate(heights), np.concatenate(logs)
    slope, error = _robust_slope(z, log, count - len(heights) - 1)
    if abs(slope) < _CERTAIN * error:
        return Attenuation()
    return Attenuation(coefficient=abs(slope), surface="first" if slope < 0 else "last")


def _robust_slope(z: Array, log: Array, freedom: int) -> tuple[float, float]:
    """Return a Huber slope through the origin, and its standard error."""
    weight = np.ones_like(z)
    slope = spread = 0.0
    for _ in range(20):
        slope = float((weight * z * log).sum() / max((weight * z**2).sum(), 1e-30))
        residual = log - slope * z
        spread = 1.4826 * float(np.median(np.abs(residual)))
        if spread <= 0:
            break
        weight = 1 / np.maximum(1.0, np.abs(residual) / (_HUBER * spread))
    residual = log - slope * z
    variance = float((weight * residual**2).sum()) / max(freedom, 1)
    return slope, float(np.sqrt(variance / max((weight * z**2).sum(), 1e-30)))
