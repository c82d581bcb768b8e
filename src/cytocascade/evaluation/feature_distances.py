"""How far the per-cell features of two sets are apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import wasserstein_distance

from cytocascade.evaluation.measured import MeasuredImage, MeasuredSet
from cytocascade.evaluation.results import FeatureComparison, Verdict
from cytocascade.evaluation.splits import Split, floored
from cytocascade.images.features import FEATURE_NAMES
from cytocascade.types import Array

GOAL = 0.25
WITH_GOAL = (
    "area",
    "eccentricity",
    "solidity",
    "mean_intensity",
    "intensity_cv",
    "nearest_neighbour_distance",
)
DENSITY = "cells_per_megapixel"


def feature_values(images: Sequence[MeasuredImage], name: str) -> Array:
    """Return the values of one feature over `images`.

    Cells cut by the frame are left out, except from the distances to the nearest neighbour: a centroid is
    a neighbour wherever it lies. ``cells_per_megapixel`` has one value per image.
    """
    if name == DENSITY:
        return np.array([1e6 * len(image.table) / image.image.size for image in images])
    keep_cut = name == "nearest_neighbour_distance"
    values = [
        image.table.values[name] if keep_cut else image.table.values[name][~image.table.touches_border]
        for image in images
    ]
    joined = np.concatenate(values) if values else np.zeros(0)
    return np.asarray(joined[np.isfinite(joined)])


def normalised_wasserstein(real: Array, synthetic: Array, scale: float | None = None) -> float:
    """Return the Wasserstein-1 distance of two samples / `scale` (by default the deviation of `real`).

    A feature that does not vary at all in the real set is measured in millionths of its mean.
    An empty sample counts as one standard deviation away.
    """
    if len(real) == 0 or len(synthetic) == 0:
        return 0.0 if len(real) == len(synthetic) else 1.0
    return float(wasserstein_distance(real, synthetic)) / (_scale(real) if scale is None else scale)


def _scale(real: Array) -> float:
    return max(float(real.std()), 1e-6 * abs(float(real.mean())), 1e-12)


def compare_features(
    real: MeasuredSet, synthetic: MeasuredSet, splits: Sequence[Split], unit: str
) -> list[FeatureComparison]:
    """Compare every per-cell feature, and the number of cells per megapixel."""
    units = {
        "area": f"{unit}²",
        "nearest_neighbour_distance": unit,
        "mean_intensity": "grey values",
        "signal": "grey values",
    }
    ordered = [*WITH_GOAL, *(name for name in FEATURE_NAMES if name not in WITH_GOAL), DENSITY]
    return [_compare(real, synthetic, splits, name, units.get(name, "")) for name in ordered]


def _compare(
    real: MeasuredSet, synthetic: MeasuredSet, splits: Sequence[Split], name: str, unit: str
) -> FeatureComparison:
    ours, theirs = feature_values(real.images, name), feature_values(synthetic.images, name)
    scale = _scale(ours) if len(ours) else 1.0

    def between_halves(split: Split) -> float:
        first, second = (feature_values([real.images[i] for i in half], name) for half in (split.first, split.second))
        return normalised_wasserstein(first, second, scale)

    distance = floored(normalised_wasserstein(ours, theirs, scale), splits, between_halves)
    goal = GOAL if name in WITH_GOAL else None
    verdict: Verdict = "shown" if goal is None else ("met" if distance.value <= goal else "missed")
    return FeatureComparison(
        name=name,
        unit=unit,
        distance=distance,
        real_mean=_mean(ours),
        real_sd=_deviation(ours),
        synthetic_mean=_mean(theirs),
        synthetic_sd=_deviation(theirs),
        goal=goal,
        verdict=verdict,
    )


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0


def _deviation(values: Array) -> float:
    return float(values.std()) if len(values) else 0.0
