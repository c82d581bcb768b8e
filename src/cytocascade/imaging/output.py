"""What the camera's file format allows: dtype, range, saturation, grey levels in use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from cytocascade.types import Array, FloatArray

_COUNTED = 50.0
_RARE = 0.02


class OutputFormat(BaseModel):
    """Range and grey levels of the images."""

    model_config = ConfigDict(extra="forbid")

    dtype: str
    """numpy name of the pixel type."""
    low: float | None
    """Smallest value that can occur; none for floating point."""
    high: float | None
    """Largest value that can occur: where the images saturate, else the dtype's; none for unsaturated floats."""
    step: int
    """Regular distance of the grey levels (1: every integer; 0: continuous); levels start at `origin`."""
    origin: int
    """A grey level in use."""
    levels: list[int]
    """The grey levels in use where they are irregular; empty if every multiple of `step` is used."""


def saturation_level(images: Sequence[Array]) -> float | None:
    """Return the largest value if pixels pile up there, else None."""
    highest = max(float(image.max()) for image in images)
    near = highest - max(abs(highest) * 0.01, 4.0)
    at_top = sum(int((image == highest).sum()) for image in images)
    below = sum(int(((image > near) & (image < highest)).sum()) for image in images)
    width = max(highest - near - 1.0, 1.0) if images[0].dtype.kind in "iu" else 20.0
    return highest if at_top >= 20 and at_top > 4 * below / width else None


def fit_output(images: Sequence[Array]) -> OutputFormat:
    """Return the format of `images`, all of one dtype."""
    dtype = np.dtype(images[0].dtype)
    top = saturation_level(images)
    if dtype.kind not in "iu":
        return OutputFormat(dtype=dtype.name, low=None, high=top, step=0, origin=0, levels=[])
    info = np.iinfo(dtype)
    high = float(info.max) if top is None else top
    levels = np.unique(np.concatenate([np.unique(image) for image in images]))
    step = int(np.gcd.reduce(np.diff(levels.astype(np.int64)))) if len(levels) > 2 else 1
    step = max(step, 1)
    used: list[int] = []
    if step == 1 and int(levels[-1]) - int(levels[0]) <= 1024:
        used = _irregular_levels(images, int(levels[0]), int(levels[-1]), int(high))
    return OutputFormat(dtype=dtype.name, low=float(info.min), high=high, step=step, origin=int(levels[0]), levels=used)


def _irregular_levels(images: Sequence[Array], first: int, last: int, high: int) -> list[int]:
    """Return the levels in use if some are skipped (stretched or counted intensities), else []."""
    counts = np.zeros(last - first + 1)
    for image in images:
        counts += np.bincount((image.astype(np.int64) - first).ravel(), minlength=len(counts))
    reach = 3
    padded = np.pad(counts, reach)
    around = np.max([padded[k : k + len(counts)] for k in range(2 * reach + 1)], axis=0)
    # Where the histogram is thin an empty level says nothing.
    skipped = (counts < _RARE * around) & (around > _COUNTED)
    # The rise of the histogram at its dark end is not a skipped level.
    seen_before = np.maximum.accumulate(counts) >= np.maximum(_RARE * around, 1)
    skipped &= seen_before
    dense = around > _COUNTED
    if skipped.sum() < 0.1 * max(dense.sum(), 1):
        return []
    used = first + np.flatnonzero(~skipped)
    return [int(level) for level in used] + list(range(last + 1, high + 1))


def level_width(output: OutputFormat, value: float) -> float:
    """Return the distance of the grey levels around `value`."""
    if len(output.levels) < 2:
        return float(output.step)
    nearby = int(np.searchsorted(output.levels, value))
    levels = np.asarray(output.levels[: max(2, nearby + 4)], dtype=np.int64)
    return float(np.median(np.diff(levels[-6:])))


def quantise(image: FloatArray, output: OutputFormat) -> Array:
    """Return `image` as the camera's file would hold it.

    Parameters
    ----------
    image : ndarray of float32
        Intensities in image units.
    output : OutputFormat

    Returns
    -------
    ndarray of ``output.dtype``, same shape
        Rounded half to even to the grey levels in use, clipped to the range.
    """
    if output.step == 0:
        bounded = np.asarray(image) if output.high is None else np.minimum(image, output.high)
        return bounded.astype(output.dtype)
    low, high = output.low, output.high
    assert low is not None
    assert high is not None
    if output.levels:
        levels = np.asarray(output.levels)
        bounded = np.clip(np.asarray(image, dtype=np.float64), levels[0], min(high, levels[-1]))
        nearest = np.searchsorted(0.5 * (levels[1:] + levels[:-1]), bounded)
        return np.asarray(levels[nearest], dtype=output.dtype)
    steps = np.rint((np.asarray(image, dtype=np.float64) - output.origin) / output.step)
    return np.asarray(np.clip(steps * output.step + output.origin, low, high), dtype=output.dtype)
