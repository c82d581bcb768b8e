"""Gathers the pictures of the report from the folder of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

from cytocascade.benefit.drawings import ReportPictures, TestPicture
from cytocascade.benefit.material import kept_images
from cytocascade.benefit.options import Arm
from cytocascade.benefit.page import write_page
from cytocascade.benefit.results import Benefit
from cytocascade.benefit.training import Job, Laboratory, load_predictions
from cytocascade.types import AnnotatedImage

EXAMPLES = 4
"""Training images shown of each arm."""


def write_report(benefit: Benefit, laboratory: Laboratory, arms: Sequence[Arm]) -> None:
    """Write ``index.html`` beside ``benefit.json``.

    Parameters
    ----------
    benefit : Benefit
        What was found, with at least one run.
    laboratory : Laboratory
        Where images and predictions are kept.
    arms : sequence of Arm
        The arms that were asked for.
    """
    there = [arm for arm in arms if arm.name in benefit.arms]
    pictures = ReportPictures(
        training={arm.name: _examples(arm, laboratory) for arm in there},
        tests=_tests(benefit, laboratory, there),
    )
    write_page(benefit, pictures, laboratory.out)


def _examples(arm: Arm, laboratory: Laboratory) -> list[AnnotatedImage]:
    """Return images of an arm: added ones if it has any, as the real ones are shown for the arm ``real``."""
    if arm.source is None:
        return list(laboratory.real_images(arm)[:EXAMPLES])
    count = min(EXAMPLES, laboratory.added_count(arm))
    return kept_images(laboratory.folder_of(arm.source), count, laboratory.split.budget[0])


def _tests(benefit: Benefit, laboratory: Laboratory, arms: Sequence[Arm]) -> list[TestPicture]:
    """Return the images in which synthetic data helped least, ordinarily and most, with what every arm found."""
    predicted = {arm.name: load_predictions(Job(arm, 0), laboratory) for arm in arms}
    predicted = {name: found for name, found in predicted.items() if found}
    order = list(benefit.telling_images())
    pictures = {
        image.name: TestPicture(image, {name: found[number] for name, found in predicted.items()})
        for number, image in enumerate(laboratory.scored)
        if image.name in order
    }
    return [pictures[name] for name in order if name in pictures]
