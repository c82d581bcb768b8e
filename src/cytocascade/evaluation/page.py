"""The page of the report, in plain language."""

from __future__ import annotations

import base64
from html import escape

from cytocascade.evaluation import charts, drawings
from cytocascade.evaluation.compare import Pictures
from cytocascade.evaluation.perceptual import cell_crop_side
from cytocascade.evaluation.results import Evaluation, Floored, SummaryRow
from cytocascade.evaluation.style import STYLE
from cytocascade.evaluation.summary import FRECHET_GOAL, TITLES

VERDICTS = {"met": ("✓ met", "met"), "missed": ("✗ missed", "missed"), "shown": ("–", "shown")}


def page(evaluation: Evaluation, pictures: Pictures) -> str:
    """Return the whole page as HTML with inline style and pictures."""
    sections = [
        _head(evaluation),
        _summary(evaluation),
        _fields(evaluation, pictures),
        _cells(evaluation, pictures),
        _features(evaluation, pictures),
        _two_sample(evaluation),
        _spectra(evaluation),
        _perceptual(evaluation),
        _memorisation(evaluation, pictures),
        _faithfulness(evaluation),
        _method(evaluation),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Synthetic against real cells</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _image(data: bytes, alt: str, kind: str = "") -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img class="{kind}" alt="{escape(alt)}" src="data:image/png;base64,{encoded}">'


def _section(title: str, lead: str, body: str, identity: str) -> str:
    return (
        f'<section id="{identity}">\n<h2>{escape(title)}</h2>\n<p class="lead">{lead}</p>\n{body}\n</section>'
    )


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else (f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.1g}")


def _head(evaluation: Evaluation) -> str:
    real, synthetic = evaluation.real, evaluation.synthetic
    with_goal = [row for row in evaluation.summary if row.verdict != "shown"]
    met = sum(row.verdict == "met" for row in with_goal)
    return (
        "<header>\n<h1>Synthetic against real cells</h1>\n"
        f'<p class="score"><strong>{met} of {len(with_goal)}</strong> goals met</p>\n'
        f'<p>{real.images} real images with {real.cells} cells <span class="key real"></span> &ensp; '
        f'{synthetic.images} synthetic images with {synthetic.cells} cells <span class="key synthetic"></span></p>\n'
        "</header>"
    )


def _summary(evaluation: Evaluation) -> str:
    lead = (
        "<em>Floor</em> is the same figure for one half of the real images against the other: nothing can be "
        "expected to do better. Where figure and floor are close, the synthetic cells differ from real ones no "
        "more than real ones do among themselves."
    )
    rows = "\n".join(_summary_row(row) for row in evaluation.summary)
    table = (
        "<table>\n<thead><tr><th>What</th><th>Figure</th><th>Floor</th><th>Goal</th><th>Verdict</th></tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody>\n</table>"
    )
    missing = (
        "" if evaluation.perceptual.distances else f'<p class="note">{escape(evaluation.perceptual.note)}</p>'
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in evaluation.notes)
    return _section(
        "At a glance", lead, table + missing + (f'<ul class="note">{notes}</ul>' if notes else ""), "summary"
    )


def _summary_row(row: SummaryRow) -> str:
    text, kind = VERDICTS[row.verdict]
    floor = "" if row.floor is None else _number(row.floor)
    return (
        f"<tr><td>{escape(row.name)}</td><td>{_number(row.value)}</td><td>{floor}</td>"
        f'<td>{escape(row.goal)}</td><td class="{kind}">{text}</td></tr>'
    )


def _fields(evaluation: Evaluation, pictures: Pictures) -> str:
    grey = (evaluation.perceptual.low, evaluation.perceptual.high)
    columns = []
    for name, kind, measured in (
        ("real", "real", pictures.real),
        ("synthetic", "synthetic", pictures.synthetic),
    ):
        for image in drawings.shown_fields(measured):
            columns.append((f"{name}: {image.name}", kind, drawings.field_pictures(image, grey)))
    body = ""
    for view, words in (
        ("linear", "Same grey range for all, from the real set"),
        ("gamma", "Dim parts lifted"),
        ("outlined", "Dim parts lifted, with the outlines of the labels"),
    ):
        figures = "".join(
            f'<figure class="{kind}">{_image(views[view], title, "field")}<figcaption>{escape(title)}</figcaption></figure>'
            for title, kind, views in columns
        )
        body += f'<h3>{words}</h3>\n<div class="row four">{figures}</div>\n'
    lead = (
        "Good: at a glance you cannot say which is which. Look at density and touching groups, at the background "
        "between cells and its noise, and whether outlines run along the edges."
    )
    return _section("Whole fields", lead, body, "fields")


def _cells(evaluation: Evaluation, pictures: Pictures) -> str:
    grey = (evaluation.perceptual.low, evaluation.perceptual.high)
    side = cell_crop_side(pictures.real)
    body = ""
    for name, kind, measured in (
        ("Real", "real", pictures.real),
        ("Synthetic", "synthetic", pictures.synthetic),
    ):
        grid = drawings.cell_grid(measured, side, grey, evaluation.seed)
        body += f'<figure class="{kind} wide">{_image(grid, f"{name} cells")}<figcaption>{name} cells</figcaption></figure>\n'
    lead = (
        f"Cells drawn at random, each in a square of {side} px, in one grey range with dim parts lifted. "
        "Good: the same variety of shapes, brightness, texture and rims in both."
    )
    return _section("Cells", lead, body, "cells")


def _features(evaluation: Evaluation, pictures: Pictures) -> str:
    lead = (
        "How each measured property is distributed. The figure in each panel is the Wasserstein distance, how "
        "far values would have to be moved to turn one distribution into the other, in standard deviations of "
        "the real cells. Good: at most 0.25. Cells cut by the frame are left out, except as neighbours."
    )
    head = (
        "<th>Feature</th><th>Real mean ± sd</th><th>Synthetic mean ± sd</th><th>Distance</th><th>Floor</th>"
    )
    rows = "".join(
        f"<tr><td>{escape(TITLES[row.name])}{f' ({row.unit})' if row.unit else ''}</td>"
        f"<td>{_number(row.real_mean)} ± {_number(row.real_sd)}</td>"
        f"<td>{_number(row.synthetic_mean)} ± {_number(row.synthetic_sd)}</td>"
        f"<td>{_number(row.distance.value)}</td><td>{_floor(row.distance)}</td></tr>"
        for row in evaluation.features
    )
    chart = _image(charts.feature_histograms(evaluation, pictures), "Histograms of the features", "chart")
    return _section(
        "What the cells measure",
        lead,
        f"{chart}<table><thead><tr>{head}</tr></thead>{rows}</table>",
        "features",
    )


def _floor(figure: Floored) -> str:
    return f"{_number(figure.floor)} <small>(first half against second: {_number(figure.floor_contiguous)})</small>"


def _two_sample(evaluation: Evaluation) -> str:
    test = evaluation.two_sample
    lead = (
        f"A classifier ({test.classifier}) sees about sixty numbers per cell and says real or synthetic; it is right for "
        f"<strong>{test.accuracy.value:.0%}</strong> of cells from images it has not seen. 50 % is guessing; good: at "
        f"most 75 %. Two halves of the real set are told apart in {_percent(test.accuracy)} of cases. "
        "The bars say what gives synthetic cells away: start there to improve the generator."
    )
    body = _image(charts.telling_bars(test.telling), "Telling descriptors", "chart")
    body += (
        f'<p class="note">Boosted trees {test.boosting:.1%}, logistic regression {test.logistic:.1%}; '
        f"{test.cells_per_class} cells of each kind, {test.folds} folds, no image in two folds. Clearly less than "
        "50 % happens when the same cells are on both sides.</p>"
    )
    return _section("Can real and synthetic cells be told apart?", lead, body, "two-sample")


def _percent(figure: Floored) -> str:
    return f"{figure.floor:.0%} (first half against second: {figure.floor_contiguous:.0%})"


def _spectra(evaluation: Evaluation) -> str:
    lead = (
        "How much structure there is at each scale, from coarse on the left to fine on the right. Good: the curves lie on "
        "each other. Too low on the right: blurred or too little noise. A bump: a grid or seam. Too low on the left: "
        "brightness or density varies too little."
    )
    body = _image(charts.spectra(evaluation), "Power spectra", "chart")
    return _section("Structure by scale", lead, body, "spectra")


def _perceptual(evaluation: Evaluation) -> str:
    found = evaluation.perceptual
    if not found.distances:
        return _section("Network features", escape(found.note), "", "perceptual")
    lead = (
        f"{escape(found.frechet_name)} and {escape(found.kernel_name)}: how far apart both sets are in the eyes of a "
        "network trained on photographs. The Fréchet distance grows when there are few tiles, so it means something "
        f"only beside its floor at the same number. Good: at most {FRECHET_GOAL:g} times the floor. The kernel distance is 0 on "
        f"average for equal sets. {escape(found.note)}"
    )
    head = "<th>Seen</th><th>Tiles each</th><th>Fréchet</th><th>Floor</th><th>Fréchet, all tiles</th><th>Kernel</th><th>Floor</th>"
    rows = "".join(
        f"<tr><td>{'Tiles of fields' if one.what == 'fields' else 'Single cells'}, {one.side} px</td><td>{one.count}</td>"
        f"<td>{_number(one.frechet.value)}</td><td>{_floor(one.frechet)}</td>"
        f"<td>{_number(one.frechet_all)} <small>({one.count_all} each)</small></td>"
        f"<td>{one.kernel.value:.4f} ± {one.kernel_sd:.4f}</td><td>{one.kernel.floor:.4f}</td></tr>"
        for one in found.distances
    )
    return _section(
        "Network features", lead, f"<table><thead><tr>{head}</tr></thead>{rows}</table>", "perceptual"
    )


def _memorisation(evaluation: Evaluation, pictures: Pictures) -> str:
    found = evaluation.memorisation
    source = "training" if found.reference == "training" else "real"
    lead = (
        f"For each synthetic cell, the most similar of {found.reference_cells} {source} cells, over all rotations and flips; "
        "brightness and size do not count. Beside it, the same for real cells, never compared with "
        "themselves. Good: synthetic cells come no closer to a real cell than other real cells do. "
        f"<strong>{found.fraction_closer:.1%}</strong> of synthetic cells are closer than 99 % of real ones "
        f"(chance: 1 %, allowed here: {found.fraction_allowed:.1%}); copies: <strong>{found.copies}</strong>."
    )
    side = cell_crop_side(pictures.real)
    strips = drawings.pair_strip(found.closest, pictures.synthetic, pictures.reference, side)
    figures = "".join(
        f"<figure>{_image(strip, 'closest pair')}<figcaption>{pair.distance:.2f}</figcaption></figure>"
        for pair, strip in zip(found.closest, strips)
    )
    body = _image(
        charts.nearest_distances(pictures, found.null_percentile_1), "Nearest distances", "chart small"
    )
    body += f'<h3>The closest pairs: synthetic left, {source} right, each in its own grey range</h3><div class="row pairs">{figures}</div>'
    return _section("Are cells copied?", lead, body, "memorisation")


def _faithfulness(evaluation: Evaluation) -> str:
    found = evaluation.faithfulness
    lead = (
        "A label is only worth something if it ends where the cell ends. Good: both figures within 5 % of the real set's, "
        "and the steepest gradient as far from the label's edge as in the real set."
    )
    head = "<th>Measure</th><th>Real</th><th>Synthetic</th><th>Synthetic / real</th><th>Floor</th>"
    rows = (
        f"<tr><td>Gradient on the label's edge / 2-3 px beside it</td><td>{found.edge_real:.3f}</td>"
        f"<td>{found.edge_synthetic:.3f}</td><td>{found.edge_ratio.value:.3f}</td><td>{found.edge_ratio.floor:.3f}</td></tr>"
        f"<tr><td>Steepest gradient, px outside the label's edge</td><td>{found.offset_real:.2f} ± {found.offset_spread_real:.2f}</td>"
        f"<td>{found.offset_synthetic:.2f} ± {found.offset_spread_synthetic:.2f}</td><td></td><td></td></tr>"
        f"<tr><td>Dice of labels and re-segmentation</td><td>{found.dice_real:.3f}</td>"
        f"<td>{found.dice_synthetic:.3f}</td><td>{found.dice_ratio.value:.3f}</td><td>{found.dice_ratio.floor:.3f}</td></tr>"
    )
    note = f'<p class="note">Re-segmentation, tuned on the real images: {escape(found.segmenter)}.</p>'
    return _section(
        "Do labels fit the image?",
        lead,
        f"<table><thead><tr>{head}</tr></thead>{rows}</table>{note}",
        "faithfulness",
    )


def _method(evaluation: Evaluation) -> str:
    return _section(
        "How the figures were made",
        escape(evaluation.floor),
        f'<p class="note">CytoCascade {escape(evaluation.version)}, seed {evaluation.seed}. '
        "All figures are in report.json beside this page.</p>",
        "method",
    )
