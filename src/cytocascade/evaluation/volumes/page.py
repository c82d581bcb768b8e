"""The page of the report on volumes, in plain language."""

from __future__ import annotations

from html import escape
from itertools import zip_longest

from cytocascade.evaluation.charts import nearest_distances, telling_bars
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
from cytocascade.evaluation.summary import FRECHET_GOAL
from cytocascade.evaluation.volumes import charts, drawings
from cytocascade.evaluation.volumes.compare import VolumePictures
from cytocascade.evaluation.volumes.features import GOAL
from cytocascade.evaluation.volumes.results import VolumeEvaluation, VolumeSummary
from cytocascade.evaluation.volumes.summary import TITLES, VIEWS


def page(evaluation: VolumeEvaluation, pictures: VolumePictures) -> str:
    """Return the whole page as HTML with inline style and pictures."""
    sections = [
        _head(evaluation),
        _summary(evaluation),
        _planes(evaluation, pictures),
        _cells(evaluation, pictures),
        _features(evaluation, pictures),
        _texture(evaluation),
        _spectra(evaluation),
        _two_sample(evaluation),
        _perceptual(evaluation),
        _memorisation(evaluation, pictures),
        _method(evaluation),
    ]
    return document("Synthetic against real volumes", sections)


def _head(evaluation: VolumeEvaluation) -> str:
    def words(one: VolumeSummary, kind: str) -> str:
        size = " × ".join(f"{step:.3g}" for step in one.spacing)
        return (
            f'<span class="key {kind}"></span> {one.volumes} {kind} volumes with {one.cells} cells, {one.whole_cells} '
            f"whole <small>(voxel {size} µm)</small>"
        )

    return (
        "<header>\n<h1>Synthetic against real volumes</h1>\n"
        f"{score(evaluation.summary)}\n"
        f"<p>{words(evaluation.real, 'real')}<br>{words(evaluation.synthetic, 'synthetic')}</p>\n"
        "</header>"
    )


def _summary(evaluation: VolumeEvaluation) -> str:
    lead = (
        "<em>Floor</em> is the same figure for one half of the real volumes against the other: nothing can be expected "
        "to do better. Where figure and floor are close, the synthetic cells differ from real ones no more than real "
        "ones do among themselves."
    )
    remarks = [*evaluation.notes, *([evaluation.perceptual.note] if evaluation.perceptual.note else [])]
    return section("At a glance", lead, summary_table(evaluation.summary) + notes_list(remarks), "summary")


def _planes(evaluation: VolumeEvaluation, pictures: VolumePictures) -> str:
    grey = (evaluation.perceptual.low, evaluation.perceptual.high)
    both = [drawings.shown_volumes(measured) for measured in (pictures.real, pictures.synthetic)]
    shown = [
        (f"{kind}: {volume.name}", kind, drawings.plane_pictures(volume, grey))
        for pair in zip_longest(*both)
        for kind, volume in zip(("real", "synthetic"), pair)
        if volume is not None
    ]
    body = ""
    for view, words in (("plain", "XY, YZ (right), XZ (below)"), ("outlined", "With the outlines of the labels")):
        row = "".join(figure(views[view], title, kind, "field") for title, kind, views in shown)
        body += f'<h3>{words}</h3>\n<div class="row two">{row}</div>\n'
    lead = (
        "Three planes through one cell near the middle, in one grey range with dim parts lifted, z stretched to the "
        "true proportions; the bar is 10 µm. Good: at a glance you cannot say which is which. Look at the cells' "
        "height and their tops "
        "and bottoms, at light above and below them, at stripes along z, and whether outlines run along the edges."
    )
    return section("Planes", lead, body, "planes")


def _cells(evaluation: VolumeEvaluation, pictures: VolumePictures) -> str:
    grey = (evaluation.perceptual.low, evaluation.perceptual.high)
    body = "".join(
        figure(drawings.cell_grid(measured, grey, evaluation.seed), f"{kind} cells", f"{kind} wide") + "\n"
        for kind, measured in (("real", pictures.real), ("synthetic", pictures.synthetic))
    )
    lead = (
        "Cells drawn at random: XY through the middle and, below it, XZ, in true proportions, in one grey range with "
        "dim parts lifted. Good: the same variety of shapes, texture that goes on through the slices, the same caps."
    )
    return section("Cells", lead, body, "cells")


