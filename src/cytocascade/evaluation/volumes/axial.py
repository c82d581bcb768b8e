"""How light and texture go on from slice to slice inside cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cytocascade.evaluation.splits import Split, with_floor
from cytocascade.evaluation.volumes.halves import cell_halves
from cytocascade.evaluation.volumes.measured import VolumeSet
from cytocascade.evaluation.volumes.results import CurveComparison
from cytocascade.types import Array, BoolArray, FloatArray

HEIGHTS = (np.arange(10) + 0.5) / 10
PROFILE_GOAL = 0.1
MIN_SLICES = 5
FULL = 0.5


def slice_means(above: FloatArray, own: BoolArray) -> tuple[Array, Array]:
    """Return the mean light and the number of voxels of a cell (Z, Y, X) in each of its slices."""
    counts = own.sum(axis=(1, 2))
    used = counts > 0
    sums = np.where(own, above, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(sums[used] / counts[used]), np.asarray(counts[used])


def relative_profile(means: Array, counts: Array) -> Array:
    """Return the light at `HEIGHTS` (0 bottom, 1 top), relative to the cell's mean; NaN with few slices."""
    level = float((means * counts).sum() / counts.sum())
    if len(means) < MIN_SLICES or level <= 0:
        return np.full(len(HEIGHTS), np.nan)
    places = (np.arange(len(means)) + 0.5) / len(means)
    return np.asarray(np.interp(HEIGHTS, places, means / level))


def unevenness(means: Array, counts: Array) -> float:
    """Return the flicker of a cell: how unevenly its light goes from slice to slice.

    That is the standard deviation of the differences between the means of neighbouring slices, over the cell's
    mean. Only slices of at least half the largest area count, because at the caps the microscope's blur dims
    the light. NaN where fewer than three differences are left or the cell is not brighter than its background.
    """
    level = float((means * counts).sum() / counts.sum())
    full = counts >= FULL * counts.max()
    steps = np.diff(means)[full[1:] & full[:-1]]
    return float(steps.std() / level) if len(steps) >= 3 and level > 0 else float("nan")


def measure_profiles(measured: VolumeSet) -> Array:
    """Return the profile of every sampled cell, (n, 10)."""
    rows = []
    for cell in measured.cells:
        volume = measured.volumes[cell.volume]
        box = volume.boxes[cell.row]
        rows.append(relative_profile(*slice_means(volume.image[box] - volume.background[box], measured.mask(cell))))
    return np.stack(rows)


def compare_profiles(
    real: VolumeSet, ours: Array, theirs: Array, splits: Sequence[Split], seed: int
) -> CurveComparison | None:
    """Compare the mean profiles, (n, 10) and (m, 10); None where a set has no cell of enough slices."""
    owners = real.part_of_cell()
    known = np.isfinite(ours[:, 0])
    first, second = mean_curve(ours), mean_curve(theirs)
    if first is None or second is None:
        return None
    floors = []
    for halves in cell_halves(owners[known], splits, seed):
        left, right = (mean_curve(ours[known][half]) for half in halves)
        floors.append(0.0 if left is None or right is None else float(np.abs(left - right).max()))
    distance = with_floor(float(np.abs(first - second).max()), floors)
    return CurveComparison(
        distance=distance,
        at=HEIGHTS.tolist(),
        real=first.tolist(),
        synthetic=second.tolist(),
        goal=PROFILE_GOAL,
        verdict="met" if distance.value <= PROFILE_GOAL else "missed",
    )


def mean_curve(curves: Array) -> Array | None:
    """Return the mean of the curves (n, k) that are known; None if there is none."""
    known = curves[np.isfinite(curves).all(axis=1)]
    return np.asarray(known.mean(axis=0)) if len(known) else None
