"""Whether texture, light and flicker along z are those of real stacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cytocascade.evaluation.results import Floored
from cytocascade.evaluation.splits import Split, with_floor
from cytocascade.evaluation.volumes.axial import compare_profiles, measure_profiles
from cytocascade.evaluation.volumes.halves import cell_halves
from cytocascade.evaluation.volumes.measured import VolumeSet
from cytocascade.evaluation.volumes.results import AxialTexture, CurveComparison, SliceCorrelation
from cytocascade.textures.axial_statistics import AxialCorrelation, measure_axial_correlation, pool_correlations
from cytocascade.types import Array

CORRELATION_GOAL = 0.1
UNKNOWN_FLOOR = (0.0,)
RARE = 0.1
"""Distances at which fewer pixels than this share of the most could be compared rest on a few thick cells."""


def compare_texture(
    real: VolumeSet,
    synthetic: VolumeSet,
    flicker: tuple[Array, Array],
    splits: Sequence[Split],
    seed: int,
) -> AxialTexture:
    """Compare slice correlations, profiles along z and flicker.

    Parameters
    ----------
    real, synthetic : VolumeSet
        Both sides.
    flicker : tuple of ndarray, (n,) and (m,)
        Flicker of the sampled cells of both, NaN where unknown.
    splits : sequence of Split
        Halves of the real parts.
    seed : int
        Seed of splits by cell.
    """
    return AxialTexture(
        correlation=_compare_correlation(real, synthetic, splits),
        profile=compare_profiles(real, measure_profiles(real), measure_profiles(synthetic), splits, seed),
        **_compare_flicker(real, *flicker, splits, seed),
    )


def _compare_correlation(real: VolumeSet, synthetic: VolumeSet, splits: Sequence[Split]) -> SliceCorrelation | None:
    ours, theirs = _by_part(real), _by_part(synthetic)
    first, second = _pooled(ours, range(len(ours))), _pooled(theirs, range(len(theirs)))
    if first is None or second is None:
        return None
    at = _common(first, second)
    curves = [one.at(at, noise_free=False) for one in (first, second)]
    gaps = np.abs(curves[0] - curves[1])
    halves = [(_pooled(ours, split.first), _pooled(ours, split.second)) for split in splits]
    floors = [_gaps(left, right) for left, right in halves if left is not None and right is not None]
    neighbour = with_floor(float(gaps[0]), [float(one[0]) for one in floors] or UNKNOWN_FLOOR)
    decay = with_floor(float(gaps.max()), [float(one.max()) for one in floors] or UNKNOWN_FLOOR)
    return SliceCorrelation(
        neighbour_real=float(curves[0][0]),
        neighbour_synthetic=float(curves[1][0]),
        neighbour=neighbour,
        neighbour_verdict="met" if neighbour.value <= CORRELATION_GOAL else "missed",
        decay=CurveComparison(
            distance=decay,
            at=at.tolist(),
            real=curves[0].tolist(),
            synthetic=curves[1].tolist(),
            goal=CORRELATION_GOAL,
            verdict="met" if decay.value <= CORRELATION_GOAL else "missed",
        ),
        texture_share_real=first.texture_share,
        texture_share_synthetic=second.texture_share,
    )


def _by_part(measured: VolumeSet) -> list[AxialCorrelation | None]:
    found = []
    for part in measured.parts:
        image, labels, _ = measured.block(part)
        found.append(measure_axial_correlation(image, labels, measured.spacing))
    return found


def _pooled(found: Sequence[AxialCorrelation | None], which: Sequence[int]) -> AxialCorrelation | None:
    return pool_correlations([one for one in (found[index] for index in which) if one is not None])


def _common(first: AxialCorrelation, second: AxialCorrelation) -> Array:
    """Return the distances of the coarser of the two, up to where both rest on enough pixels."""
    coarser = max((first, second), key=lambda one: one.distance[0])
    furthest = min(_well_known(one) for one in (first, second)) * 1.0001
    at = np.asarray(coarser.distance)
    return at[at <= furthest] if (at <= furthest).any() else at[:1]


def _well_known(one: AxialCorrelation) -> float:
    return max(far for far, pixels in zip(one.distance, one.pixels) if pixels >= RARE * max(one.pixels))


def _gaps(first: AxialCorrelation, second: AxialCorrelation) -> Array:
    at = _common(first, second)
    return np.asarray(np.abs(first.at(at, noise_free=False) - second.at(at, noise_free=False)))


def _compare_flicker(
    real: VolumeSet, ours: Array, theirs: Array, splits: Sequence[Split], seed: int
) -> dict[str, float | Floored | None]:
    known = np.isfinite(ours)
    second = theirs[np.isfinite(theirs)]
    if not known.any() or not len(second):
        return {"flicker_real": None, "flicker_synthetic": None, "flicker": None}
    first, owners = ours[known], real.part_of_cell()[known]
    floors = [
        1 + abs(1 - float(first[left].mean()) / max(float(first[right].mean()), 1e-9))
        for left, right in cell_halves(owners, splits, seed)
        if left.any() and right.any()
    ]
    ratio = float(second.mean()) / max(float(first.mean()), 1e-9)
    return {
        "flicker_real": float(first.mean()),
        "flicker_synthetic": float(second.mean()),
        "flicker": with_floor(ratio, floors or (1.0,)),
    }
