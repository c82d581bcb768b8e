"""Power spectra of lines through cells along x and along z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import fft

from cytocascade.evaluation.splits import Split, floored
from cytocascade.evaluation.volumes.measured import VolumeSet
from cytocascade.evaluation.volumes.results import LineSpectrum
from cytocascade.types import Array, BoolArray, FloatArray

MAX_LENGTH = 128
BINS = 24


def compare_line_spectra(
    real: VolumeSet, synthetic: VolumeSet, axis: Literal["x", "z"], splits: Sequence[Split]
) -> LineSpectrum:
    """Compare the mean log spectra of lines along one axis; power is in squared grey values.

    Lines have the same length in micrometres on both sides, so that windows do the same to both. Frequencies
    above what either sampling can hold are left out.
    """
    which = 2 if axis == "x" else 0
    steps = [one.spacing[which] for one in (real, synthetic)]
    shortest = min(
        min(one.block(part)[0].shape[which] for part in one.parts) * step for one, step in zip((real, synthetic), steps)
    )
    shortest = min(shortest, MAX_LENGTH * min(steps))
    (at, ours), (there, theirs) = (
        _spectra(one, which, max(4, int(shortest / step + 1e-6)), step) for one, step in zip((real, synthetic), steps)
    )
    highest = min(at[-1], there[-1]) * 1.0001
    theirs = np.stack([np.interp(at, there, row) for row in theirs])[:, at <= highest]
    ours, at = ours[:, at <= highest], at[at <= highest]

    def between_halves(split: Split) -> float:
        return _distance(ours[list(split.first)], ours[list(split.second)])

    return LineSpectrum(
        axis=axis,
        distance=floored(_distance(ours, theirs), splits, between_halves),
        frequency=at.tolist(),
        real=ours.mean(axis=0).tolist(),
        synthetic=theirs.mean(axis=0).tolist(),
    )


def _spectra(measured: VolumeSet, which: int, length: int, step: float) -> tuple[Array, Array]:
    """Return frequencies in cycles per micrometre and the log spectrum of every part, in bins."""
    bins, centres = _line_bins(length)
    rows = []
    for part in measured.parts:
        image, labels, _ = measured.block(part)
        power = _mean_power(np.moveaxis(image, which, -1), np.moveaxis(labels, which, -1) > 0, length)
        mean = np.bincount(bins, power[1:]) / np.bincount(bins)
        rows.append(10 * np.log10(mean + 1e-12))
    return centres / step, np.stack(rows)


def _line_bins(length: int) -> tuple[Array, Array]:
    """Return the bin of every frequency but zero, evenly spaced in its logarithm, and the bins' centres."""
    frequency = fft.rfftfreq(length)[1:]
    raw = np.digitize(frequency, np.geomspace(0.9 / length, 0.5, BINS + 1)[1:-1])
    bins = np.unique(raw, return_inverse=True)[1]
    return bins, np.bincount(bins, frequency) / np.bincount(bins)


def _mean_power(lines: FloatArray, cells: BoolArray, length: int) -> Array:
    """Return the mean power of windows of `length` along the last axis, each less its mean, Hann-windowed.

    Only windows that show a cell count (all, if none does): how many cells there are is measured elsewhere.
    """
    taper = np.hanning(length + 2)[1:-1].astype(np.float32)
    taper /= np.sqrt((taper**2).mean())
    spare = lines.shape[-1] - length
    power, count = np.zeros(length // 2 + 1), 0
    for start in np.unique(np.linspace(0, spare, 1 + -(-2 * spare // length)).astype(int)):
        shown = cells[..., start : start + length].any(axis=-1) if cells.any() else np.ones(cells.shape[:-1], bool)
        window = lines[..., start : start + length][shown]
        centred = (window - window.mean(axis=-1, keepdims=True)) * taper
        power += np.sum(np.abs(fft.rfft(centred, axis=-1)) ** 2, axis=0) / length
        count += len(window)
    return power / count


def _distance(first: Array, second: Array) -> float:
    return float(np.sqrt(np.mean((first.mean(axis=0) - second.mean(axis=0)) ** 2)))
