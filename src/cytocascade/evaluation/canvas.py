"""What all charts of the reports share: colours, bare axes, histograms, PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from cytocascade.types import Array

REAL = "#2f6db5"
SYNTHETIC = "#e07b1a"
INK = "#30363d"
MISSED = "#b3261e"


def new_figure(
    rows: int,
    columns: int,
    size: tuple[float, float],
    *,
    sharex: Literal["none", "col"] = "none",
    sharey: bool = False,
    heights: Sequence[float] | None = None,
) -> tuple[Any, Any]:
    """Return a figure and its (rows, columns) axes, bare at the top and right."""
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


def to_png(figure: Any) -> bytes:
    """Return the figure as a PNG file."""
    stream = io.BytesIO()
    # No software tag: the same figures give the same bytes with every matplotlib that draws the same.
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def overlaid(axis: Any, ours: Array, theirs: Array, *, bins: int = 32) -> None:
    """Draw the distributions of both sets over common bins."""
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


def add_legend(figure: Any, axis: Any) -> None:
    """Name both sets above the figure."""
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, frameon=False, fontsize=9)
