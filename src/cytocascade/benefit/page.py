"""The page of the segmentation experiment, in plain language."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from cytocascade.benefit import charts
from cytocascade.benefit.arms import ALL_REAL, COPY_PASTE, REAL, SIMULATOR
from cytocascade.benefit.drawings import ReportPictures
from cytocascade.benefit.gallery import predictions_section, training_section
from cytocascade.benefit.markup import NOTHING, absolute, arm_name, clearly, in_percent, mean_and_range, stacked
from cytocascade.benefit.method import budget_in_words, method_section
from cytocascade.benefit.results import Benefit
from cytocascade.benefit.verdict import GAP_GOAL, RELATIVE_GOAL, goal, signed
from cytocascade.evaluation.instances import METRICS
from cytocascade.evaluation.markup import VERDICTS, document, image, notes_list, section, table
from cytocascade.evaluation.report import require_matplotlib
from cytocascade.storage import write_text

STYLE = """<style>
.verdict { margin: 10px 0 14px; font-size: 27px; line-height: 1.35; letter-spacing: -0.01em; max-width: 62ch; }
.verdict + .rest { font-size: 17px; color: var(--soft); max-width: 78ch; margin: 0 0 10px; }
td .range { color: var(--soft); font-size: 12.5px; white-space: nowrap; }
td b.key { height: 10px; width: 10px; border-radius: 5px; margin-right: 7px; }
td:first-child { white-space: nowrap; }
td .even { color: var(--ink); }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; vertical-align: -1px;
  margin: 0 5px 0 14px; border: 1px solid #8b949e; }
