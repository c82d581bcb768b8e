"""Charts of the segmentation experiment: scores per arm, paired differences, gains per image, learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cytocascade.benefit.arms import ordered, without_amount
from cytocascade.benefit.results import Benefit, Run
from cytocascade.benefit.statistics import Interval
from cytocascade.benefit.verdict import signed
from cytocascade.evaluation.canvas import INK, MISSED, REAL, SYNTHETIC, new_figure, to_png
from cytocascade.evaluation.instances import METRICS, summarise

SMALL = 8.5
FAINT = "#d8dee4"


@dataclass(frozen=True)
class ArmLook:
    """How an arm is called and drawn; the colours stay apart for colour-blind eyes."""

    title: str
    """In plain words."""
    colour: str
    """Of its dots and lines."""
    line: str = "-"
    """Style of its lines."""


LOOKS = {
    "real": ArmLook("Real", REAL),
    "real+copypaste": ArmLook("Real + copy-paste", "#0f8a6d", "--"),
    "real+simulator": ArmLook("Real + simulator", "#a44fa0", "-."),
    "real+synthetic": ArmLook("Real + synthetic", SYNTHETIC),
    "copypaste": ArmLook("Copy-paste alone", "#62b8a3", ":"),
    "simulator": ArmLook("Simulator alone", "#c98cc6", ":"),
    "synthetic": ArmLook("Synthetic alone", "#8f6a00", ":"),
    "all-real": ArmLook("All real images", INK),
}
_LINES = ("-", "--", "-.", ":")


def look(benefit: Benefit, arm: str) -> ArmLook:
    """Return the look of an arm; other amounts have the colour of the arm and lines of their own."""
    name, _, amount = arm.partition("@")
    known = LOOKS.get(name)
    if known is None:
        return ArmLook(arm.replace("$", r"\$"), "#59636e", "--")
    if not amount:
        return known
    variants = [one for one in ordered([*benefit.order, arm]) if without_amount(one) == name]
    return ArmLook(f"{known.title} × {amount}", known.colour, _LINES[variants.index(arm) % len(_LINES)])


def scores(benefit: Benefit, metric: str = "SEG") -> bytes:
    """Return one measure of every arm, with intervals, the seeds' dots and the ceiling, as a PNG."""
    arms = benefit.order[::-1]
    figure, axes = new_figure(1, 1, (10.4, 0.52 * len(arms) + 0.9))
    axis = axes[0, 0]
    _bars(axis, benefit, arms, metric, size=9)
    for place, arm in enumerate(arms):
        one = benefit.arms[arm][metric]
        words = f"{one.mean:.3f}   [{one.low:.3f}, {one.high:.3f}]"
        weight = "bold" if arm == benefit.headline else "normal"
        axis.text(1.02, place, words, transform=axis.get_yaxis_transform(), fontsize=10, va="center", weight=weight)
    axis.set_yticks(range(len(arms)), [look(benefit, arm).title for arm in arms], fontsize=10.5)
    axis.set_xlabel(f"{metric} on the {benefit.experiment.scored_on} images", fontsize=9.5)
    _reference_lines(axis, benefit, metric, named=True)
    return to_png(figure)


def other_scores(benefit: Benefit) -> bytes:
    """Return one small panel for each of the other measures, as a PNG."""
    metrics = [metric for metric in METRICS if metric.name != "SEG"]
    arms = benefit.order[::-1]
    figure, axes = new_figure(2, 4, (10.4, 2 * (0.26 * len(arms) + 1.0)), sharey=True)
    figure.get_layout_engine().set(hspace=0.06)
    for axis, metric in zip(axes.ravel(), metrics):
        _bars(axis, benefit, arms, metric.name, size=6)
        _reference_lines(axis, benefit, metric.name)
        if not metric.bounded:
            most = max([1.0, *(benefit.arms[arm][metric.name].high for arm in arms)])
            axis.set_xlim(-0.04 * most, 1.08 * most)
        unit = "" if metric.bounded else " per 100 cells"
        better = "" if metric.higher_is_better else " (fewer is better)"
        axis.set_title(f"{metric.name}{unit}", fontsize=10, color=INK, loc="left", weight="bold")
        axis.set_xlabel(better.strip(), fontsize=SMALL)
    for axis in axes[:, 0]:
        axis.set_yticks(range(len(arms)), [look(benefit, arm).title for arm in arms], fontsize=9)
    for axis in axes.ravel()[len(metrics) :]:
        axis.axis("off")
        axis.text(
            0.0,
            0.95,
            "large dot: mean over seeds\nsmall dots: one seed each\nbar: 95 % interval over\nimages and seeds\n"
            "blue line: real alone\ndashed line: all real images",
            transform=axis.transAxes,
            fontsize=SMALL,
            va="top",
            linespacing=1.5,
            color=INK,
        )
    return to_png(figure)


