from __future__ import annotations

import pytest
from tests.benefit.made_up import experiment

from cytocascade.benefit.results import Benefit, ImageResult, Run
from cytocascade.benefit.verdict import goal
from cytocascade.evaluation.instances import InstanceScores

IMAGES = 6


def scores(overlap: float) -> InstanceScores:
    """Ten cells, all found with the same overlap; SEG is that overlap."""
    return InstanceScores(
        reference_cells=10,
        predicted_cells=10,
        matched_iou=10 * overlap,
        false_negatives=0,
        false_positives=0,
        merges=0,
        splits=0,
        true_positives_50=10,
        true_positives_75=0,
        true_positives_90=0,
        true_positive_iou=10 * overlap,
    )


def measured(
    seg: dict[str, float], *, spread: float = 0.01, seeds: int = 2, wanted: int | None = None, **changes: object
) -> Benefit:
    """A benefit whose arms reach these SEG; images vary by `spread`, in each arm in its own order."""
    names = [f"image {index}" for index in range(IMAGES)]
    runs = []
    for place, (arm, mean) in enumerate(seg.items()):
        for seed in range(seeds):
            offsets = [spread * ((index * (place + 1) + seed) % IMAGES - (IMAGES - 1) / 2) for index in range(IMAGES)]
            mid = sum(offsets) / IMAGES
            images = [ImageResult(name=n, scores=scores(mean + o - mid)) for n, o in zip(names, offsets)]
            runs.append(
                Run(
                    arm=arm,
                    seed=seed,
                    steps=10,
                    seconds_training=1.0,
                    seconds_testing=1.0,
                    training_images=1,
                    training_cells=20,
                    curve=[],
                    images=images,
                )
            )
    done = experiment(names, seeds=seeds if wanted is None else wanted, arms=tuple(seg)).model_copy(update=changes)
    return Benefit.of(done, runs)


GOOD = {"real": 0.70, "real+copypaste": 0.72, "real+simulator": 0.73, "real+synthetic": 0.78, "all-real": 0.80}


def test_a_clear_gain_is_told_with_interval_gap_and_baselines():
    words = measured(GOOD).verdict
    assert words.startswith("Adding synthetic images raises SEG from 0.700 to 0.780 (+11.4 %, 95 % interval +")
    assert "it closes 80 % of the gap to training on all 24 images." in words
    assert words.endswith("Copy-paste reached 0.720, the simulator 0.730.")


def test_the_interval_decides_whether_a_gain_is_clear():
    words = measured({"real": 0.60, "real+synthetic": 0.61, "all-real": 0.8}, spread=0.1).verdict
    assert "makes no clear difference: SEG is 0.600 without and 0.610 with them (+1.7 %" in words
    assert "the interval includes zero" in words
    assert "gap" not in words


def test_harm_is_called_harm():
    words = measured({"real": 0.80, "real+synthetic": 0.70}).verdict
    assert words.startswith("Adding synthetic images lowers SEG from 0.800 to 0.700 (−12.5 %")


@pytest.mark.parametrize(
    ("copypaste", "expected"),
    [(0.85, "Copy-paste did clearly better than synthetic images."), (0.70, None)],
)
def test_a_better_baseline_is_admitted(copypaste: float, expected: str | None):
    words = measured({"real": 0.70, "real+copypaste": copypaste, "real+synthetic": 0.75}).verdict
    assert (expected in words) if expected else ("better" not in words)


def test_a_baseline_within_the_uncertainty_is_not_called_clearly_better():
    words = measured({"real": 0.5, "real+simulator": 0.71, "real+synthetic": 0.70}, spread=0.08).verdict
    assert "The simulator reached 0.710. The simulator did slightly better, within the uncertainty." in words


def test_reaching_the_ceiling_is_said_without_more_than_a_hundred_percent():
    words = measured({"real": 0.6, "real+synthetic": 0.82, "all-real": 0.8}).verdict
    assert "that is as much as training on all 24 images gives (0.800)" in words


def test_a_ceiling_below_real_alone_leaves_no_gap():
    benefit = measured({"real": 0.6, "real+synthetic": 0.7, "all-real": 0.58})
    assert "does not even reach real alone (0.580)" in benefit.verdict
    assert goal(benefit).gap_closed is None
    assert goal(benefit).closes_enough is False


def test_scores_of_validation_images_are_announced():
    names = [f"image {index}" for index in range(IMAGES)]
    words = measured(GOOD, scored_on="validation", validation_images=names).verdict
    assert words.startswith("On the validation images, adding synthetic images raises")


def test_missing_arms_leave_no_answer_and_say_which():
    assert measured({"real": 0.7}).verdict == "No answer yet: there are no runs of “real+synthetic”."
    assert measured({}).verdict == "No answer yet: there are no runs of “real” and “real+synthetic”."


def test_missing_seeds_and_single_seeds_are_cautioned():
    words = measured({"real": 0.6, "real+synthetic": 0.7}, seeds=1, wanted=3).verdict
    assert "Preliminary: 4 of 6 runs are missing." in words
    assert "One segmenter per arm was trained" in words


def test_the_verdict_is_about_the_largest_amount_where_amounts_are_swept():
    words = measured({"real": 0.6, "real+synthetic@25": 0.75, "real+synthetic@5": 0.7}).verdict
    assert words.startswith("Adding synthetic images (25 times the real) raises SEG from 0.600 to 0.750")


def test_the_goal_is_met_by_the_gain_or_by_the_gap():
    by_both = goal(measured(GOOD))
    assert by_both.met
    assert by_both.raises_enough
    assert by_both.closes_enough
    assert by_both.relative_gain == pytest.approx(0.08 / 0.70)
    assert by_both.gap_closed == pytest.approx(0.8)
    near = dict.fromkeys(("real+copypaste", "real+simulator"), 0.91)
    by_gap = goal(measured({"real": 0.90, "real+synthetic": 0.93, "all-real": 0.94, **near}))
    assert (by_gap.raises_enough, by_gap.closes_enough, by_gap.met) == (False, True, True)


def test_the_goal_is_missed_where_a_baseline_gains_more():
    found = goal(measured({**GOOD, "real+copypaste": 0.79}))
    assert found.met is False
    assert found.beats_copypaste is False
    assert found.over_copypaste == pytest.approx(-0.01)
    assert found.beats_simulator is True


def test_the_goal_is_open_while_arms_are_missing_that_could_decide_it():
    without_simulator = {arm: seg for arm, seg in GOOD.items() if arm != "real+simulator"}
    assert goal(measured(without_simulator)).met is None
    small = {**GOOD, "real+synthetic": 0.74}
    del small["all-real"]
    assert goal(measured(small)).met is None
    assert goal(measured({**small, "real+copypaste": 0.79})).met is False