.tall { max-height: 460px; overflow: auto; border: 1px solid var(--line); border-radius: 8px; padding: 0 12px; }
.tall th { position: sticky; top: 0; background: #fff; }
.dense { overflow-x: auto; }
.dense table { font-size: 13px; }
.dense td .range { font-size: 10.5px; }
.dense th, .dense td { padding-right: 6px; }
.picture img { width: 100%; }
</style>"""


def write_page(benefit: Benefit, pictures: ReportPictures, out: Path) -> None:
    """Write a self-contained ``index.html`` to the folder `out`.

    Parameters
    ----------
    benefit : Benefit
        Complete or not; what is missing is said.
    pictures : ReportPictures
        Examples; sections without pictures are left out.
    out : Path
        Folder; made if need be.

    Raises
    ------
    CytoCascadeError
        If matplotlib is missing, or labels are not of the shape of their image.
    """
    require_matplotlib()
    write_text(Path(out) / "index.html", page(benefit, pictures))


def page(benefit: Benefit, pictures: ReportPictures) -> str:
    """Return the whole page as HTML with inline style and pictures."""
    parts = [_head(benefit)]
    if benefit.arms:
        parts += [_glance(benefit), _scores(benefit), _differences(benefit), _images(benefit)]
        parts += [
            _curves(benefit),
            training_section(benefit, pictures),
            predictions_section(benefit, pictures),
            _table(benefit),
        ]
    return document("Does it help?", [STYLE, *parts, method_section(benefit)])


def _head(benefit: Benefit) -> str:
    first, _, rest = escape(benefit.verdict).replace(" %", "&nbsp;%").partition(". ")
    done = benefit.experiment
    kind = "volumes" if done.dim == 3 else "images"
    facts = [
        ", ".join(done.data),
        f"budget: {budget_in_words(done)}",
        f"{len(done.scored_images)} {done.scored_on} {kind}",
    ]
    facts.append(f"{len(done.seeds)} seeds per arm" if len(done.seeds) > 1 else "one seed per arm")
    return (
        "<header>\n<h1>Does it help? Training with and without synthetic cells</h1>\n"
        f'<p class="verdict">{first.rstrip(".")}.</p>\n'
        + (f'<p class="rest">{rest}</p>\n' if rest else "")
        + f"<p>{' &ensp;·&ensp; '.join(escape(fact) for fact in facts if fact)}</p>\n{_missing(benefit)}</header>"
    )


def _missing(benefit: Benefit) -> str:
    lacking: dict[str, list[int]] = {}
    for run in benefit.missing:
        lacking.setdefault(run.arm, []).append(run.seed)
    words = [f"Missing: {arm}, seed {', '.join(str(one) for one in seeds)}" for arm, seeds in lacking.items()]
    return notes_list(words)


def _glance(benefit: Benefit) -> str:
    found = benefit.difference(benefit.headline, REAL)
    if found is None:
        return ""
    reached = goal(benefit)
    gain, gap = f"{RELATIVE_GOAL:.0%}".replace("%", "&nbsp;%"), f"{GAP_GOAL:.0%}".replace("%", "&nbsp;%")
    enough = (reached.raises_enough, reached.closes_enough)
    rows = [
        ("Gain in SEG over real alone", *in_percent(found.relative), f"at least {gain}", _met(*enough)),
        (
            "Share of the gap to all real images",
            *in_percent(found.gap_closed, sign=False),
            f"at least {gap}",
            _met(*enough[::-1]),
        ),
    ]
    for arm, name, beaten in (
        (COPY_PASTE, "copy-paste", reached.beats_copypaste),
        (SIMULATOR, "the simulator", reached.beats_simulator),
    ):
        figures = absolute(benefit.difference(benefit.headline, arm))
        rows.append((f"SEG above that of {name}", *figures, "at least 0", _met(beaten)))
    together = {True: "met", False: "missed", None: "not known yet"}[reached.met]
    lead = (
        f"Wanted: synthetic images gain {gain} over real alone <em>or</em> close {gap} of the gap to training on all "
        "real images, <em>and</em> gain at least as much as copy-paste and as a simulator that learns nothing. Judged "
        f"by the means; the intervals say how sure that is. Taken together: <strong>{together}</strong>."
    )
    return section("At a glance", lead, table(("What", "Found", "95 % interval", "Wanted", ""), rows), "summary")


def _met(one: bool | None, other: bool | None = None) -> str:
    """Return a mark; `other`: whether an alternative is met, so that this one is not needed."""
    if one is None:
        return NOTHING
    if one:
        return f'<span class="met">{VERDICTS["met"]}</span>'
    return '<span class="shown">not needed</span>' if other else f'<span class="missed">{VERDICTS["missed"]}</span>'


def _scores(benefit: Benefit) -> str:
    scored_on = benefit.experiment.scored_on
    lead = (
        f"Every arm trains the same segmenter for {benefit.experiment.steps} steps and is tested on the same "
        f"{scored_on} images. Large dots: mean over seeds; small dots: single seeds; bars: where the true mean lies "
        "with 95 % probability, over other images and other seeds."
    )
    head = ["Trained on", *(metric.name for metric in METRICS)]
    best = {}
    for metric in METRICS:
        rivals = {arm: one[metric.name].mean for arm, one in benefit.arms.items() if arm != ALL_REAL}
        if rivals:
            best[metric.name] = (max if metric.higher_is_better else min)(rivals.values())
    rows = [
        [arm_name(benefit, arm)]
        + [
            mean_and_range(
                benefit.arms[arm][m.name],
                bold=benefit.arms[arm][m.name].mean == best.get(m.name),
                digits=3 if m.bounded else 1,
            )
            for m in METRICS
        ]
        for arm in benefit.order
    ]
    body = (
        image(charts.scores(benefit), "SEG of every arm with its interval", "chart")
        + image(charts.other_scores(benefit), "The other measures of every arm", "chart")
        + table(head, rows)
        + '<p class="note">Bold: best without the ceiling. Merges and splits: per 100 cells, fewer is better. '
        + " ".join(f"<em>{metric.name}</em>: {escape(metric.explanation)}" for metric in METRICS)
        + "</p>"
    )
    return section("How well are cells found?", lead, body, "scores")


def _differences(benefit: Benefit) -> str:
    shown = ("SEG", "AP50", "AP75", "AP90", "PQ")
    rows = []
    for one in (one for one in benefit.differences if one.metric == "SEG"):
        its = [benefit.difference(one.arm, one.against, metric) for metric in shown]
        against = escape(charts.look(benefit, one.against).title)
        row = [f'{arm_name(benefit, one.arm)}<br><span class="range">compared with: {against}</span>']
        row += [stacked(absolute(other), kind=clearly(other)) for other in its if other is not None]
        row[2:2] = [
            stacked(in_percent(one.relative), kind="even"),
            stacked(in_percent(one.gap_closed, sign=False), kind="even"),
        ]
        rows.append(row)
    if not rows:
        return ""
    lead = (
        "Both arms are compared on the same images, so what makes an image hard for both drops out. Where the interval "
        "does not include zero, the difference is clear: green for the better, red for the worse."
    )
    head = ("Trained on", shown[0], f"{shown[0]} in percent", "Gap closed", *shown[1:])
    chart = image(charts.differences(benefit), "Differences to real alone", "chart")
    return section("Against each other", lead, chart + f'<div class="dense">{table(head, rows)}</div>', "differences")


def _images(benefit: Benefit) -> str:
    if benefit.difference(benefit.headline, REAL) is None:
        return ""
    lead = "A mean can hide that some images gain and others lose: orange gains, red loses."
    body = image(charts.paired_images(benefit), "SEG of every image, real alone and with synthetic images", "chart")
    return section("Image by image", lead, body, "images")


def _curves(benefit: Benefit) -> str:
    lead = (
        "All arms are trained for the same number of steps. That is fair to real alone only if its curve on the right "
        f"is flat at the end. {_convergence(benefit)} Thin: single runs; thick: their mean."
    )
    return section("Were the steps enough?", lead, image(charts.learning_curves(benefit), "Curves", "chart"), "curves")


def _convergence(benefit: Benefit) -> str:
    changes = []
    for run in benefit.runs_of(REAL):
        points = charts.curve(run, "validation")
        early = points[points[:, 0] <= 0.75 * run.steps]
        if len(early) and len(points) > len(early):
            changes.append(points[-1, 1] - early[-1, 1])
    if not changes:
        return "Its score was not followed."
    return f"In the last quarter of the steps real alone changed by <strong>{signed(float(np.mean(changes)))}</strong>."


def _table(benefit: Benefit) -> str:
    arms, gains = benefit.order, benefit.gains()
    values = {arm: benefit.per_image(arm) for arm in arms}
    cells = [one.scores.reference_cells for one in benefit.runs[0].images]
    rows = [
        [escape(name), str(cells[index]), *(f"{values[arm][index]:.3f}" for arm in arms)]
        + ([signed(gains[name])] if gains else [])
        for index, name in enumerate(benefit.experiment.scored_images)
    ]
    head = ["Image", "Cells", *(charts.look(benefit, arm).title for arm in arms), *(["Gain"] if gains else [])]
    lead = "SEG of every image, mean over seeds. Gain: real + synthetic over real. All counts are in benefit.json."
    return section("Scores per image", lead, f'<div class="tall">{table(head, rows)}</div>', "per-image")
