from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cytocascade.benefit.statistics import (
    Interval,
    Ratio,
    difference,
    gap_closed,
    interval,
    relative_difference,
    resampled,
)
from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.instances import METRICS, InstanceScores, summarise

Floats = np.ndarray[Any, np.dtype[np.float64]]

NAMES = [metric.name for metric in METRICS]
CELLS = 10_000  # So many that counts stand for any value.


def scored(seg: float, cells: int = CELLS) -> InstanceScores:
    """An image in which every cell is found, with that SEG."""
    return counts(cells, cells, matched_iou=float(seg) * cells)


def counts(reference: int, predicted: int, **others: float) -> InstanceScores:
    values = dict.fromkeys(InstanceScores.model_fields, 0) | others
    return InstanceScores.model_validate(values | {"reference_cells": reference, "predicted_cells": predicted})


def varied(seed: int, images: int = 7) -> list[InstanceScores]:
    """Images of few cells, some of none, with mistakes of all kinds."""
    draw = np.random.default_rng(seed)
    scores = []
    for image in range(images):
        reference, predicted = (
            (0, int(draw.integers(0, 2))) if image % 3 == 0 else (4 + image, int(draw.integers(4, 12)))
        )
        right = min(reference, predicted)
        missed = int(draw.integers(0, reference // 2 + 1))
        tp50 = int(draw.integers(right // 2, right + 1))
        scores.append(
            counts(
                reference,
                predicted,
                matched_iou=(reference - missed) * draw.uniform(0.2, 1),
                false_negatives=missed,
                false_positives=int(draw.integers(0, predicted // 2 + 1)),
                merges=int(draw.integers(0, right // 2 + 1)),
                splits=int(draw.integers(0, 3)),
                true_positives_50=tp50,
                true_positives_75=tp50 // 2,
                true_positives_90=tp50 // 3,
                true_positive_iou=tp50 * draw.uniform(0.5, 1),
            )
        )
    return scores


def simulated(
    draw: np.random.Generator, means: Sequence[float], *, images: int, seeds: int, spreads: tuple[float, float, float]
) -> list[list[list[InstanceScores]]]:
    """Runs of arms that find the same images hard: spreads over images, over seeds, and of single results."""
    hard = draw.normal(0, spreads[0], images)
    return [
        [[scored(value) for value in mean + hard + draw.normal(0, spreads[1]) + draw.normal(0, spreads[2], images)]
         for _ in range(seeds)]
        for mean in means
    ]  # fmt: skip


def width(found: Interval | Ratio) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


@pytest.mark.parametrize("name", NAMES)
def test_many_resampled_sets_are_what_summarise_gives_for_each(name: str) -> None:
    scores = varied(3)
    weights = np.random.default_rng(0).multinomial(len(scores), np.full(len(scores), 1 / len(scores)), size=40)
    weights = np.concatenate([weights, [[3, 0, 0, 0, 0, 0, 0]], np.ones((1, 7), int)])
    repeated = [[score for score, times in zip(scores, row) for _ in range(times)] for row in weights]
    expected = [summarise(some)[name] for some in repeated]
    assert len(set(expected)) > 10
    np.testing.assert_allclose(resampled(scores, weights, name), expected, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_is_that_of_summarise_over_seeds_and_lies_in_its_interval(name: str) -> None:
    runs = [varied(seed) for seed in (0, 1)]
    found = interval(runs, name, seed=0, draws=200)
    assert found.mean == pytest.approx(np.mean([summarise(scores)[name] for scores in runs]))
    assert found.low <= found.mean <= found.high
    assert 0 <= found.low < found.high


@pytest.mark.parametrize("spreads", [(0.1, 0.0, 0.02), (0.05, 0.03, 0.02), (0.02, 0.05, 0.01)])
def test_the_interval_of_three_seeds_holds_the_true_mean_in_about_95_percent(
    spreads: tuple[float, float, float],
) -> None:
    draw, held = np.random.default_rng(5), []
    for trial in range(400):
        (runs,) = simulated(draw, [0.5], images=20, seeds=3, spreads=spreads)
        found = interval(runs, "SEG", seed=trial, draws=300)
        held.append(found.low <= 0.5 <= found.high)
    # 400 trials of 95 % lie in 0.92 to 0.98; resampling three seeds holds it in 77 % in the last case.
    assert 0.92 <= np.mean(held) <= 0.985


@pytest.mark.parametrize("steadier", [1, 5])
def test_the_difference_of_two_arms_of_three_seeds_holds_the_true_one_in_about_95_percent(steadier: int) -> None:
    draw, held = np.random.default_rng(6), []
    for trial in range(400):
        hard = draw.normal(0, 0.1, 20)
        a, b = (
            [
                [scored(value) for value in mean + hard + spread * draw.normal() + draw.normal(0, 0.01, 20)]
                for _ in "123"
            ]
            for mean, spread in ((0.5, 0.03), (0.56, 0.03 / steadier))
        )
        found = difference(a, b, "SEG", seed=trial, draws=300)
        held.append(found.low <= 0.06 <= found.high)
    assert 0.92 <= np.mean(held) <= 0.985


def test_a_paired_difference_is_narrower_than_one_of_other_images() -> None:
    draw = np.random.default_rng(1)
    a, b = simulated(draw, [0.5, 0.6], images=30, seeds=3, spreads=(0.1, 0.005, 0.01))
    (other,) = simulated(draw, [0.6], images=30, seeds=3, spreads=(0.1, 0.005, 0.01))
    paired, unpaired = difference(a, b, "SEG", seed=0), difference(a, other, "SEG", seed=0)
    assert width(paired) < 0.5 * width(unpaired)
    assert width(paired) < 0.5 * width(interval(a, "SEG", seed=0))
    assert 0.08 < paired.low < paired.mean < paired.high < 0.12


def test_an_arm_of_one_seed_has_the_spread_of_the_other_arm() -> None:
    a, b = simulated(np.random.default_rng(1), [0.5, 0.6], images=30, seeds=4, spreads=(0.1, 0.03, 0.0))
    one = difference(a, b[:1], "SEG", seed=0)
    assert width(one) > 1.2 * width(difference(a, b, "SEG", seed=0))
    assert one.low < 0.1 < one.high


def test_one_seed_and_one_image_have_no_spread_to_measure() -> None:
    found = interval([[scored(0.7)]], "SEG", seed=0)
    assert found == Interval(mean=0.7, low=0.7, high=0.7)
    assert width(interval([[scored(0.7)], [scored(0.8)], [scored(0.9)]], "SEG", seed=0)) > 0.2
    assert width(interval([[scored(0.7), scored(0.8), scored(0.9)]], "SEG", seed=0)) == pytest.approx(0.2)


def test_the_width_over_images_is_that_of_the_unbiased_standard_error() -> None:
    values = np.array([0.3, 0.42, 0.5, 0.53, 0.6, 0.65])
    found = interval([[scored(value) for value in values]], "SEG", seed=0, draws=20_000)
    assert width(found) == pytest.approx(2 * 1.96 * values.std(ddof=1) / np.sqrt(6), rel=0.04)


def test_large_images_weigh_more_in_pooled_measures() -> None:
    assert interval([[scored(0.2, cells=30), scored(0.6, cells=10)]], "SEG", seed=0).mean == pytest.approx(0.3)


def test_a_measure_stays_within_its_range() -> None:
    runs = [[scored(value), scored(value)] for value in (0.9, 0.999, 0.8)]
    found = interval(runs, "SEG", seed=0)
    assert found.high == 1


def test_a_lower_confidence_is_narrower() -> None:
    (runs,) = simulated(np.random.default_rng(0), [0.5], images=10, seeds=3, spreads=(0.1, 0.02, 0.0))
    assert width(interval(runs, "SEG", seed=0, confidence=0.5)) < 0.5 * width(interval(runs, "SEG", seed=0))


def test_a_gain_of_nine_percent_is_told_as_such() -> None:
    a, b = [[scored(0.5), scored(0.7)]] * 2, [[scored(0.545), scored(0.763)]] * 2
    found = relative_difference(a, b, "SEG", seed=0)
    assert found is not None
    assert found.mean == pytest.approx(0.09)
    assert found.low == pytest.approx(0.09)
    assert found.high == pytest.approx(0.09)


def test_nothing_is_told_relative_to_zero() -> None:
    a, b = [[scored(0.5), scored(0.7)]], [[scored(0.5), scored(0.8)]]
    assert relative_difference(a, b, "merges", seed=0) is None


def test_the_gap_closed_of_a_case_by_hand() -> None:
    arms = [[[scored(value), scored(value - 0.2)]] for value in (0.6, 0.75, 0.8)]
    found = gap_closed(arms[0], arms[1], arms[2], "SEG", seed=0)
    assert found is not None
    assert found.mean == pytest.approx(0.75)
    assert found.low == pytest.approx(0.75)
    assert gap_closed(arms[2], arms[1], arms[0], "SEG", seed=0) is None
    assert gap_closed(arms[0], arms[1], arms[0], "SEG", seed=0) is None


def test_a_gap_in_mistakes_is_closed_downwards() -> None:
    real, synthetic, ceiling = ([[counts(100, 100, splits=splits)] * 2] for splits in (30, 15, 10))
    found = gap_closed(real, synthetic, ceiling, "splits", seed=0)
    assert found is not None
    assert found.mean == pytest.approx(0.75)
    assert gap_closed(ceiling, synthetic, real, "splits", seed=0) is None


def test_the_share_of_a_gap_that_may_be_none_is_unbounded() -> None:
    draw = np.random.default_rng(2)
    small = simulated(draw, [0.5, 0.505, 0.51], images=10, seeds=3, spreads=(0.1, 0.03, 0.01))
    small[2] = [[scored(score.matched_iou / CELLS + 0.01) for score in run] for run in small[0]]
    found = gap_closed(*small, "SEG", seed=0)
    assert found is not None
    assert found.low is None
    assert found.high is None
    large = simulated(draw, [0.5, 0.7, 0.75], images=10, seeds=3, spreads=(0.1, 0.01, 0.01))
    found = gap_closed(*large, "SEG", seed=0)
    assert found is not None
    assert 0.6 < (found.low or 0) < 0.8 < (found.high or 9) < 1


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    (runs,) = simulated(np.random.default_rng(0), [0.5], images=10, seeds=3, spreads=(0.1, 0.02, 0.0))
    assert interval(runs, "SEG", seed=1) == interval(runs, "SEG", seed=1)
    assert interval(runs, "SEG", seed=1) != interval(runs, "SEG", seed=2)


def test_an_interval_survives_json() -> None:
    found = interval([varied(0)], "PQ", seed=0, draws=50)
    assert json.loads(found.model_dump_json()).keys() == {"mean", "low", "high"}
    assert Interval.model_validate_json(found.model_dump_json()) == found


def test_runs_on_other_images_are_refused() -> None:
    with pytest.raises(CytoCascadeError, match="same images"):
        interval([varied(0), varied(0)[:-1]], "SEG", seed=0)
    with pytest.raises(CytoCascadeError, match="same images"):
        difference([varied(0)], [varied(0)[::-1]], "SEG", seed=0)


def test_runs_without_images_unknown_measures_and_impossible_wishes_are_refused() -> None:
    for runs in ([], [[]]):
        with pytest.raises(CytoCascadeError, match="no scored runs"):
            interval(runs, "SEG", seed=0)
    with pytest.raises(CytoCascadeError, match="DICE"):
        interval([varied(0)], "DICE", seed=0)
    with pytest.raises(CytoCascadeError, match="confidence"):
        interval([varied(0)], "SEG", seed=0, confidence=95)
    with pytest.raises(CytoCascadeError, match="draws"):
        interval([varied(0)], "SEG", seed=0, draws=0)
