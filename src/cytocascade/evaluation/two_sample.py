"""How well a classifier tells real from synthetic cells."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.results import TellingFeature, TwoSampleTest
from cytocascade.evaluation.splits import Split, with_floor
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.types import Array

FOLDS = 5
MAX_PER_CLASS = 1000
MODELS = ("gradient boosting", "logistic regression")


def two_sample_test(
    names: Sequence[str],
    real: tuple[Array, Array],
    synthetic: tuple[Array, Array],
    splits: Sequence[Split],
    seed: int,
    *,
    top: int = 15,
) -> TwoSampleTest:
    """Cross-validate classifiers that tell real from synthetic cells.

    Folds are made by image, so that what cells of one image share (brightness, focus) cannot help; classes
    are balanced by subsampling. The floor asks the same of two halves of the real set, each cut down to the
    size of the halves.

    Parameters
    ----------
    names : sequence of str
        Names of the k descriptors.
    real, synthetic : tuple of ndarray
        Descriptors (n, k) and the image index (n,) of each cell.
    splits : sequence of Split
        Halves of the real images.
    seed : int
        Seed of subsampling, folds and models.
    top : int
        Number of telling descriptors to return.
    """
    values, classes, groups = _balanced(real, synthetic, numpy_generator(seed, "evaluation", "two-sample"))
    scores = _scores(values, classes, groups, seed)
    best = max(MODELS, key=lambda model: scores[model])
    floors = []
    for index, split in enumerate(splits):
        first, second = (tuple(part[np.isin(real[1], half)] for part in real) for half in (split.first, split.second))
        if min(len(first[0]), len(second[0])) < 4:
            floors.append(0.5)
            continue
        draw = numpy_generator(seed, "evaluation", "two-sample floor", index)
        floors.append(max(_scores(*_balanced((first[0], first[1]), (second[0], second[1]), draw), seed).values()))
    return TwoSampleTest(
        accuracy=with_floor(scores[best], floors),
        classifier="gradient boosting" if best == MODELS[0] else "logistic regression",
        boosting=scores[MODELS[0]],
        logistic=scores[MODELS[1]],
        cells_per_class=int((classes == 0).sum()),
        folds=_fold_count(classes, groups),
        telling=_telling(names, values, classes, groups, best, seed)[:top],
    )


def _balanced(
    real: tuple[Array, Array], synthetic: tuple[Array, Array], draw: np.random.Generator
) -> tuple[Array, Array, Array]:
    count = min(len(real[0]), len(synthetic[0]), MAX_PER_CLASS)
    chosen = [np.sort(draw.choice(len(side[0]), count, replace=False)) for side in (real, synthetic)]
    values = np.concatenate([side[0][i] for side, i in zip((real, synthetic), chosen)])
    classes = np.repeat([0, 1], count)
    # An image of one side never shares a group with one of the other.
    groups = np.concatenate([real[1][chosen[0]], synthetic[1][chosen[1]] + int(real[1].max()) + 1])
    return values, classes, groups


def _fold_count(classes: Array, groups: Array) -> int:
    return max(2, min(FOLDS, *(len(np.unique(groups[classes == kind])) for kind in (0, 1))))


def _folds(classes: Array, groups: Array, seed: int) -> list[tuple[Array, Array]]:
    """Return (train, test) indices; images of each class are dealt to the folds by falling cell count."""
    count = _fold_count(classes, groups)
    fold_of_cell = np.zeros(len(classes), dtype=np.int64)
    for kind in (0, 1):
        images, sizes = np.unique(groups[classes == kind], return_counts=True)
        shuffled = numpy_generator(seed, "evaluation", "folds", kind).permutation(len(images))
        load = np.zeros(count)
        for i in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
            fold = int(np.argmin(load))
            load[fold] += sizes[i]
            fold_of_cell[(classes == kind) & (groups == images[i])] = fold
    return [(np.flatnonzero(fold_of_cell != k), np.flatnonzero(fold_of_cell == k)) for k in range(count)]


def require_sklearn() -> None:
    """Raise a `CytoCascadeError` that says what to install if scikit-learn is missing."""
    if importlib.util.find_spec("sklearn") is None:
        raise CytoCascadeError("The two-sample test needs scikit-learn.", hint="pip install 'cytocascade[evaluate]'")


def _model(name: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if name == MODELS[1]:
        return _Standardised(LogisticRegression(C=0.1, max_iter=2000))
    return HistGradientBoostingClassifier(
        max_iter=120,
        learning_rate=0.08,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=derive_seed(seed, "evaluation", "boosting") % 2**32,
    )


class _Standardised:
    """A linear model on robustly scaled, clipped descriptors: single odd cells must not steer it."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, values: Array, classes: Array) -> _Standardised:
        low, self.centre, high = np.percentile(values, [25, 50, 75], axis=0)
        self.spread = np.maximum((high - low) / 1.349, 0.1 * values.std(axis=0) + 1e-9)
        self.model.fit(self._scaled(values), classes)
        return self

    def predict(self, values: Array) -> Array:
        return np.asarray(self.model.predict(self._scaled(values)))

    def _scaled(self, values: Array) -> Array:
        return np.asarray(np.clip((values - self.centre) / self.spread, -6, 6))