def differences(benefit: Benefit, metrics: Sequence[str] = ("SEG", "AP50", "AP75", "AP90", "PQ")) -> bytes:
    """Return every arm's paired difference to real alone, as a PNG."""
    arms = [arm for arm in benefit.order if benefit.difference(arm, "real") is not None][::-1]
    figure, axes = new_figure(1, len(metrics), (10.4, 0.36 * len(arms) + 0.95), sharey=True)
    for axis, metric in zip(axes.ravel(), metrics):
        axis.axvline(0, color=LOOKS["real"].colour, linewidth=1.4)
        for place, arm in enumerate(arms):
            found = benefit.difference(arm, "real", metric)
            if found is not None:
                _bar(axis, place, found.absolute, look(benefit, arm).colour, size=6.5)
        axis.set_title(metric, fontsize=10, color=INK, loc="left", weight="bold")
        axis.set_ylim(-0.6, len(arms) - 0.4)
        _grid(axis)
    axes[0, 0].set_yticks(range(len(arms)), [look(benefit, arm).title for arm in arms], fontsize=9.5)
    figure.supxlabel("worse  ←  difference to real alone, with its 95 % interval  →  better", fontsize=9, color=INK)
    return to_png(figure)


def paired_images(benefit: Benefit) -> bytes:
    """Return SEG of every image with real alone and with synthetic images, and the gains in order, as a PNG."""
    arm, against = benefit.headline, "real"
    ours, theirs = benefit.per_image(arm), benefit.per_image(against)
    gains = np.sort(ours - theirs)[::-1]
    figure, axes = new_figure(1, 2, (10.4, 3.7))
    left, right = axes[0]
    strength = float(np.clip(12 / len(gains), 0.12, 0.75))
    for before, after in zip(theirs, ours):
        colour = _gain_colour(after - before)
        left.plot([0, 1], [before, after], color=colour, alpha=strength, linewidth=1.3, marker="o", markersize=3.5)
    for place, values, name in ((0, theirs, against), (1, ours, arm)):
        outward = place * 2 - 1
        left.plot(
            place + 0.1 * outward, values.mean(), "D", color=look(benefit, name).colour, markersize=9, clip_on=False
        )
        left.text(
            place + 0.17 * outward,
            values.mean(),
            f"{values.mean():.3f}",
            ha="left" if place else "right",
            va="center",
            fontsize=10,
        )
    left.set_xlim(-0.55, 1.55)
    left.set_xticks([0, 1], [look(benefit, name).title for name in (against, arm)], fontsize=10)
    left.set_ylabel("SEG of one image", fontsize=9.5)
    left.set_title("Every image, joined", fontsize=10, loc="left", color=INK)
    right.bar(np.arange(len(gains)) + 1, gains, color=[_gain_colour(gain) for gain in gains], width=0.86)
    right.axhline(0, color=INK, linewidth=0.9)
    right.set_xlabel("images, in order of their gain", fontsize=9.5)
    right.set_ylabel("gain in SEG", fontsize=9.5)
    better = int((gains > 0).sum())
    right.set_title(
        f"{better} of {len(gains)} images gain; the median changes by {signed(float(np.median(gains)))}",
        fontsize=10,
        loc="left",
        color=INK,
    )
    right.xaxis.get_major_locator().set_params(integer=True)
    for axis in (left, right):
        axis.grid(axis="y", alpha=0.25, linewidth=0.5)
    return to_png(figure)


