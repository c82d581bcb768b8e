"""The table at the top: every figure with its floor, its goal and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from cytocascade.evaluation.results import (
    Faithfulness,
    FeatureComparison,
    Floored,
    Memorisation,
    Perceptual,
    SpectrumComparison,
    SummaryRow,
    TwoSampleTest,
    Verdict,
)

ACCURACY_GOAL = 0.75
FRECHET_GOAL = 2.0
FAITHFULNESS_GOAL = 0.05
SPECTRUM_GOAL = 1.5

TITLES = {
    "area": "Cell area",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "mean_intensity": "Mean intensity",
    "intensity_cv": "Intensity variation (CV)",
    "nearest_neighbour_distance": "Distance to the nearest neighbour",
    "signal": "Signal above background",
    "contrast": "Contrast to noise",
    "cells_per_megapixel": "Cells per megapixel",
}


def summarise(
    features: Sequence[FeatureComparison],
    field_spectrum: SpectrumComparison,
    cell_spectrum: SpectrumComparison,
    perceptual: Perceptual,
    test: TwoSampleTest,
    memorisation: Memorisation,
    faithfulness: Faithfulness,
) -> list[SummaryRow]:
    """Return the rows of the summary, those with a goal first."""
    rows = [
        _row(
            "Accuracy of telling real from synthetic cells",
            test.accuracy,
            f"at most {ACCURACY_GOAL:g}",
            test.accuracy.value <= ACCURACY_GOAL,
        )
    ]
    rows += [
        SummaryRow(
            name=f"{TITLES[row.name]}: Wasserstein distance / sd",
            value=row.distance.value,
            floor=row.distance.floor,
            goal="" if row.goal is None else f"at most {row.goal:g}",
            verdict=row.verdict,
        )
        for row in features
    ]
    rows += _perceptual_rows(perceptual)
    rows += [
        SummaryRow(
            name="Synthetic cells suspiciously close to a real one",
            value=memorisation.fraction_closer,
            floor=0.01,
            goal=f"at most {memorisation.fraction_allowed:.2g}, no copies (found: {memorisation.copies})",
            verdict=memorisation.verdict,
        ),
        _ratio("Gradient on the label's edge, synthetic / real", faithfulness.edge_ratio),
        _ratio("Re-segmentation Dice, synthetic / real", faithfulness.dice_ratio),
        _spectrum("Power spectrum of fields, difference in dB", field_spectrum),
        _spectrum("Power spectrum of cells, difference in dB", cell_spectrum),
    ]
    return sorted(rows, key=lambda row: row.verdict == "shown")


def _perceptual_rows(perceptual: Perceptual) -> list[SummaryRow]:
    rows = []
    for distance in perceptual.distances:
        where = "tiles of fields" if distance.what == "fields" else "single cells"
        rows.append(
            _row(
                f"{perceptual.frechet_name}, {where} ({distance.count} against {distance.count})",
                distance.frechet,
                f"at most {FRECHET_GOAL:g} x floor",
                distance.frechet.value <= FRECHET_GOAL * distance.frechet.floor,
            )
        )
        rows.append(
            SummaryRow(
                name=f"{perceptual.kernel_name}, {where}",
                value=distance.kernel.value,
                floor=distance.kernel.floor,
                goal="",
                verdict="shown",
            )
        )
    return rows


def _row(name: str, figure: Floored, goal: str, met: bool) -> SummaryRow:
    verdict: Verdict = "met" if met else "missed"
    return SummaryRow(name=name, value=figure.value, floor=figure.floor, goal=goal, verdict=verdict)


def _ratio(name: str, figure: Floored) -> SummaryRow:
    goal = f"{1 - FAITHFULNESS_GOAL:g} to {1 + FAITHFULNESS_GOAL:g}"
    return _row(name, figure, goal, abs(figure.value - 1) <= FAITHFULNESS_GOAL)


def _spectrum(name: str, comparison: SpectrumComparison) -> SummaryRow:
    limit = max(SPECTRUM_GOAL, 2 * comparison.distance.floor)
    return _row(name, comparison.distance, f"at most {limit:.1f}", comparison.distance.value <= limit)
