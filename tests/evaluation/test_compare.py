from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation import Evaluation, Pictures, evaluate, evaluate_folders
from cytocascade.evaluation.compare import _measured

from .scenes import scene, scenes

Result = tuple[Evaluation, Pictures]


def row(evaluation: Evaluation, words: str) -> tuple[float, str]:
    found = next(row for row in evaluation.summary if words in row.name)
    return found.value, found.verdict


def test_two_sets_of_one_kind_meet_every_goal(alike: Result) -> None:
    missed = [row for row in alike[0].summary if row.verdict == "missed"]
    assert missed == []


def test_two_sets_of_one_kind_differ_no_more_than_real_halves(alike: Result) -> None:
    for feature in alike[0].features[:5]:
        assert feature.distance.value < 2 * feature.distance.floor + 0.05, feature.name


def test_larger_cells_are_seen_in_the_area_and_nowhere_near_in_the_neighbours(different: Result) -> None:
    distances = {feature.name: feature.distance for feature in different[0].features}
    assert distances["area"].value > 1.0
    assert distances["area"].value > 5 * distances["area"].floor
    assert distances["nearest_neighbour_distance"].value < 0.25


def test_smoother_cells_are_told_apart(different: Result) -> None:
    accuracy, verdict = row(different[0], "telling real from synthetic")
    assert accuracy > 0.95
    assert verdict == "missed"


def test_shifted_labels_lower_the_faithfulness(alike: Result, different: Result) -> None:
    assert different[0].faithfulness.edge_ratio.value < 0.8 * alike[0].faithfulness.edge_ratio.value
    assert different[0].faithfulness.dice_ratio.value < 0.9
    assert row(different[0], "Re-segmentation")[1] == "missed"


def test_the_same_images_on_both_sides_are_at_distance_zero_and_all_copies() -> None:
    images = scenes(0, 6)
    evaluation = evaluate(images, images, features="none")
    assert all(feature.distance.value == 0 for feature in evaluation.features)
    assert evaluation.field_spectrum.distance.value == pytest.approx(0, abs=1e-9)
    assert evaluation.two_sample.accuracy.value < 0.6
    assert evaluation.faithfulness.dice_ratio.value == 1
    assert evaluation.memorisation.verdict == "missed"


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (evaluate(scenes(0, 4), scenes(50, 3), seed=3, features="none") for _ in range(2))
    assert first == second


def test_progress_names_each_step_and_rises_to_one() -> None:
    steps: list[tuple[str, float]] = []
    evaluate(scenes(0, 3), scenes(9, 2), features="none", progress=lambda step, done: steps.append((step, done)))
    fractions = [done for _, done in steps]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert len({step for step, _ in steps}) == len(steps)


def test_one_real_image_is_cut_in_two_and_the_report_says_so() -> None:
    (real, _, _), _, notes = _measured(scenes(0, 1, side=192), scenes(9, 2), None, 0)
    assert len(real.images) == 2
    assert any("left and right halves" in note for note in notes)


def test_unknown_pixel_size_of_one_set_means_pixels_for_both() -> None:
    (real, synthetic, _), unit, _ = _measured(scenes(0, 3), scenes(9, 3, known=False), None, 0)
    areas = [one.images[0].table.values["area"].mean() for one in (real, synthetic)]
    assert unit == "px"
    assert areas[0] == pytest.approx(areas[1], rel=0.3)
    assert _measured(scenes(0, 3), scenes(9, 3), None, 0)[1] == "µm"


def test_pixel_sizes_that_differ_are_pointed_out() -> None:
    _, _, notes = _measured(scenes(0, 3), scenes(9, 3, spacing=1.0), None, 0)
    assert any("Pixel sizes differ" in note for note in notes)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ([], "no image"),
        ([replace(scene(1), image=np.zeros((4, 128, 128)), labels=np.zeros((4, 128, 128), int))], "'001' has 3 axes"),
        ([replace(scene(1), labels=np.zeros((9, 9), int))], r"its labels \(9, 9\)"),
        ([replace(scene(1), image=np.full((128, 128), np.nan))], "NaN"),
        ([replace(scene(1), labels=np.zeros((128, 128), np.uint16))], "synthetic set has 0 complete cells"),
    ],
)
def test_bad_synthetic_images_are_refused_in_words(spoilt: list, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(CytoCascadeError, match=words):
        evaluate(scenes(0, 2), spoilt, features="none")


def test_folders_are_read_and_reported(tmp_path: Path) -> None:
    for side, start in (("real", 0), ("synthetic", 60)):
        for image in scenes(start, 2):
            for kind, pixels in (("images", image.image), ("masks", image.labels)):
                (tmp_path / side / kind).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(tmp_path / side / kind / f"{image.name}.tif", pixels)
    evaluation = evaluate_folders(
        tmp_path / "real", tmp_path / "synthetic", tmp_path / "out", spacing=(0.5, 0.5), features="none"
    )
    assert evaluation.unit == "µm"
    written = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert Evaluation.model_validate(written) == evaluation
