"""The page of the report, in plain language."""

from __future__ import annotations

from html import escape

from cytocascade.evaluation import charts, drawings
from cytocascade.evaluation.compare import Pictures
from cytocascade.evaluation.markup import (
    document,
    figure,
    floor_in_words,
    image,
    notes_list,
    number,
    score,
    section,
    summary_table,
    table,
)
from cytocascade.evaluation.perceptual import cell_crop_side
from cytocascade.evaluation.results import Evaluation
from cytocascade.evaluation.summary import FRECHET_GOAL, TITLES


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
    return document("Synthetic against real cells", sections)


def _head(evaluation: Evaluation) -> str:
    real, synthetic = evaluation.real, evaluation.synthetic
    return (
        "<header>\n<h1>Synthetic against real cells</h1>\n"
        f"{score(evaluation.summary)}\n"
        f'<p><span class="key real"></span> {real.images} real images with {real.cells} cells &emsp; '
        f'<span class="key synthetic"></span> {synthetic.images} synthetic images with {synthetic.cells} cells</p>\n'
        "</header>"
    )


def _summary(evaluation: Evaluation) -> str:
    lead = (
        "<em>Floor</em> is the same figure for one half of the real images against the other: nothing can be expected "
        "to do better. Where figure and floor are close, the synthetic cells differ from real ones no more than real "
        "ones do among themselves."
    )
    remarks = [*evaluation.notes, *([evaluation.perceptual.note] if evaluation.perceptual.note else [])]
    return section("At a glance", lead, summary_table(evaluation.summary) + notes_list(remarks), "summary")


def _fields(evaluation: Evaluation, pictures: Pictures) -> str:
    grey = (evaluation.perceptual.low, evaluation.perceptual.high)
    columns = [
        (f"{kind}: {image.name}", kind, drawings.field_pictures(image, grey))
        for kind, measured in (("real", pictures.real), ("synthetic", pictures.synthetic))
        for image in drawings.shown_fields(measured)
    ]
    body = ""
    for view, words in (
        ("linear", "Same grey range for all, from the real set"),
        ("gamma", "Dim parts lifted"),
        ("outlined", "Dim parts lifted, with the outlines of the labels"),
    ):
        row = "".join(figure(views[view], title, kind, "field") for title, kind, views in columns)
        body += f'<h3>{words}</h3>\n<div class="row four">{row}</div>\n'
    lead = (
        "Good: at a glance you cannot say which is which. Look at density and touching groups, at the background "
        "between cells and its noise, and whether outlines run along the edges."
    )
    return section("Whole fields", lead, body, "fields")


def _cells(evaluation: Evaluation, pictures: Pictures) -> str:
    grey = (evaluation.perceptual.low, evaluation.perceptual.high)
    side = cell_crop_side(pictures.real)
    body = "".join(
        figure(drawings.cell_grid(measured, side, grey, evaluation.seed), f"{kind} cells", f"{kind} wide") + "\n"
        for kind, measured in (("real", pictures.real), ("synthetic", pictures.synthetic))
    )
    lead = (
        f"Cells drawn at random, each in a square of {side} px, in one grey range with dim parts lifted. "
        "Good: the same variety of shapes, brightness, texture and rims in both."
    )
    return section("Cells", lead, body, "cells")


def _features(evaluation: Evaluation, pictures: Pictures) -> str:
    lead = (
        "How each measured property is distributed. The figure at each panel is the Wasserstein distance: how far "
        "values would have to be moved to turn one distribution into the other, in standard deviations of the real "
        "cells. Good: at most 0.25. Cells cut by the frame are left out, except as neighbours."
    )
    rows = table(
        ("Feature", "Real mean ± sd", "Synthetic mean ± sd", "Distance", "Floor"),
        [
            (
                escape(f"{TITLES[row.name]} ({row.unit})" if row.unit else TITLES[row.name]),
                f"{number(row.real_mean)} ± {number(row.real_sd)}",
                f"{number(row.synthetic_mean)} ± {number(row.synthetic_sd)}",
                number(row.distance.value),
                floor_in_words(row.distance),
            )
            for row in evaluation.features
        ],
    )
    chart = image(charts.feature_histograms(evaluation, pictures), "Histograms of the features", "chart")
    return section("What the cells measure", lead, chart + rows, "features")


def _two_sample(evaluation: Evaluation) -> str:
    test = evaluation.two_sample
    accuracy = test.accuracy
    lead = (
        f"A classifier ({test.classifier}) sees about sixty numbers per cell and says real or synthetic; it is right "
        f"for <strong>{accuracy.value:.0%}</strong> of cells from images it has not seen. 50% is guessing; good: at "
        f"most 75%. It tells two halves of the real set apart for {accuracy.floor:.0%} (first half against second: "
        f"{accuracy.floor_contiguous:.0%}). The bars say what gives synthetic cells away: start there to improve the "
        "generator (where the classifier only guesses, they say nothing)."
    )
    note = (
        f'<p class="note">Boosted trees {test.boosting:.1%}, logistic regression {test.logistic:.1%}; '
        f"{test.cells_per_class} cells of each kind, {test.folds} folds, no image in two folds. Clearly less than 50% "
        "happens when the same cells are on both sides.</p>"
    )
    chart = image(charts.telling_bars(test.telling), "Telling descriptors", "chart")
    return section("Can real and synthetic cells be told apart?", lead, chart + note, "two-sample")


