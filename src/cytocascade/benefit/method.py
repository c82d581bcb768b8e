"""How the experiment was done, in plain words: the last section of its page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from pydantic import JsonValue

from cytocascade.benefit.markup import arm_name
from cytocascade.benefit.results import Benefit, Experiment
from cytocascade.evaluation.markup import section, table

_NAMED = 10


def method_section(benefit: Benefit) -> str:
    """Return the section as HTML."""
    done = benefit.experiment
    lead = (
        "Everything that is added to the real images was learned from those of the budget alone (and from the base "
        "below). All arms train the same segmenter from scratch, with the same steps and the same augmentation."
    )
    note = (
        '<p class="note">Intervals: 95 %, over images by the bootstrap and over seeds by Student\'s t; differences are '
        "paired by image. SEG and DET by py-ctcmetrics, as in the Cell Tracking Challenge. Every count of every run is "
        f"in benefit.json beside this page. CytoCascade {escape(done.version)}, {escape(done.date)}.</p>"
    )
    body = table(("", ""), [(escape(name), value) for name, value in _facts(done)]) + _runs(benefit) + note
    return section("How it was done", lead, body, "method")


def budget_in_words(done: Experiment) -> str:
    """Return ``about 20 cells`` for ``20cells``, ``4 images`` for ``4``."""
    kind = "volume" if done.dim == 3 else "image"
    if done.budget.isdecimal():
        return f"{done.budget} {kind}{'' if done.budget == '1' else 's'}"
    return re.sub(r"^(\d+) ?cells?$", r"about \1 cells", done.budget)


def _facts(done: Experiment) -> list[tuple[str, str]]:
    base = done.base
    return [
        ("Data", escape(", ".join(done.data))),
        ("Budget", f"{escape(budget_in_words(done))}: {_training(done)}"),
        ("All training images", _names(done.all_training_images)),
        ("Validation images", _names(done.validation_images)),
        ("Test images", _names(done.test_images)),
        ("Scores are of", f"the {done.scored_on} images"),
        (
            "Segmenter",
            f"{escape(done.segmenter.name)} {escape(done.segmenter.version)}{_options(done.segmenter.options)}",
        ),
        ("Steps", str(done.steps)),
        ("Real crops", f"{100 * done.real_share:.0f}&nbsp;% of those that an arm with added images is trained on"),
        (
            "Base",
            "none, trained from scratch"
            if base is None
            else f"{escape(base.name)}: {escape(base.seen)} <small>({escape(base.hash[:12])})</small>",
        ),
        ("Further settings", _options(done.settings).removeprefix("<br>") or "none"),
        ("Machine", escape(done.machine)),
    ]


def _training(done: Experiment) -> str:
    window = done.window
    if window is None:
        return _names(done.training_images)
    axes = ("planes", "rows", "columns")[-len(window.start) :]
    ranges = (f"{axis} {first} to {last - 1}" for axis, first, last in zip(axes, window.start, window.stop))
    others = [name for name in done.training_images if not name.startswith(window.name)]
    whole = f"{_names(others)}, and " if others else ""
    return f"{whole}{', '.join(ranges)} of {escape(window.name)}"


def _names(names: Sequence[str]) -> str:
    """Return how many there are and which, the middle left out if they are many."""
    if not names:
        return "none"
    shown = [*names[:_NAMED], f"… {names[-1]}"] if len(names) > _NAMED else names
    return f"{len(names)} <small>({escape(', '.join(shown))})</small>"


def _options(options: Mapping[str, JsonValue]) -> str:
    words = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in options.items())
    return f"<br><small>{escape(words)}</small>" if words else ""


def _value(value: JsonValue) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _runs(benefit: Benefit) -> str:
    """Return what each arm was trained on and how long that took."""
    rows = []
    for arm in benefit.order:
        runs = benefit.runs_of(arm)
        rows.append(
            (
                arm_name(benefit, arm),
                str(runs[0].training_images),
                str(runs[0].training_cells),
                str(benefit.experiment.amounts.get(arm, 0)),
                ", ".join(str(run.seed) for run in runs),
                f"{np.mean([run.seconds_training for run in runs]):.0f} s",
                f"{np.mean([run.seconds_testing for run in runs]):.0f} s",
            )
        )
    head = ("Trained on", "Images", "Cells", "Of them made", "Seeds", "Training", "Testing")
    return "<h3>Runs</h3>" + table(head, rows) if rows else ""