def _scores(values: Array, classes: Array, groups: Array, seed: int) -> dict[str, float]:
    """Return the accuracy, balanced over the classes, of the pooled held-out predictions per model."""
    folds = _folds(classes, groups, seed)
    result = {}
    for name in MODELS:
        predicted = np.full(len(classes), -1)
        for train, test in folds:
            if len(test) and len(np.unique(classes[train])) == 2:
                predicted[test] = _model(name, seed).fit(values[train], classes[train]).predict(values[test])
        hits = [(predicted == classes)[(classes == kind) & (predicted >= 0)] for kind in (0, 1)]
        result[name] = float(np.mean([h.mean() if len(h) else 0.5 for h in hits]))
    return result


def _telling(
    names: Sequence[str], values: Array, classes: Array, groups: Array, best: str, seed: int
) -> list[TellingFeature]:
    """Rank the descriptors by how much held-out accuracy is lost when one is shuffled."""
    loss = np.zeros(len(names))
    folds = [(a, b) for a, b in _folds(classes, groups, seed) if len(b) and len(np.unique(classes[a])) == 2]
    for fold, (train, test) in enumerate(folds):
        model = _model(best, seed).fit(values[train], classes[train])
        whole = float((model.predict(values[test]) == classes[test]).mean())
        draw = numpy_generator(seed, "evaluation", "importance", fold)
        for column in range(len(names)):
            shuffled = values[test].copy()
            shuffled[:, column] = draw.permutation(shuffled[:, column])
            loss[column] += (whole - float((model.predict(shuffled) == classes[test]).mean())) / len(folds)
    ours, theirs = values[classes == 0], values[classes == 1]
    spread = np.maximum(
        1.4826 * np.median(np.abs(ours - np.median(ours, axis=0)), axis=0), 1e-9 + ours.std(axis=0) * 0.1
    )
    shift = (np.median(theirs, axis=0) - np.median(ours, axis=0)) / spread
    auc = np.array([_auc(ours[:, k], theirs[:, k]) for k in range(len(names))])
    # Among correlated descriptors shuffling one costs little; what it alone tells breaks such ties.
    order = np.lexsort((-np.abs(auc - 0.5), -np.round(loss, 3)))
    return [
        TellingFeature(name=names[k], importance=float(loss[k]), shift=float(shift[k]), auc=float(auc[k]))
        for k in order
    ]


def _auc(ours: Array, theirs: Array) -> float:
    ordered = np.sort(ours)
    below = np.searchsorted(ordered, theirs, "left")
    up_to = np.searchsorted(ordered, theirs, "right")
    return float((below + up_to).mean() / 2 / len(ours))
