from __future__ import annotations

import builtins
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.instances import METRICS, InstanceScores, instance_scores, metric_named, summarise

Labels = np.ndarray[Any, Any]


def field(seed: int, shape: tuple[int, ...], side: int, count: int) -> Labels:
    draw = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for label in range(1, count + 1):
        corner = [draw.integers(0, length - 2) for length in shape]
        labels[tuple(slice(start, start + draw.integers(2, side + 1)) for start in corner)] = label
    return labels


def found(reference: Labels, seed: int) -> Labels:
    """Cells moved, merged, cut, missed and invented."""
    draw = np.random.default_rng(seed)
    moved = np.roll(reference, draw.integers(-1, 2, reference.ndim), axis=tuple(range(reference.ndim)))
    table = np.arange(reference.max() + 1)
    table[1:][draw.random(len(table) - 1) < 0.15] = 0
    merged = 1 + np.flatnonzero(draw.random(len(table) - 1) < 0.3)
    table[merged[1::2]] = table[merged[: 2 * (len(merged) // 2) : 2]]
    result = table[moved]
    cut = np.isin(result, 1 + np.flatnonzero(draw.random(len(table) - 1) < 0.3))
    result[cut & (np.indices(result.shape)[-1] % 8 < 3)] += len(table)
    result[tuple(slice(0, 3) for _ in result.shape)] = 3 * len(table)
    return result.astype(np.uint16)


def scenes(shape: tuple[int, ...] = (40, 48), side: int = 9, count: int = 16) -> list[tuple[Labels, Labels]]:
    references = [field(seed, shape, side, count) for seed in range(6)]
    return [(reference, found(reference, seed)) for seed, reference in enumerate(references)]


def rows(*texts: str) -> Labels:
    return np.array([[int(letter) for letter in text] for text in texts], dtype=np.uint8)


@pytest.mark.parametrize(("shape", "side", "count"), [((40, 48), 9, 16), ((8, 24, 24), 7, 12)])
def test_seg_and_det_are_those_of_the_cell_tracking_challenge(
    tmp_path: Path, shape: tuple[int, ...], side: int, count: int
) -> None:
    pytest.importorskip("ctc_metrics", reason="py-ctcmetrics is not installed: cytocascade[segment]")
    from ctc_metrics.metrics import det, seg
    from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations, match

    pairs = scenes(shape, side, count)
    pairs.append((np.zeros_like(pairs[0][0]), pairs[0][1]))
    matches = []
    for index, (reference, predicted) in enumerate(pairs):
        paths = tmp_path / f"man_seg{index}.tif", tmp_path / f"mask{index}.tif"
        for path, labels in zip(paths, (reference, predicted)):
            tifffile.imwrite(path, labels)
        matches.append(match(*(str(path) for path in paths)))
    labels_ref, labels_comp, mapped_ref, mapped_comp, ious = (list(column) for column in zip(*matches))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        wrong = count_acyclic_graph_correction_operations(None, None, labels_ref, labels_comp, mapped_ref, mapped_comp)

    scores = [instance_scores(*pair) for pair in pairs]
    assert sum(score.merges for score in scores) == wrong["NS"] > 0
    assert sum(score.false_negatives for score in scores) == wrong["FN"] > 0
    assert sum(score.false_positives for score in scores) == wrong["FP"] > 0
    measures = summarise(scores)
    assert measures["SEG"] == pytest.approx(seg(labels_ref, ious), abs=1e-12)
    assert measures["DET"] == pytest.approx(det(**wrong), abs=1e-12)


def numbered(labels: Labels) -> Labels:
    """Cellpose counts labels by their largest."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def test_average_precision_is_that_of_cellpose(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = pytest.importorskip("cellpose.metrics", reason="cellpose is not installed: cytocascade[segment]")
    # Compiling its loop takes longer than running it as it is.
    monkeypatch.setattr(metrics, "_label_overlap", metrics._label_overlap.py_func)
    # Cells in exact halves have two partners of IoU 0.5; only one may count.
    halves = [(rows("1111", "0000"), rows("1122", "0000")), (rows("1122", "3300"), rows("1111", "2222"))]
    pairs = [(numbered(a), numbered(b)) for a, b in [*scenes(), *scenes((8, 24, 24), 7, 12), *halves]]
    precision, right, _, _ = metrics.average_precision([a for a, _ in pairs], [b for _, b in pairs], [0.5, 0.75, 0.9])
    scores = [instance_scores(*pair) for pair in pairs]
    ours = [[score.true_positives_50, score.true_positives_75, score.true_positives_90] for score in scores]
    assert np.all(right.sum(axis=0) > 0)
    np.testing.assert_array_equal(ours, right)
    measures = summarise(scores)
    np.testing.assert_allclose([measures[name] for name in ("AP50", "AP75", "AP90")], precision.mean(axis=0), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[arrays(np.uint8, (4, 5), elements=st.integers(0, 3))] * 2))
@example((rows("1122", "0330"), rows("1233", "0330")))
@example((rows("1233", "0000"), rows("1122", "0000")))
def test_one_pair_per_cell_is_as_many_as_the_best_assignment(pair: tuple[Labels, Labels]) -> None:
    from scipy.optimize import linear_sum_assignment

    reference, predicted = pair
    iou = np.zeros((3, 3))
    for row, column in np.ndindex(3, 3):
        a, b = reference == row + 1, predicted == column + 1
        iou[row, column] = (a & b).sum() / max(1, (a | b).sum())
    # As in cellpose.metrics._true_positive.
    matched = iou[linear_sum_assignment(-(iou >= 0.5).astype(float) - iou / 6)]
    score = instance_scores(reference, predicted)
    assert score.true_positives_50 == (matched >= 0.5).sum()
    assert score.true_positive_iou == pytest.approx(matched[matched >= 0.5].sum())


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[arrays(np.uint16, (3, 4, 5), elements=st.integers(0, 4))] * 2), st.permutations(range(1, 5)))
def test_new_numbers_and_flips_change_nothing(pair: tuple[Labels, Labels], order: list[int]) -> None:
    reference, predicted = pair
    score = instance_scores(reference, predicted)
    table = np.array([0, *order], dtype=np.uint64) * 2**40
    assert instance_scores(table[reference], predicted) == score
    assert instance_scores(reference, table[predicted]) == score
    for axis in range(3):
        assert instance_scores(np.flip(reference, axis), np.flip(predicted, axis)) == score
    assert instance_scores(reference.transpose(2, 0, 1), predicted.transpose(2, 0, 1)) == score


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[arrays(np.uint8, (4, 5), elements=st.integers(0, 4))] * 2), min_size=1, max_size=3))
def test_measures_are_finite_and_within_their_range(pairs: list[tuple[Labels, Labels]]) -> None:
    measures = summarise([instance_scores(*pair) for pair in pairs])
    for metric in METRICS:
        assert 0 <= measures[metric.name] <= (1 if metric.bounded else np.inf)
    assert measures["AP50"] >= measures["AP75"] >= measures["AP90"]


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (4, 5), elements=st.integers(0, 4)))
def test_the_same_labels_are_perfect(labels: Labels) -> None:
    measures = summarise([instance_scores(labels, labels)])
    assert measures == {metric.name: 1.0 if metric.bounded else 0.0 for metric in METRICS}


def test_panoptic_quality_of_a_case_by_hand() -> None:
    # IoU 1, 2/4 (just enough) and 1/4 (too little): (1 + 0.5) / (2 + 1/2 + 1/2) in the first image, 0 + 1 miss beside.
    first = instance_scores(rows("11002222", "00000000", "33000000"), rows("11000220", "00000000", "03330000"))
    second = instance_scores(rows("11"), rows("00"))
    assert (first.true_positives_50, first.true_positive_iou) == (2, 1.5)
    assert summarise([first])["PQ"] == pytest.approx(1.5 / 3)
    assert summarise([first, second])["PQ"] == pytest.approx(1.5 / 3.5)


def test_average_precision_is_the_mean_over_images_and_not_pooled() -> None:
    right, wrong = instance_scores(rows("10203040"), rows("10203040")), instance_scores(rows("10"), rows("00"))
    assert summarise([right, wrong])["AP50"] == 0.5
    assert summarise([right, wrong])["SEG"] == pytest.approx(4 / 5)


def test_a_cell_that_swallows_three_is_two_merges() -> None:
    score = instance_scores(rows("112233", "440000"), rows("111111", "440000"))
    assert (score.merges, score.splits, score.false_negatives, score.false_positives) == (2, 0, 0, 0)
    assert summarise([score])["merges"] == 50
    assert summarise([score])["DET"] == pytest.approx(1 - 2 * 5 / 40)


def test_a_cell_cut_in_three_is_two_splits_and_the_small_pieces_are_invented() -> None:
    score = instance_scores(rows("1111111", "2200000"), rows("1111223", "4400000"))
    assert (score.merges, score.splits, score.false_negatives, score.false_positives) == (0, 2, 0, 2)
    assert summarise([score])["splits"] == 100


def test_half_a_cell_is_no_match_and_no_piece() -> None:
    # 1 is covered by exactly half; the one found lies by exactly half in each of two cells.
    score = instance_scores(rows("1100", "2200"), rows("1000", "1000"))
    assert (score.merges, score.splits, score.false_negatives, score.false_positives) == (0, 0, 2, 1)
    assert score.matched_iou == 0
    assert instance_scores(rows("0110"), rows("1122")).splits == 0


def test_pieces_of_one_label_are_one_cell_and_a_field_without_background_is_compared() -> None:
    score = instance_scores(rows("121", "222"), rows("545", "444"))
    assert (score.reference_cells, score.predicted_cells, score.true_positives_90) == (2, 2, 2)


@pytest.mark.parametrize(("reference", "predicted", "right"), [("00", "00", 1.0), ("00", "12", 0.0), ("12", "00", 0.0)])
def test_images_without_cells_give_one_or_zero(reference: str, predicted: str, right: float) -> None:
    measures = summarise([instance_scores(rows(reference), rows(predicted))])
    assert measures == {metric.name: right if metric.bounded else 0.0 for metric in METRICS}


def test_an_empty_image_beside_others_punishes_only_what_was_invented() -> None:
    full = instance_scores(rows("1020"), rows("1020"))
    nothing, invented = (instance_scores(rows("0000"), rows(text)) for text in ("0000", "1000"))
    assert summarise([full, nothing])["DET"] == summarise([full, nothing])["AP50"] == 1
    assert summarise([full, invented])["SEG"] == 1
    assert summarise([full, invented])["DET"] == pytest.approx(1 - 1 / 20)
    assert summarise([full, invented])["AP50"] == 0.5
    assert summarise([full, invented])["PQ"] == pytest.approx(2 / 2.5)


def test_scores_survive_json() -> None:
    score = instance_scores(*scenes()[0])
    assert InstanceScores.model_validate(json.loads(score.model_dump_json())) == score


def test_the_order_of_the_measures_is_that_of_their_explanations() -> None:
    score = instance_scores(rows("10"), rows("10"))
    assert list(summarise([score])) == [metric.name for metric in METRICS]
    assert not metric_named("merges").higher_is_better


@pytest.mark.parametrize(
    ("reference", "predicted", "problem"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8), "shape"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.float32), "float32"),
        (np.full((4, 4), -1), np.zeros((4, 4), np.uint8), "no labels"),
        (np.zeros(4, np.uint8), np.zeros(4, np.uint8), "neither"),
        (np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8), "neither"),
    ],
)
def test_what_is_no_label_image_is_refused(reference: Labels, predicted: Labels, problem: str) -> None:
    with pytest.raises(CytoCascadeError, match=problem):
        instance_scores(reference, predicted)


def test_no_images_and_unknown_measures_are_refused() -> None:
    with pytest.raises(CytoCascadeError, match="no images"):
        summarise([])
    with pytest.raises(CytoCascadeError, match="DICE"):
        metric_named("DICE")


def test_without_py_ctcmetrics_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any, **named: Any) -> Any:
        if name.startswith("ctc_metrics"):
            raise ImportError(name)
        return real(name, *others, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CytoCascadeError, match=r"cytocascade\[segment\]"):
        summarise([instance_scores(rows("10"), rows("10"))])
