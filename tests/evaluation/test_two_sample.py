from __future__ import annotations

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation import two_sample
from cytocascade.evaluation.splits import real_splits
from cytocascade.evaluation.two_sample import _folds, require_sklearn, two_sample_test

NAMES = ("size", "texture", "noise")


def cells(seed: int, images: int = 10, each: int = 30, shift: float = 0.0, image_spread: float = 0.0):  # type: ignore[no-untyped-def]
    draw = np.random.default_rng(seed)
    owners = np.repeat(np.arange(images), each)
    values = draw.standard_normal((images * each, 3)) + image_spread * draw.standard_normal((images, 3))[owners]
    values[:, 1] += shift
    return values, owners


def test_equal_distributions_are_guessed() -> None:
    result = two_sample_test(NAMES, cells(0), cells(1), real_splits(10, 0), 0)
    assert 0.4 < result.accuracy.value < 0.6
    assert 0.4 < result.accuracy.floor < 0.6


def test_the_descriptor_that_differs_is_named_with_its_direction() -> None:
    result = two_sample_test(NAMES, cells(0), cells(1, shift=-3.0), real_splits(10, 0), 0)
    assert result.accuracy.value > 0.85
    assert result.telling[0].name == "texture"
    assert result.telling[0].shift < -2
    assert result.telling[0].auc < 0.1


def test_what_cells_of_one_image_share_does_not_help() -> None:
    """Each image has its own look; only folds by image keep the classifier from recognising images."""
    accuracies = [
        two_sample_test(
            NAMES, cells(i, image_spread=3.0), cells(90 + i, image_spread=3.0), real_splits(10, 0), 0
        ).accuracy.value
        for i in range(3)
    ]
    assert np.mean(accuracies) < 0.65


def test_no_image_is_in_two_folds_and_every_cell_is_tested_once() -> None:
    groups = np.concatenate([np.repeat(np.arange(7), 5), np.repeat(np.arange(7, 12), 7)])
    classes = np.repeat([0, 1], 35)
    folds = _folds(classes, groups, 0)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert set(classes[test]) == {0, 1}
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(70))


def test_classes_are_balanced() -> None:
    result = two_sample_test(NAMES, cells(0, each=60), cells(1, each=12), real_splits(10, 0), 0)
    assert result.cells_per_class == 120
    assert result.accuracy.value < 0.65


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_sample.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CytoCascadeError, match=r"pip install 'cytocascade\[evaluate\]'"):
        require_sklearn()
