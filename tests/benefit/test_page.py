from __future__ import annotations

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image
from tests.benefit.made_up import benefit, field, found

from cytocascade.benefit import charts, drawings
from cytocascade.benefit.arms import ARMS
from cytocascade.benefit.charts import LOOKS, look
from cytocascade.benefit.drawings import ReportPictures, mistakes, segmented_pictures, shown_plane
from cytocascade.benefit.gallery import predictions_section, training_section
from cytocascade.benefit.page import page, write_page
from cytocascade.benefit.results import Benefit
from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.instances import instance_scores
from cytocascade.types import Array

ALL = ("real", "real+synthetic", "all-real")


@pytest.fixture(scope="module")
def made() -> tuple[Benefit, ReportPictures]:
    return benefit(images=3, arms=ALL, side=72)


@pytest.fixture(scope="module")
def html(made: tuple[Benefit, ReportPictures], tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("page") / "new"
    write_page(*made, out)
    return (out / "index.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_else(html: str):
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "url(" not in html


def test_the_verdict_stands_on_top_of_everything(html: str, made: tuple[Benefit, ReportPictures]):
    first = made[0].verdict.partition(". ")[0].rstrip(".").replace(" %", "&nbsp;%")
    assert f'<p class="verdict">{first}.</p>' in html
    assert html.index('class="verdict"') < html.index("<section")


def test_every_section_is_there(html: str):
    sections = re.findall(r'<section id="([\w-]+)">', html)
    assert sections == [
        "summary",
        "scores",
        "differences",
        "images",
        "curves",
        "training",
        "predictions",
        "per-image",
        "method",
    ]


def test_the_table_shows_every_mean_and_interval(html: str, made: tuple[Benefit, ReportPictures]):
    for arm in ALL:
        one = made[0].arms[arm]["SEG"]
        assert f"{one.mean:.3f}" in html
        assert f"{one.low:.3f} – {one.high:.3f}" in html


def test_pictures_are_shown_of_every_arm(html: str, made: tuple[Benefit, ReportPictures]):
    training = html[html.index('id="training"') : html.index('id="predictions"')]
    predictions = html[html.index('id="predictions"') : html.index('id="per-image"')]
    assert training.count("<img") == 2 * 2 * len(ALL)
    assert predictions.count("<img") == len(made[1].tests) * (2 + len(ALL))
    for picture in re.findall(r"base64,([^\"]+)", predictions):
        assert max(Image.open(io.BytesIO(base64.b64decode(picture))).size) == drawings.SIDE


def test_the_method_names_data_window_base_machine_and_version(html: str):
    method = html[html.index('id="method"') :]
    for words in (
        "made-up-nuclei",
        "about 20 cells",
        "rows 0 to 95, columns 0 to 95 of train 000",
        "cellpose 3.1.1.3",
        "no image of this data set",
        "2 cores, x86_64, no GPU",
        "CytoCascade 0.4.0, 2025-11-25",
    ):
        assert words in method


def test_names_cannot_inject_markup(made: tuple[Benefit, ReportPictures]):
    result, pictures = made
    bad = "<script>alert(1)</script>"
    runs = [
        one.model_copy(update={"images": [one.images[0].model_copy(update={"name": bad}), *one.images[1:]]})
        for one in result.runs_of("real")
    ]
    done = result.experiment
    changed = done.model_copy(
        update={"data": [bad], "machine": bad, "training_images": [bad], "test_images": [bad, *done.test_images[1:]]}
    )
    shown = dataclasses.replace(pictures.tests[0].annotated, name=bad)
    tests = [dataclasses.replace(pictures.tests[0], annotated=shown)]
    text = page(Benefit.of(changed, runs), ReportPictures({"real": [shown]}, tests))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 5


def test_an_incomplete_experiment_says_what_is_missing(made: tuple[Benefit, ReportPictures]):
    result = Benefit.of(made[0].experiment, [run for run in made[0].runs if (run.arm, run.seed) == ("real", 0)])
    text = page(result, ReportPictures())
    assert "No answer yet" in text
    assert "Missing: real, seed 1" in text
    assert "Missing: all-real, seed 0, 1" in text
    assert 'id="differences"' not in text
    assert 'id="predictions"' not in text


def test_an_experiment_without_runs_still_has_a_page(made: tuple[Benefit, ReportPictures]):
    text = page(Benefit.of(made[0].experiment, []), ReportPictures())
    assert re.findall(r'<section id="([\w-]+)">', text) == ["method"]


def test_the_same_experiment_gives_the_same_pictures(made: tuple[Benefit, ReportPictures]):
    assert charts.paired_images(made[0]) == charts.paired_images(made[0])
    assert segmented_pictures(made[1].tests[0], 64) == segmented_pictures(made[1].tests[0], 64)


def test_volumes_are_shown_by_the_plane_with_most_cells():
    labels = np.zeros((5, 20, 20), dtype=np.uint16)
    labels[1:4, 2:6, 2:6], labels[3, 10:14, 10:14] = 1, 2
    image = np.arange(5)[:, None, None] * np.ones((5, 20, 20))
    assert shown_plane(image, labels)[0, 0] == 3
    labels[3] = 0
    assert shown_plane(image, labels)[0, 0] in (1, 2)
    assert shown_plane(image[0], labels[0]).shape == (20, 20)


def test_pictures_of_volumes_say_which_plane_they_show():
    result, pictures = benefit(images=1, seeds=1, arms=("real", "real+synthetic"), planes=5, side=60)
    for text in (training_section(result, pictures), predictions_section(result, pictures)):
        assert "plane with most cells" in text
        assert "<img" in text


def pixels(picture: bytes) -> Array:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def near(picture: bytes, colour: tuple[int, int, int]) -> int:
    """Count pixels of a colour; the palette is searched in steps of a few grey levels."""
    return int((np.abs(pixels(picture) - colour).max(axis=2) <= 8).sum())


def test_mistakes_are_drawn_in_their_colours():
    one = field(1, side=96)
    cells = np.unique(one.labels)[1:]
    missed, joined = one.labels.copy(), one.labels.copy()
    missed[one.labels == cells[0]] = 0
    joined[one.labels == cells[1]] = cells[0]
    invented = one.labels.copy()
    free = np.argwhere(one.labels == 0)[0]
    invented[free[0] : free[0] + 5, free[1] : free[1] + 5] = 99
    kinds = {"right": one.labels, "missed": missed, "joined": joined, "invented": invented}
    views = segmented_pictures(drawings.TestPicture(one, kinds), 96)
    drawn = {
        name: {
            colour: near(views[name], colour) > 0
            for colour in (drawings.MISSED, drawings.MERGED, drawings.INVENTED, drawings.FOUND)
        }
        for name in kinds
    }
    assert list(drawn["right"].values()) == [False, False, False, True]
    assert list(drawn["missed"].values()) == [True, False, False, True]
    assert list(drawn["joined"].values()) == [False, True, False, True]
    assert list(drawn["invented"].values()) == [False, False, True, True]


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_marked_cells_are_those_that_the_measures_count(share: float):
    for index in range(4):
        reference = field(index).labels
        predicted = found(reference, share, index)
        scores, wrong = instance_scores(reference, predicted), mistakes(reference, predicted)
        assert len(wrong.missed) == scores.false_negatives
        assert len(wrong.invented) == scores.false_positives
        assert (len(wrong.merged) > 0) == (scores.merges > 0)


def test_the_part_that_is_shown_is_where_the_arms_differ():
    labels = np.zeros((100, 100), dtype=np.uint16)
    labels[5:15, 5:15], labels[80:90, 80:90] = 1, 2
    one = dataclasses.replace(field(0), image=labels * 50, labels=labels)
    without = np.where(labels == 2, 0, labels)
    views = segmented_pictures(drawings.TestPicture(one, {"real": without, "real+synthetic": labels}), 40)
    assert near(views["real"], drawings.MISSED) > 0
    assert near(views["real+synthetic"], drawings.FOUND) > 0


def test_labels_of_another_shape_are_refused():
    one = field(0)
    with pytest.raises(CytoCascadeError, match="'real' found in 'frame 000' has the shape"):
        segmented_pictures(drawings.TestPicture(one, {"real": one.labels[:50]}), 64)


def test_every_known_arm_has_a_colour_of_its_own(made: tuple[Benefit, ReportPictures]):
    assert set(LOOKS) == set(ARMS)
    assert len({one.colour for one in LOOKS.values()}) == len(ARMS)
    assert look(made[0], "real+synthetic@5").colour == LOOKS["real+synthetic"].colour
    assert look(made[0], "real+synthetic@5").title == "Real + synthetic × 5"