def learning_curves(benefit: Benefit) -> bytes:
    """Return loss and monitored score over the steps, one line per run, as a PNG."""
    figure, axes = new_figure(1, 2, (10.4, 3.6))
    for arm in benefit.order:
        style = look(benefit, arm)
        runs = benefit.runs_of(arm)
        for axis, name in zip(axes[0], ("loss", "validation")):
            lines = [line for line in (curve(run, name) for run in runs) if len(line)]
            for line in lines:
                axis.plot(*line.T, color=style.colour, alpha=0.3, linewidth=0.9, linestyle=style.line)
            if lines and all(np.array_equal(line[:, 0], lines[0][:, 0]) for line in lines):
                mean = np.mean([line[:, 1] for line in lines], axis=0)
                axis.plot(lines[0][:, 0], mean, color=style.colour, linewidth=2, linestyle=style.line)
            axis.plot([], [], color=style.colour, linewidth=2, linestyle=style.line, label=style.title)
    for axis, title in zip(axes[0], ("Training loss", "SEG on the monitored images")):
        axis.set_title(title, fontsize=10, loc="left", color=INK, weight="bold")
        axis.set_xlabel("optimiser steps", fontsize=9.5)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.25, linewidth=0.5)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=len(names), frameon=False, fontsize=9)
    return to_png(figure)


def curve(run: Run, name: str) -> Any:
    """Return the points of a run where ``loss`` or ``validation`` was measured; (points, 2) of step and value."""
    points = [(point.step, getattr(point, name)) for point in run.curve if getattr(point, name) is not None]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _bars(axis: Any, benefit: Benefit, arms: Sequence[str], metric: str, *, size: float) -> None:
    for place, arm in enumerate(arms):
        colour = look(benefit, arm).colour
        seeds = [summarise([image.scores for image in run.images])[metric] for run in benefit.runs_of(arm)]
        offsets = 0.26 + 0.0 * np.arange(len(seeds))
        axis.plot(seeds, place - offsets, "o", color=colour, markersize=0.5 * size, alpha=0.55, markeredgewidth=0)
        _bar(axis, place, benefit.arms[arm][metric], colour, size=size)
    axis.set_ylim(-0.6, len(arms) - 0.4)
    _grid(axis)


def _bar(axis: Any, place: float, one: Interval, colour: str, *, size: float) -> None:
    axis.plot(
        [one.low, one.high], [place, place], color=colour, linewidth=0.4 * size, solid_capstyle="round", alpha=0.5
    )
    axis.plot(one.mean, place, "o", color=colour, markersize=size)


def _reference_lines(axis: Any, benefit: Benefit, metric: str, *, named: bool = False) -> None:
    """Draw what real alone and all real images reach."""
    looks = {"real": ("-", "real alone"), "all-real": ("--", "ceiling: all real images")}
    values = {arm: benefit.arms[arm][metric].mean for arm in looks if arm in benefit.arms}
    # Names turn away from each other, however close the lines are.
    sides = ("right", "left") if len(values) == 2 else ("center",)
    for side, arm in zip(sides, sorted(values, key=values.__getitem__)):
        value, (style, words) = values[arm], looks[arm]
        axis.axvline(value, color=LOOKS[arm].colour, linewidth=1.1, linestyle=style, zorder=0, alpha=0.7)
        if named:
            axis.text(
                value,
                1.01,
                words,
                transform=axis.get_xaxis_transform(),
                fontsize=SMALL,
                ha=side,
                va="bottom",
                color=LOOKS[arm].colour,
            )


def _grid(axis: Any) -> None:
    axis.grid(axis="x", alpha=0.3, linewidth=0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _gain_colour(gain: float) -> str:
    return SYNTHETIC if gain > 0 else MISSED if gain < 0 else FAINT
