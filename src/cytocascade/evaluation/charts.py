"""Charts of the report: histograms, spectra, bars."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from cytocascade.evaluation.compare import Pictures
from cytocascade.evaluation.feature_distances import feature_values
from cytocascade.evaluation.results import Evaluation, SpectrumComparison, TellingFeature
from cytocascade.evaluation.summary import TITLES
from cytocascade.types import Array

REAL = "#2f6db5"
SYNTHETIC = "#e07b1a"
INK = "#30363d"
MISSED = "#b3261e"


def feature_histograms(evaluation: Evaluation, pictures: Pictures) -> bytes:
    """Return one panel per feature, both sets over common bins, as a PNG."""
    figure, axes = _figure(3, 3, (10.4, 7.8))
    for axis, row in zip(axes.ravel(), evaluation.features):
        ours, theirs = (feature_values(one.images, row.name) for one in (pictures.real, pictures.synthetic))
        _overlaid(axis, ours, theirs)
        unit = f" ({row.unit})" if row.unit else ""
        axis.set_title(f"{TITLES[row.name]}{unit}", fontsize=10, color=INK, loc="left", pad=19)
        words = f"{row.distance.value:.2f} apart, floor {row.distance.floor:.2f}"
        colour = MISSED if row.verdict == "missed" else INK
        axis.text(0, 1.04, words, transform=axis.transAxes, fontsize=9, color=colour)
    _legend(figure, axes[0, 0])
    return _png(figure)


def spectra(evaluation: Evaluation) -> bytes:
    """Return the power spectra of fields and of cells, and below their differences, as a PNG."""
    figure, axes = _figure(2, 2, (10.4, 5.0), sharex="col", heights=(2.2, 1))
    for column, (comparison, title) in enumerate(
        ((evaluation.field_spectrum, "Fields"), (evaluation.cell_spectrum, "Single cells"))
    ):
        _spectrum(axes[0, column], axes[1, column], comparison, title)
    _legend(figure, axes[0, 0])
    return _png(figure)


def nearest_distances(pictures: Pictures, limit: float) -> bytes:
    """Return the distributions of nearest distances of the memorisation check as a PNG."""
    figure, axes = _figure(1, 1, (6.4, 2.9))
    axis = axes[0, 0]
    _overlaid(axis, pictures.real_nearest, pictures.synthetic_nearest, bins=50)
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
    _legend(figure, axis)
    return _png(figure)


def telling_bars(telling: Sequence[TellingFeature]) -> bytes:
    """Return the descriptors by which cells are told apart, and in which direction, as a PNG."""
    shown = list(telling[:12])[::-1]
    figure, axes = _figure(1, 2, (10.4, 0.3 * len(shown) + 0.9), sharey=True)
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
    return _png(figure)


def _figure(
    rows: int,
    columns: int,
    size: tuple[float, float],
    *,
    sharex: Literal["none", "col"] = "none",
    sharey: bool = False,
    heights: Sequence[float] | None = None,
) -> tuple[Any, Any]:
    # The object interface needs neither pyplot's global state nor a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey, height_ratios=heights)
    for axis in axes.ravel():
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8.5, colors=INK)
    return figure, axes


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    # No software tag: the same figures give the same bytes with every matplotlib that draws the same.
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _overlaid(axis: Any, ours: Array, theirs: Array, *, bins: int = 32) -> None:
    both = np.concatenate([ours, theirs]) if len(ours) + len(theirs) else np.zeros(1)
    low, high = np.percentile(both, [0.3, 99.7])
    edges = np.linspace(low, high if high > low else low + 1, min(bins, max(8, len(ours) // 3)) + 1)
    for values, colour, name in ((ours, REAL, "real"), (theirs, SYNTHETIC, "synthetic")):
        if len(values):
            weights = np.full(len(values), 1 / len(values))
            inside = np.clip(values, edges[0], edges[-1])
            axis.hist(inside, edges, weights=weights, color=colour, alpha=0.22)
            axis.hist(inside, edges, weights=weights, color=colour, histtype="step", linewidth=1.5, label=name)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)


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


def _legend(figure: Any, axis: Any) -> None:
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, frameon=False, fontsize=9)
