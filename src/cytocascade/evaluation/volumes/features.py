"""How far the per-cell features of two sets of volumes are apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cytocascade.evaluation.feature_distances import normalised_wasserstein
from cytocascade.evaluation.results import FeatureComparison, Verdict
from cytocascade.evaluation.splits import Split, with_floor
from cytocascade.evaluation.volumes.cells import CELL_NAMES
from cytocascade.evaluation.volumes.halves import cell_halves
from cytocascade.evaluation.volumes.measured import VolumeSet
from cytocascade.types import Array, BoolArray

GOAL = 0.3
WITH_GOAL = (
    "relative_volume",
    "sphericity",
    "axial_ratio",
    "solidity",
    "volume",
    "projected_area",
    "axial_extent",
    "signal",
    "intensity_cv",
    "nearest_neighbour_distance",
)
NEIGHBOUR = "nearest_neighbour_distance"
DENSITY = "cells_per_million_cubic_micrometres"
UNITS = {
    "volume": "µm³",
    "projected_area": "µm²",
    "axial_extent": "µm",
    "signal": "grey values",
    "mean_intensity": "grey values",
    NEIGHBOUR: "µm",
}


def all_values(measured: VolumeSet, table: dict[str, Array]) -> dict[str, tuple[Array, Array]]:
    """Return the finite values (n,) of every feature, and the part that each belongs to.

    Neighbours are taken over all cells, also cut ones: a centroid is a neighbour wherever it lies. The density
    has one value per part.
    """
    owners, everywhere = measured.part_of_cell(), measured.parts_of_all()
    values = {name: (table[name], owners) for name in CELL_NAMES}
    values[NEIGHBOUR] = (np.concatenate([volume.nearest for volume in measured.volumes]), everywhere)
    counts = np.bincount(everywhere, minlength=len(measured.parts))
    sizes = [measured.block(part)[0].size * float(np.prod(measured.spacing)) for part in measured.parts]
    values[DENSITY] = (1e6 * counts / np.array(sizes), np.arange(len(measured.parts)))
    return {name: (one[np.isfinite(one)], owner[np.isfinite(one)]) for name, (one, owner) in values.items()}


def compare_features(
    real: dict[str, tuple[Array, Array]],
    synthetic: dict[str, tuple[Array, Array]],
    splits: Sequence[Split],
    seed: int,
) -> list[FeatureComparison]:
    """Compare all features, from `all_values` of both sets; those with a goal come first."""
    ordered = [*WITH_GOAL, *(name for name in real if name not in WITH_GOAL)]
    return [_compare(name, real[name], synthetic[name][0], splits, seed) for name in ordered]


def _compare(
    name: str, real: tuple[Array, Array], theirs: Array, splits: Sequence[Split], seed: int
) -> FeatureComparison:
    ours, owners = real
    scale = max(float(ours.std()), 1e-6 * abs(float(ours.mean())), 1e-12) if len(ours) else 1.0
    floors = [
        normalised_wasserstein(ours[first], ours[second], scale)
        for first, second in _halves(name, owners, splits, seed)
    ]
    distance = with_floor(normalised_wasserstein(ours, theirs, scale), floors)
    goal = GOAL if name in WITH_GOAL else None
    verdict: Verdict = "shown" if goal is None else ("met" if distance.value <= goal else "missed")
    return FeatureComparison(
        name=name,
        unit=UNITS.get(name, ""),
        distance=distance,
        real_mean=_mean(ours),
        real_sd=_deviation(ours),
        synthetic_mean=_mean(theirs),
        synthetic_sd=_deviation(theirs),
        goal=goal,
        verdict=verdict,
    )


def _halves(name: str, owners: Array, splits: Sequence[Split], seed: int) -> list[tuple[BoolArray, BoolArray]]:
    if name == DENSITY:
        return [(np.isin(owners, split.first), np.isin(owners, split.second)) for split in splits]
    return cell_halves(owners, splits, seed)


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0


def _deviation(values: Array) -> float:
    return float(values.std()) if len(values) else 0.0
