"""Charts of the report on volumes: histograms, curves along z, spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cytocascade.evaluation.canvas import INK, MISSED, REAL, SYNTHETIC, add_legend, new_figure, overlaid, to_png
from cytocascade.evaluation.results import FeatureComparison
from cytocascade.evaluation.volumes.results import AxialTexture, CurveComparison, LineSpectrum
from cytocascade.evaluation.volumes.summary import TITLES
from cytocascade.types import Array

COLUMNS = 4


def feature_histograms(
    features: Sequence[FeatureComparison],
    real: dict[str, tuple[Array, Array]],
    synthetic: dict[str, tuple[Array, Array]],
) -> bytes:
    """Return one panel per feature, both sets over common bins, as a PNG."""
    rows = -(-len(features) // COLUMNS)
    figure, axes = new_figure(rows, COLUMNS, (11.4, 2.35 * rows + 0.3))
    for axis, row in zip(axes.ravel(), features):
        overlaid(axis, real[row.name][0], synthetic[row.name][0], bins=24)
        unit = f" ({row.unit})" if row.unit else ""
        axis.set_title(f"{TITLES[row.name]}{unit}", fontsize=9, color=INK, loc="left", pad=18)
        words = f"{row.distance.value:.2f} apart, floor {row.distance.floor:.2f}"
        colour = MISSED if row.verdict == "missed" else INK
        axis.text(0, 1.04, words, transform=axis.transAxes, fontsize=8.5, color=colour)
    for axis in axes.ravel()[len(features) :]:
        axis.set_axis_off()
    add_legend(figure, axes[0, 0])
    return to_png(figure)


def axial_curves(texture: AxialTexture) -> bytes | None:
    """Return slice correlation and light from bottom to top as a PNG; None if neither is known."""
    panels: list[tuple[CurveComparison, str, str, str]] = []
    if texture.correlation is not None:
        panels.append((texture.correlation.decay, "Correlation of slices inside cells", "axial distance (µm)", "o"))
    if texture.profile is not None:
        panels.append((texture.profile, "Light / mean of the cell", "height in the cell (0 bottom, 1 top)", ""))
    if not panels:
        return None
    figure, axes = new_figure(1, len(panels), (5.4 * len(panels), 3.3))
    for axis, (curve, title, along, marker) in zip(axes[0], panels):
        _curve(axis, curve, marker)
        words = f"{curve.distance.value:.2f} apart, floor {curve.distance.floor:.2f}"
        axis.set_title(f"{title}: {words}", fontsize=9.5, color=MISSED if curve.verdict == "missed" else INK)
        axis.set_xlabel(along, fontsize=9)
        axis.set_ylim(min(0.0, *curve.real, *curve.synthetic), None)
        axis.set_xlim(0, 1 if curve is texture.profile else None)
    add_legend(figure, axes[0, 0])
    return to_png(figure)


def _curve(axis: Any, curve: CurveComparison, marker: str) -> None:
    real = np.array(curve.real)
    axis.fill_between(curve.at, real - curve.goal, real + curve.goal, color=REAL, alpha=0.12, linewidth=0)
    axis.plot(curve.at, real, color=REAL, linewidth=2, marker=marker, markersize=4, label="real (band: goal)")
    axis.plot(curve.at, curve.synthetic, color=SYNTHETIC, linewidth=2, marker=marker, markersize=4, label="synthetic")
    axis.grid(alpha=0.25, linewidth=0.5)


def line_spectra(spectra: Sequence[LineSpectrum]) -> bytes:
    """Return the spectra along x and z, and below their differences, as a PNG."""
    figure, axes = new_figure(2, len(spectra), (5.4 * len(spectra), 4.8), sharex="col", heights=(2.2, 1))
    for column, row in enumerate(spectra):
        above, below = axes[:, column]
        above.semilogx(row.frequency, row.real, color=REAL, linewidth=2, label="real")
        above.semilogx(row.frequency, row.synthetic, color=SYNTHETIC, linewidth=2, label="synthetic")
        above.set_title(
            f"Along {row.axis}: {row.distance.value:.1f} dB apart (floor {row.distance.floor:.1f})", fontsize=10
        )
        above.set_ylabel("power (dB)", fontsize=9)
        difference = np.array(row.synthetic) - np.array(row.real)
        below.fill_between(row.frequency, difference, color=SYNTHETIC, alpha=0.35)
        below.plot(row.frequency, difference, color=SYNTHETIC, linewidth=1.5)
        reach = max(3.0, 1.1 * float(np.abs(difference).max()))
        below.set_ylim(-reach, reach)
        below.axhline(0, color=INK, linewidth=0.8)
        below.set_xlabel("cycles per µm (coarse ← → fine)", fontsize=9)
        below.set_ylabel("too much\n(dB)", fontsize=9)
        for one in (above, below):
            one.grid(alpha=0.25, which="both", linewidth=0.5)
    add_legend(figure, axes[0, 0])
    return to_png(figure)