def _spectra(evaluation: Evaluation) -> str:
    lead = (
        "How much structure there is at each scale, from coarse on the left to fine on the right. Good: the curves lie "
        "on each other. Too low on the right: blurred, or too little noise. A bump: a grid or seam. Too low on the "
        "left: brightness or density varies too little. Single cells are taken relative to their own signal."
    )
    return section("Structure by scale", lead, image(charts.spectra(evaluation), "Power spectra", "chart"), "spectra")


def _perceptual(evaluation: Evaluation) -> str:
    found = evaluation.perceptual
    if not found.distances:
        return section("Network features", escape(found.note), "", "perceptual")
    lead = (
        f"{escape(found.frechet_name)} and {escape(found.kernel_name)}: how far apart both sets are in the eyes of a "
        "network trained on photographs. The Fréchet distance grows when there are few tiles, so it means something "
        f"only beside its floor at the same number. Good: at most {FRECHET_GOAL:g} times the floor. The kernel "
        f"distance is 0 on average for equal sets. {escape(found.note)}"
    )
    rows = table(
        ("Seen", "Tiles each", found.frechet_name, "Floor", "With all tiles", found.kernel_name, "Floor"),
        [
            (
                f"{'Tiles of fields' if one.what == 'fields' else 'Single cells'}, {one.side} px",
                str(one.count),
                number(one.frechet.value),
                floor_in_words(one.frechet),
                f"{number(one.frechet_all)} <small>({one.count_all} each)</small>",
                f"{one.kernel.value:.4f} ± {one.kernel_sd:.4f}",
                f"{one.kernel.floor:.4f}",
            )
            for one in found.distances
        ],
    )
    return section("Network features", lead, rows, "perceptual")


def _memorisation(evaluation: Evaluation, pictures: Pictures) -> str:
    found = evaluation.memorisation
    lead = (
        f"For each synthetic cell, the most similar of {found.reference_cells} {found.reference} cells, over rotations "
        "and flips; brightness and size do not count. Beside it the same for real cells, never compared with "
        "themselves. Good: synthetic cells come no closer to a real cell than other real cells do. "
        f"<strong>{found.fraction_closer:.1%}</strong> of synthetic cells are closer than 99% of real ones "
        f"(chance: 1%, allowed here: {found.fraction_allowed:.1%}); copies: <strong>{found.copies}</strong>."
    )
    strips = drawings.pair_strip(found.closest, pictures.synthetic, pictures.reference)
    figures = "".join(figure(strip, f"{pair.distance:.2f}") for pair, strip in zip(found.closest, strips))
    chart = charts.nearest_distances(pictures.real_nearest, pictures.synthetic_nearest, found.null_percentile_1)
    body = (
        image(chart, "Nearest distances", "chart")
        + f"<h3>The closest pairs: synthetic on the left, turned to fit, {found.reference} on the right</h3>"
        + f'<div class="row pairs">{figures}</div>'
    )
    return section("Are cells copied?", lead, body, "memorisation")


def _faithfulness(evaluation: Evaluation) -> str:
    found = evaluation.faithfulness
    lead = (
        "A label is only worth something if it ends where the cell ends. Good: both ratios within 5% of 1, and the "
        "steepest gradient as far from the label's edge as in the real set."
    )
    rows = table(
        ("Measure", "Real", "Synthetic", "Synthetic / real", "Floor"),
        [
            (
                "Gradient on the label's edge / 2-3 px beside it",
                f"{found.edge_real:.3f}",
                f"{found.edge_synthetic:.3f}",
                f"{found.edge_ratio.value:.3f}",
                f"{found.edge_ratio.floor:.3f}",
            ),
            (
                "Steepest gradient, px outside the label's edge",
                f"{found.offset_real:.2f} ± {found.offset_spread_real:.2f}",
                f"{found.offset_synthetic:.2f} ± {found.offset_spread_synthetic:.2f}",
                "",
                "",
            ),
            (
                "Dice of labels and re-segmentation",
                f"{found.dice_real:.3f}",
                f"{found.dice_synthetic:.3f}",
                f"{found.dice_ratio.value:.3f}",
                f"{found.dice_ratio.floor:.3f}",
            ),
        ],
    )
    note = f'<p class="note">Re-segmentation, tuned on the real images: {escape(found.segmenter)}.</p>'
    return section("Do labels fit the image?", lead, rows + note, "faithfulness")


def _method(evaluation: Evaluation) -> str:
    note = (
        f'<p class="note">CytoCascade {escape(evaluation.version)}, seed {evaluation.seed}. '
        "All figures are in report.json beside this page.</p>"
    )
    return section("How the figures were made", escape(evaluation.floor), note, "method")
