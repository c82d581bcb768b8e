from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.benefit.made_up import ARMS, experiment, field, run

from cytocascade.benefit.arms import ordered
from cytocascade.benefit.results import Benefit, Run, read_benefit, write_benefit
from cytocascade.benefit.statistics import difference, interval
from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.instances import summarise

FIELDS = [field(index) for index in range(4)]
NAMES = [one.name for one in FIELDS]
RUNS = [run(arm, seed, FIELDS) for seed in range(2) for arm in ARMS]


@pytest.fixture(scope="module")
def benefit() -> Benefit:
    return Benefit.of(experiment(NAMES), RUNS)


def of_arm(arm: str) -> list[Run]:
    return [one for one in RUNS if one.arm == arm]


def test_json_holds_mean_low_and_high_per_arm_and_metric(benefit: Benefit, tmp_path: Path):
    write_benefit(tmp_path / "benefit.json", benefit)
    found = json.loads((tmp_path / "benefit.json").read_text())
    assert set(found["arms"]) == set(ARMS)
    assert set(found["arms"]["real"]) == {"SEG", "DET", "AP50", "AP75", "AP90", "PQ", "merges", "splits"}
    assert set(found["arms"]["real"]["SEG"]) == {"mean", "low", "high"}
    assert len(found["runs"]) == 12


def test_what_is_written_is_read_back_the_same(benefit: Benefit, tmp_path: Path):
    write_benefit(tmp_path / "benefit.json", benefit)
    again = read_benefit(tmp_path / "benefit.json")
    assert again == benefit
    assert again.order == benefit.order == list(ARMS)


def test_means_and_intervals_are_those_of_the_statistics(benefit: Benefit):
    runs = {arm: [[image.scores for image in one.images] for one in of_arm(arm)] for arm in ARMS}
    assert benefit.arms["real"]["AP50"] == interval(runs["real"], "AP50", seed=0)
    assert benefit.arms["real"]["SEG"].mean == pytest.approx(np.mean([summarise(s)["SEG"] for s in runs["real"]]))
    found = benefit.difference("real+synthetic", "real+copypaste", "PQ")
    assert found is not None
    assert found.absolute == difference(runs["real+copypaste"], runs["real+synthetic"], "PQ", seed=0)


def test_a_difference_is_the_arm_minus_the_other(benefit: Benefit):
    found = benefit.difference("all-real", "real")
    assert found is not None
    gain = benefit.arms["all-real"]["SEG"].mean - benefit.arms["real"]["SEG"].mean
    assert gain > 0
    assert found.absolute.mean == pytest.approx(gain)


def test_the_closed_gap_is_given_only_from_real_towards_the_ceiling(benefit: Benefit):
    given = {(one.arm, one.against) for one in benefit.differences if one.gap_closed is not None}
    assert ("real+synthetic", "real") in given
    assert all(against == "real" and arm != "all-real" for arm, against in given)


def test_the_order_of_runs_does_not_matter(benefit: Benefit):
    assert Benefit.of(experiment(NAMES), RUNS[::-1]) == benefit


def test_incomplete_runs_give_what_they_can_and_name_what_is_missing():
    there = [one for one in RUNS if one.arm in ("real", "real+synthetic") and (one.arm, one.seed) != ("real", 1)]
    part = Benefit.of(experiment(NAMES), there)
    assert part.order == ["real", "real+synthetic"]
    assert {(one.arm, one.against) for one in part.differences} == {("real+synthetic", "real")}
    missing = {(one.arm, one.seed) for one in part.missing}
    assert missing == {(arm, seed) for arm in ARMS for seed in (0, 1)} - {(one.arm, one.seed) for one in there}


def test_without_runs_there_is_a_result_without_arms():
    nothing = Benefit.of(experiment(NAMES), [])
    assert nothing.arms == {}
    assert len(nothing.missing) == 12


def test_two_runs_of_one_arm_and_seed_are_refused():
    with pytest.raises(CytoCascadeError, match="two runs of 'real' with seed 0"):
        Benefit.of(experiment(NAMES), [RUNS[0], RUNS[0]])


def test_a_run_scored_on_other_images_is_refused():
    with pytest.raises(CytoCascadeError, match="'real' with seed 0 was not scored on the test images"):
        Benefit.of(experiment([*NAMES[1:], NAMES[0]]), [RUNS[0]])


def test_scores_are_of_the_validation_images_if_so_said():
    done = experiment(["other"]).model_copy(update={"scored_on": "validation", "validation_images": NAMES})
    assert Benefit.of(done, [RUNS[0]]).order == ["real"]


def test_telling_images_run_from_the_smallest_to_the_largest_gain(benefit: Benefit):
    gains, telling = benefit.gains(), benefit.telling_images()
    assert list(telling.values()) == ["worst", "median", "best"]
    values = [gains[name] for name in telling]
    assert values[0] == min(gains.values())
    assert values[2] == max(gains.values())
    assert values == sorted(values)


def test_a_single_image_is_told_once():
    one = [run(arm, 0, FIELDS[:1]) for arm in ("real", "real+synthetic")]
    assert len(Benefit.of(experiment(NAMES[:1]), one).telling_images()) == 1


def test_per_image_scores_are_means_over_seeds(benefit: Benefit):
    runs = of_arm("synthetic")
    expected = [np.mean([summarise([one.images[i].scores])["SEG"] for one in runs]) for i in range(len(FIELDS))]
    np.testing.assert_allclose(benefit.per_image("synthetic"), expected)


def test_arms_are_shown_in_a_fixed_order_with_amounts_rising():
    shuffled = ["all-real", "mine", "real+synthetic@25", "real", "real+synthetic@5", "real"]
    assert ordered(shuffled) == ["real", "real+synthetic@5", "real+synthetic@25", "all-real", "mine"]


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path):
    with pytest.raises(CytoCascadeError, match=r"cytocascade benefit"):
        read_benefit(tmp_path / "benefit.json")


@pytest.mark.parametrize("text", ["{", "{}", '{"arms": 3}'])
def test_a_damaged_file_is_told_by_name(tmp_path: Path, text: str):
    path = tmp_path / "benefit.json"
    path.write_text(text)
    with pytest.raises(CytoCascadeError, match=r"benefit\.json: This is no result") as caught:
        read_benefit(path)
    assert caught.value.hint


def test_a_damaged_field_is_named(benefit: Benefit, tmp_path: Path):
    path = tmp_path / "benefit.json"
    write_benefit(path, benefit)
    path.write_text(path.read_text().replace('"budget": "20cells"', '"budget": 20', 1))
    with pytest.raises(CytoCascadeError, match=r"experiment\.budget"):
        read_benefit(path)
