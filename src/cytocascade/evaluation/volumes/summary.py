"""The table at the top: every figure with its floor, its goal and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from cytocascade.evaluation.results import FeatureComparison, Floored, Perceptual, SummaryRow, TwoSampleTest, Verdict
from cytocascade.evaluation.summary import ACCURACY_GOAL, FRECHET_GOAL, SPECTRUM_GOAL
from cytocascade.evaluation.volumes.results import (
    AxialTexture,
    BackgroundComparison,
    CurveComparison,
    LineSpectrum,
    VolumeMemorisation,
)

FLICKER_GOAL = 1.25
NOISE_GOAL = 1.25

TITLES = {
    "relative_volume": "Volume / projected area^1.5",
    "sphericity": "Sphericity",
    "axial_ratio": "Axial / lateral extent",
    "solidity": "Solidity",
    "volume": "Volume",
    "projected_area": "Projected area",
    "axial_extent": "Axial extent",
    "signal": "Signal above background",
    "intensity_cv": "Intensity variation (CV)",
    "mean_intensity": "Mean intensity",
    "contrast": "Contrast to noise",
    "flicker": "Flicker between slices",
    "nearest_neighbour_distance": "Distance to the nearest neighbour",
    "cells_per_million_cubic_micrometres": "Cells per million µm³",
}
VIEWS = {"xy": "XY slices", "xz": "XZ slices"}


def summarise(
    features: Sequence[FeatureComparison],
    texture: AxialTexture,
    spectra: Sequence[LineSpectrum],
    background: BackgroundComparison,
    perceptual: Perceptual,
    test: TwoSampleTest,
    memorisation: VolumeMemorisation,
) -> list[SummaryRow]:
    """Return the rows of the summary, those with a goal first."""
    rows = [
        SummaryRow(
            name=f"{TITLES[row.name]}: Wasserstein distance / sd",
            value=row.distance.value,
            floor=row.distance.floor,
            goal="" if row.goal is None else f"at most {row.goal:g}",
            verdict=row.verdict,
        )
        for row in features
    ]
    rows += _texture_rows(texture)
    rows += _perceptual_rows(perceptual)
    rows += [_spectrum(row) for row in spectra]
    rows += [
        _ratio("Background noise, synthetic / real", background.noise, NOISE_GOAL),
        _row(
            "Accuracy of telling real from synthetic cells",
            test.accuracy,
            f"at most {ACCURACY_GOAL:g}",
            test.accuracy.value <= ACCURACY_GOAL,
        ),
        SummaryRow(
            name="Synthetic cells suspiciously close to a real one",
            value=memorisation.fraction_closer,
            floor=0.01,
            goal=f"at most {memorisation.fraction_allowed:.2g}, no copies (found: {memorisation.copies})",
            verdict=memorisation.verdict,
        ),
    ]
    return sorted(rows, key=lambda row: row.verdict == "shown")


def _texture_rows(texture: AxialTexture) -> list[SummaryRow]:
    rows = []
    if (found := texture.correlation) is not None:
        rows += [
            _row(
                "Correlation of neighbouring slices inside cells, difference",
                found.neighbour,
                f"at most {found.decay.goal:g}",
                found.neighbour_verdict == "met",
            ),
            _curve("Its decay with axial distance, largest difference", found.decay),
        ]
    if texture.profile is not None:
        rows.append(_curve("Light from bottom to top of cells, largest difference", texture.profile))
    if texture.flicker is not None:
        rows.append(
            _row(
                "Flicker between slices, synthetic / real",
                texture.flicker,
                f"at most {FLICKER_GOAL:g}",
                texture.flicker.value <= FLICKER_GOAL,
            )
        )
    return rows


def _curve(name: str, curve: CurveComparison) -> SummaryRow:
    return _row(name, curve.distance, f"at most {curve.goal:g}", curve.verdict == "met")


def _perceptual_rows(perceptual: Perceptual) -> list[SummaryRow]:
    rows = []
    for distance in perceptual.distances:
        where = VIEWS[distance.what]
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


def floors_above_goals(features: Sequence[FeatureComparison]) -> list[str]:
    """Return the titles of features of which real halves differ by more than the goal."""
    return [TITLES[row.name] for row in features if row.goal is not None and row.distance.floor > row.goal]


def _row(name: str, figure: Floored, goal: str, met: bool) -> SummaryRow:
    verdict: Verdict = "met" if met else "missed"
    return SummaryRow(name=name, value=figure.value, floor=figure.floor, goal=goal, verdict=verdict)


def _ratio(name: str, figure: Floored, factor: float) -> SummaryRow:
    return _row(name, figure, f"{1 / factor:g} to {factor:g}", 1 / factor <= figure.value <= factor)


def _spectrum(row: LineSpectrum) -> SummaryRow:
    limit = max(SPECTRUM_GOAL, 2 * row.distance.floor)
    name = f"Power spectrum along {row.axis}, difference in dB"
    return _row(name, row.distance, f"at most {limit:.1f}", row.distance.value <= limit)
