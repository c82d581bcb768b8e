"""The sections of the page that show images: what was trained on, and what the segmenters find."""

from __future__ import annotations

from html import escape

from cytocascade.benefit import charts, drawings
from cytocascade.benefit.arms import REAL
from cytocascade.benefit.drawings import ReportPictures
from cytocascade.benefit.markup import arm_name
from cytocascade.benefit.results import Benefit
from cytocascade.benefit.verdict import signed
from cytocascade.evaluation.markup import figure, section

_KINDS = {"worst": "gains least", "median": "gains as usual", "best": "gains most"}


def training_section(benefit: Benefit, pictures: ReportPictures) -> str:
    """Return examples of what each arm was trained on; empty without pictures."""
    side, body = drawings.shown_side(pictures), ""
    for arm, images in pictures.training.items():
        shown = [(one.name, drawings.training_pictures(one, side)) for one in images[:2]]
        row = "".join(
            figure(views[view], name if view == "plain" else "with its labels", "picture")
            for name, views in shown
            for view in ("plain", "outlined")
        )
        body += f'<h3>{arm_name(benefit, arm)}</h3>\n<div class="row four">{row}</div>\n' if row else ""
    lead = (
        f"What makes each arm: the real images, or those that are added to them. Shown is the part with most cells, "
        f"{side} px wide, each picture in its own grey range."
        + (" Of volumes, the plane with most cells." if benefit.experiment.dim == 3 else "")
    )
    return section("What was trained on", lead, body, "training") if body else ""


def predictions_section(benefit: Benefit, pictures: ReportPictures) -> str:
    """Return what the arms find in a few test images; empty without pictures."""
    side, body, gains = drawings.shown_side(pictures), "", benefit.gains()
    for test in pictures.tests:
        views, name = drawings.segmented_pictures(test, side), test.annotated.name
        arms = [REAL, benefit.headline, *(arm for arm in views if arm not in (REAL, benefit.headline))]
        row = figure(views.pop("image"), "Image", "picture") + figure(views.pop("reference"), "Reference", "picture")
        for arm in (arm for arm in arms if arm in views):
            score = drawings.image_score(test, arm)
            row += figure(views[arm], f"{charts.look(benefit, arm).title}: SEG {score:.3f}", "picture")
        words = [word for word in (escape(name), _KINDS.get(test.kind, escape(test.kind))) if word]
        words += [f"SEG {signed(gains[name])} by synthetic images"] if name in gains else []
        body += f'<h3>{" &ensp;·&ensp; ".join(words)}</h3>\n<div class="row four">{row}</div>\n'
    if not body:
        return ""
    names = (
        (drawings.FOUND, "found"),
        (drawings.MISSED, "missed"),
        (drawings.INVENTED, "invented"),
        (drawings.MERGED, "joined with another"),
        (drawings.TRUTH, "reference"),
    )
    key = "".join(f'<span class="swatch" style="background:rgb{colour}"></span>{name}' for colour, name in names)
    lead = (
        "Images in which adding synthetic images helps least, as usual, and most; of each the part where it changes "
        "most, for better or worse. Outlines are what a segmenter of the first seed found."
        + (
            " Of volumes, the plane with most cells; cells are judged in the volume."
            if benefit.experiment.dim == 3
            else ""
        )
    )
    return section("What the segmenters find", lead, f"<p>{key}</p>" + body, "predictions")
