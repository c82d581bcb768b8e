"""Charts of the report: histograms, spectra, bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cytocascade.evaluation.canvas import INK, MISSED, REAL, SYNTHETIC, add_legend, new_figure, overlaid, to_png
from cytocascade.evaluation.compare import Pictures
from cytocascade.evaluation.feature_distances import feature_values
from cytocascade.evaluation.results import Evaluation, SpectrumComparison, TellingFeature
from cytocascade.evaluation.summary import TITLES
from cytocascade.types import Array


def feature_histograms(evaluation: Evaluation, pictures: Pictures) -> bytes:
    """Return one panel per feature, both sets over common bins, as a PNG."""
    figure, axes = new_figure(3, 3, (10.4, 7.8))
    for axis, row in zip(axes.ravel(), evaluation.features):
        ours, theirs = (feature_values(one.images, row.name) for one in (pictures.real, pictures.synthetic))
        overlaid(axis, ours, theirs)
        unit = f" ({row.unit})" if row.unit else ""
        axis.set_title(f"{TITLES[row.name]}{unit}", fontsize=10, color=INK, loc="left", pad=19)
        words = f"{row.distance.value:.2f} apart, floor {row.distance.floor:.2f}"
        colour = MISSED if row.verdict == "missed" else INK
        axis.text(0, 1.04, words, transform=axis.transAxes, fontsize=9, color=colour)
    add_legend(figure, axes[0, 0])
    return to_png(figure)


def spectra(evaluation: Evaluation) -> bytes:
    """Return the power spectra of fields and of cells, and below their differences, as a PNG."""
    figure, axes = new_figure(2, 2, (10.4, 5.0), sharex="col", heights=(2.2, 1))
    for column, (comparison, title) in enumerate(
        ((evaluation.field_spectrum, "Fields"), (evaluation.cell_spectrum, "Single cells"))
    ):
        _spectrum(axes[0, column], axes[1, column], comparison, title)
    add_legend(figure, axes[0, 0])
    return to_png(figure)


def nearest_distances(real: Array, synthetic: Array, limit: float) -> bytes:
    """Return the distributions of nearest distances of the memorisation check as a PNG."""
    figure, axes = new_figure(1, 1, (6.4, 2.9))
    axis = axes[0, 0]
    overlaid(axis, real, synthetic, bins=50)
    axis.axvline(limit, color=INK, linewidth=1, linestyle="--")
    axis.text(
        limit,
        0.96,
        " 1 % of real cells are closer",
        transform=axis.get_xaxis_transform(),
        fontsize=8.5,
        va="top",
    )
    axis.set_xlabel("distance to the most similar real cell", fontsize=9)
    add_legend(figure, axis)
    return to_png(figure)


def telling_bars(telling: Sequence[TellingFeature]) -> bytes:
    """Return the descriptors by which cells are told apart, and in which direction, as a PNG."""
    shown = list(telling[:12])[::-1]
    figure, axes = new_figure(1, 2, (10.4, 0.3 * len(shown) + 0.9), sharey=True)
    places = np.arange(len(shown))
    axes[0, 0].barh(places, [100 * one.importance for one in shown], color=INK, height=0.6)
    axes[0, 0].set_yticks(places, [one.name for one in shown], fontsize=9)
    axes[0, 0].set_xlabel("accuracy lost without it (percentage points)", fontsize=9)
    shifts = np.clip([one.shift for one in shown], -3, 3)
    axes[0, 1].barh(places, shifts, color=SYNTHETIC, height=0.6)
    axes[0, 1].axvline(0, color=INK, linewidth=0.8)
    axes[0, 1].tick_params(left=False)
    axes[0, 1].spines["left"].set_visible(False)
    axes[0, 1].set_xlim(-3.05, 3.05)
    axes[0, 1].set_xlabel("synthetic median too low  ←  real sd  →  too high", fontsize=9)
    return to_png(figure)


def _spectrum(axis: Any, below: Any, comparison: SpectrumComparison, title: str) -> None:
    axis.semilogx(comparison.frequency, comparison.real, color=REAL, linewidth=2, label="real")
    axis.semilogx(comparison.frequency, comparison.synthetic, color=SYNTHETIC, linewidth=2, label="synthetic")
    distance = comparison.distance
    axis.set_title(f"{title}: {distance.value:.1f} dB apart (floor {distance.floor:.1f})", fontsize=10)
    axis.set_ylabel("power (dB)", fontsize=9)
    difference = np.array(comparison.synthetic) - np.array(comparison.real)
    below.fill_between(comparison.frequency, difference, color=SYNTHETIC, alpha=0.35)
    below.plot(comparison.frequency, difference, color=SYNTHETIC, linewidth=1.5)
    reach = max(3.0, 1.1 * float(np.abs(difference).max()))
    below.set_ylim(-reach, reach)
    below.axhline(0, color=INK, linewidth=0.8)
    below.set_xlabel("cycles per pixel (coarse ← → fine)", fontsize=9)
    below.set_ylabel("too much\n(dB)", fontsize=9)
    for one in (axis, below):
        one.grid(alpha=0.25, which="both", linewidth=0.5)