def _features(evaluation: VolumeEvaluation, pictures: VolumePictures) -> str:
    lead = (
        "How each measured property is distributed over whole cells. The figure at each panel is the Wasserstein "
        "distance: how far values would have to be moved to turn one distribution into the other, in standard "
        f"deviations of the real cells. Good: at most {GOAL:g}. Cells cut by a face of their volume are left out, "
        "except as neighbours."
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
    chart = charts.feature_histograms(evaluation.features, pictures.real_values, pictures.synthetic_values)
    return section(
        "What the cells measure", lead, image(chart, "Histograms of the features", "chart") + rows, "features"
    )


def _texture(evaluation: VolumeEvaluation) -> str:
    found = evaluation.texture
    lead = (
        "Left: how alike the texture inside cells is in two slices, over their distance. Too high: the same picture in "
        "all slices; too low: every slice has a picture of its own, or there is more noise. Right: light from the "
        "bottom to the top of cells; a bend at an end is a dark or bright cap."
    )
    chart = charts.axial_curves(found)
    body = "" if chart is None else image(chart, "Curves along z", "chart")
    rows = []
    if (correlation := found.correlation) is not None:
        rows += [
            (
                "Correlation of neighbouring slices",
                number(correlation.neighbour_real),
                number(correlation.neighbour_synthetic),
                number(correlation.neighbour.value),
                floor_in_words(correlation.neighbour),
            ),
            (
                "Share of texture in the variance inside cells (the rest is noise)",
                number(correlation.texture_share_real),
                number(correlation.texture_share_synthetic),
                "",
                "",
            ),
        ]
    if found.flicker is not None:
        rows.append(
            (
                "Flicker: spread of the steps between slices' means / mean",
                number(found.flicker_real or 0),
                number(found.flicker_synthetic or 0),
                f"× {number(found.flicker.value)}",
                floor_in_words(found.flicker),
            )
        )
    noise = evaluation.background
    rows += [
        (
            "Noise of the background (grey values)",
            number(noise.noise_real),
            number(noise.noise_synthetic),
            f"× {number(noise.noise.value)}",
            floor_in_words(noise.noise),
        ),
        ("Level of the background (grey values)", number(noise.level_real), number(noise.level_synthetic), "", ""),
    ]
    body += table(("Measure", "Real", "Synthetic", "Difference", "Floor"), rows)
    return section("From slice to slice", lead, body, "texture")


def _spectra(evaluation: VolumeEvaluation) -> str:
    lead = (
        "How much structure there is at each scale along lines in x and in z, from coarse on the left to fine on the "
        "right. Good: the curves lie on each other. Too low on the right: blurred, or too little noise. A bump: a "
        "grid. Too high along z alone: slices that do not fit each other."
    )
    chart = image(charts.line_spectra(evaluation.spectra), "Power spectra", "chart")
    return section("Structure by scale", lead, chart, "spectra")


def _two_sample(evaluation: VolumeEvaluation) -> str:
    test = evaluation.two_sample
    lead = (
        f"A classifier ({test.classifier}) sees about fifty numbers per cell and says real or synthetic; it is right "
        f"for <strong>{test.accuracy.value:.0%}</strong> of cells from volumes it has not seen. 50% is guessing; good: "
        f"at most 75%. It tells two halves of the real set apart for {test.accuracy.floor:.0%} (first half against "
        f"second: {test.accuracy.floor_contiguous:.0%}). The bars say what gives synthetic cells away: start there to "
        "improve the generator (where the classifier only guesses, they say nothing)."
    )
    note = (
        f'<p class="note">Boosted trees {test.boosting:.1%}, logistic regression {test.logistic:.1%}; '
        f"{test.cells_per_class} cells of each kind, {test.folds} folds, no volume in two folds.</p>"
    )
    chart = image(telling_bars(test.telling), "Telling descriptors", "chart")
    return section("Can real and synthetic cells be told apart?", lead, chart + note, "two-sample")


def _perceptual(evaluation: VolumeEvaluation) -> str:
    found = evaluation.perceptual
    if not found.distances:
        return section("Network features", escape(found.note), "", "perceptual")
    lead = (
        f"{escape(found.frechet_name)} and {escape(found.kernel_name)} of slices: how far apart both sets are in the "
        "eyes of a network trained on photographs. XZ slices are stretched to true proportions. The Fréchet distance "
        "grows when there are few tiles, so it means something only beside its floor at the same number. Good: at most "
        f"{FRECHET_GOAL:g} times the floor. The kernel distance is 0 on average for equal sets. {escape(found.note)}"
    )
    rows = table(
        ("Seen", "Tiles each", found.frechet_name, "Floor", "With all tiles", found.kernel_name, "Floor"),
        [
            (
                f"{VIEWS[one.what]}, {one.side} px",
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


def _memorisation(evaluation: VolumeEvaluation, pictures: VolumePictures) -> str:
    found = evaluation.memorisation
    lead = (
        f"For each synthetic cell, the most similar of {found.reference_cells} {found.reference} cells, over rotations "
        "about z and flips; brightness and size do not count. Beside it the same for real cells, never compared with "
        "themselves. Good: synthetic cells come no closer to a real cell than other real cells do. "
        f"<strong>{found.fraction_closer:.1%}</strong> of synthetic cells are closer than 99% of real ones "
        f"(chance: 1%, allowed here: {found.fraction_allowed:.1%}); copies: <strong>{found.copies}</strong>."
    )
    strips = drawings.pair_strips(found.closest, pictures.synthetic, pictures.reference)
    figures = "".join(figure(strip, f"{pair.distance:.2f}") for pair, strip in zip(found.closest, strips))
    chart = nearest_distances(pictures.real_nearest, pictures.synthetic_nearest, found.null_percentile_1)
    body = (
        image(chart, "Nearest distances", "chart")
        + f"<h3>The closest pairs: synthetic, turned to fit, left; {found.reference} right; XY above XZ</h3>"
        + f'<div class="row pairs">{figures}</div>'
    )
    return section("Are cells copied?", lead, body, "memorisation")


def _method(evaluation: VolumeEvaluation) -> str:
    note = (
        f'<p class="note">CytoCascade {escape(evaluation.version)}, seed {evaluation.seed}. '
        "All figures are in report.json beside this page.</p>"
    )
    return section("How the figures were made", escape(evaluation.floor), note, "method")
