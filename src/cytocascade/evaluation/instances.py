"""How well were the cells of an image found? Counts per image, and the field's measures from their sums."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import coo_array

from cytocascade.errors import CytoCascadeError
from cytocascade.types import Array

INSTALL_SEGMENT = "pip install 'cytocascade[segment]'"

_PRECISIONS = {"AP50": 0.5, "AP75": 0.75, "AP90": 0.9}
_SPLIT, _MISSED, _INVENTED = 5, 10, 1  # Weights of AOGM-D: a cell to split, to add, to delete.


@dataclass(frozen=True)
class Metric:
    """One measure of `summarise`, as a page explains it."""

    name: str
    """Key in `summarise`."""
    higher_is_better: bool
    """Which way is up."""
    bounded: bool
    """Whether it lies between 0 and 1; the others are counts of mistakes per 100 cells, from 0."""
    explanation: str
    """One plain sentence."""


_OVERLAP = "Share of the cells right, of all that are real or found, if an overlap of {} is needed."
_MENDING = "1 minus what mending costs per real cell: 1 for a missed, 1/2 for a merged, 1/10 for an invented one."
METRICS = (
    Metric("SEG", True, True, "Mean overlap (IoU) of real cells with those found there; invented cells are free."),
    Metric("DET", True, True, _MENDING),
    Metric("AP50", True, True, _OVERLAP.format("50 %")),
    Metric("AP75", True, True, _OVERLAP.format("75 %")),
    Metric("AP90", True, True, _OVERLAP.format("90 %")),
    Metric("PQ", True, True, "Panoptic quality: how many cells are found, times the mean overlap of the found ones."),
    Metric("merges", False, False, "Cells lost because they were joined with another one, per 100 real cells."),
    Metric("splits", False, False, "Pieces too many because cells were cut apart, per 100 real cells."),
)
"""What `summarise` gives, in its order."""


def metric_named(name: str) -> Metric:
    """Return the entry of `METRICS`; a CytoCascadeError if there is none."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    names = ", ".join(metric.name for metric in METRICS)
    raise CytoCascadeError(f"There is no measure '{name}'.", hint=f"Use one of {names}.")


class InstanceScores(BaseModel):
    """Counts of one image or volume; sums of them over images give every measure."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    reference_cells: int = Field(ge=0)
    """Cells of the reference."""
    predicted_cells: int = Field(ge=0)
    """Cells found."""
    matched_iou: float = Field(ge=0)
    """Sum of the IoU of reference cells with the found cell that covers more than half of them (CTC)."""
    false_negatives: int = Field(ge=0)
    """Reference cells of which no found cell covers more than half (CTC)."""
    false_positives: int = Field(ge=0)
    """Found cells that cover more than half of no reference cell (CTC)."""
    merges: int = Field(ge=0)
    """Reference cells beyond the first of which one found cell covers more than half; the CTC's NS, splits needed."""
    splits: int = Field(ge=0)
    """Found cells beyond the first that lie by more than half of themselves in one reference cell."""
    true_positives_50: int = Field(ge=0)
    """Pairs of an IoU of at least 0.5, one to one."""
    true_positives_75: int = Field(ge=0)
    """Pairs of an IoU of at least 0.75."""
    true_positives_90: int = Field(ge=0)
    """Pairs of an IoU of at least 0.9."""
    true_positive_iou: float = Field(ge=0)
    """Sum of the IoU of the pairs of at least 0.5."""


def instance_scores(reference: Array, predicted: Array) -> InstanceScores:
    """Compare the cells found with those of the reference.

    Pairs of an IoU of at least 0.5 need no optimal assignment. Cells of one image are disjoint, so a cell can have two
    such partners only if each is exactly one half of it, with nothing beside; these have no other partner. So one
    pair per cell, whichever, is a largest matching, and all candidates' IoU is 0.5: the same counts as the Hungarian
    matching of Cellpose and StarDist, in time linear in the number of pairs.

    Parameters
    ----------
    reference, predicted : ndarray of integers, (Y, X) or (Z, Y, X)
        Labels; 0 is background, every other value one cell, whether or not it is connected.

    Raises
    ------
    CytoCascadeError
        If the shapes differ, or are not those of an image or a volume, or the values are not labels.

    Notes
    -----
    Sources: Maška et al., *The Cell Tracking Challenge: 10 years of objective benchmarking* (Nat. Methods 2023), match
    and SEG; Matula et al., *Cell tracking accuracy measurement based on comparison of acyclic oriented graphs* (PLoS
    ONE 2015), AOGM-D; Stringer et al., *Cellpose* (Nat. Methods 2021), true positives.
    """
    _check(reference, predicted)
    row, column, shared, reference_size, predicted_size = _overlaps(reference, predicted)
    iou = shared / (reference_size[row] + predicted_size[column] - shared)

    matched = 2 * shared > reference_size[row]
    covering = np.bincount(column[matched], minlength=len(predicted_size))
    inside = np.bincount(row[2 * shared > predicted_size[column]], minlength=len(reference_size))
    pairs = {name: _one_to_one(row, column, iou >= threshold) for name, threshold in _PRECISIONS.items()}
    return InstanceScores(
        reference_cells=len(reference_size),
        predicted_cells=len(predicted_size),
        # Exact sums: the order of the labels must not show in the last bit.
        matched_iou=math.fsum(iou[matched]),
        false_negatives=len(reference_size) - int(matched.sum()),
        false_positives=int((covering == 0).sum()),
        merges=int(np.maximum(covering - 1, 0).sum()),
        splits=int(np.maximum(inside - 1, 0).sum()),
        true_positives_50=len(pairs["AP50"]),
        true_positives_75=len(pairs["AP75"]),
        true_positives_90=len(pairs["AP90"]),
        true_positive_iou=math.fsum(iou[pairs["AP50"]]),
    )


def summarise(scores: Sequence[InstanceScores]) -> dict[str, float]:
    """Return the measures of a set of images.

    SEG and DET are computed by py-ctcmetrics and pool the cells of all images, as the Cell Tracking Challenge does;
    PQ pools them too. AP is TP / (TP + FP + FN) per image, then the mean over images, as in the papers of Cellpose
    and StarDist. Merges and splits are per 100 reference cells.

    Nothing is ever NaN. An image in which nothing is and nothing was found is right: AP 1 (StarDist says 0, Cellpose
    NaN); if either side has cells, it is 0. Without any reference cell in all images, SEG, DET and PQ are 1 if nothing
    was found and 0 otherwise, merges and splits 0.

    Parameters
    ----------
    scores : sequence of InstanceScores
        One per image, at least one.

    Returns
    -------
    dict of str to float
        Keys and order as in `METRICS`.

    Raises
    ------
    CytoCascadeError
        If there are no images, or py-ctcmetrics is missing.

    Notes
    -----
    Source of PQ: Kirillov et al., *Panoptic segmentation* (CVPR 2019), with pairs of IoU 0.5 and above.
    """
    terms = pooled_terms(scores)
    totals = {name: np.asarray(values.sum()) for name, values in terms.items()}
    found = {metric.name: float(metric_of_totals(metric.name, totals)) for metric in METRICS}
    if totals["reference_cells"] > 0:
        found |= _challenge_measures(scores)
    return found


def pooled_terms(scores: Sequence[InstanceScores]) -> dict[str, Array]:
    """Return what `metric_of_totals` needs summed over images: every count, 1 for the image, and its AP.

    Returns
    -------
    dict of str to ndarray, (images,) float64

    Raises
    ------
    CytoCascadeError
        If there are no images.
    """
    if not scores:
        raise CytoCascadeError("There are no images to summarise.", hint="Give at least one segmented test image.")
    terms = {
        name: np.array([getattr(score, name) for score in scores], dtype=np.float64)
        for name in InstanceScores.model_fields
    }
    cells = terms["reference_cells"] + terms["predicted_cells"]
    for name in _PRECISIONS:
        right = terms[f"true_positives_{name[2:]}"]
        # TP + FP + FN = all cells of both sides, with those that agree counted once.
        terms[name] = _ratio(right, cells - right, 1.0)
    terms["images"] = np.ones(len(scores))
    return terms


def metric_of_totals(metric: str, totals: Mapping[str, Array]) -> Array:
    """Return a measure from sums over images, elementwise; the formulas of `summarise` for many sums at once.

    Parameters
    ----------
    metric : str
        Name in `METRICS`.
    totals : mapping of str to ndarray, any one shape
        Sums (with weights, if need be) of `pooled_terms`.

    Returns
    -------
    ndarray of float64, same shape
    """
    cells, found = totals["reference_cells"], totals["predicted_cells"]
    nothing_wrong = np.where(found > 0, 0.0, 1.0)
    if metric in _PRECISIONS:
        return np.asarray(totals[metric] / totals["images"])
    if metric == "SEG":
        return _ratio(totals["matched_iou"], cells, nothing_wrong)
    if metric == "DET":
        cost = _SPLIT * totals["merges"] + _MISSED * totals["false_negatives"] + _INVENTED * totals["false_positives"]
        worst = _MISSED * cells
        return _ratio(worst - np.minimum(cost, worst), worst, nothing_wrong)
    if metric == "PQ":
        return _ratio(2 * totals["true_positive_iou"], cells + found, 1.0)
    return _ratio(100 * totals[metric_named(metric).name], cells, 0.0)


def _challenge_measures(scores: Sequence[InstanceScores]) -> dict[str, float]:
    try:  # 1.4 s: the package imports scikit-learn.
        from ctc_metrics.metrics.technical.det import det
        from ctc_metrics.metrics.technical.seg import seg
    except ImportError as error:
        raise CytoCascadeError("The measures SEG and DET need py-ctcmetrics.", hint=INSTALL_SEGMENT) from error
    return {
        "SEG": seg([range(score.reference_cells) for score in scores], [[score.matched_iou] for score in scores]),
        "DET": det(
            NS=sum(score.merges for score in scores),
            FN=sum(score.false_negatives for score in scores),
            FP=sum(score.false_positives for score in scores),
            num_vertices=sum(score.reference_cells for score in scores),
        ),
    }


def _check(reference: Array, predicted: Array) -> None:
    if reference.shape != predicted.shape:
        raise CytoCascadeError(
            f"The labels found have the shape {predicted.shape}, the reference has {reference.shape}.",
            hint="Compare labels of the same image, at the same scale.",
        )
    for labels in (reference, predicted):
        if labels.ndim not in (2, 3) or not labels.size:
            raise CytoCascadeError(
                f"Labels of the shape {labels.shape} are neither an image nor a volume.",
                hint="Give arrays with axes (Y, X) or (Z, Y, X).",
            )
        if labels.dtype.kind not in "ui" or labels.min() < 0:
            raise CytoCascadeError(
                f"Labels of the type {labels.dtype} hold values that are no labels.",
                hint="Give integers: 0 is background, every other number one cell.",
            )


def _overlaps(reference: Array, predicted: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return all overlapping pairs of cells (row, column, pixels) and the sizes of the cells of both sides.

    Runs of equal pairs of labels along the last axis are counted, not pixels: there are ten times fewer.
    """
    first, second = reference.ravel(), predicted.ravel()
    starts = np.flatnonzero(np.append(True, (first[1:] != first[:-1]) | (second[1:] != second[:-1])))
    lengths = np.diff(starts, append=first.size)
    rows, row = _numbered(first[starts])
    columns, column = _numbered(second[starts])
    table = coo_array((lengths, (row, column)), shape=(rows, columns)).tocsr()
    cells = table[1:, 1:].tocoo()
    return cells.row, cells.col, cells.data, table.sum(axis=1)[1:], table.sum(axis=0)[1:]


def _numbered(labels: Array) -> tuple[int, Array]:
    """Return how many labels there are, background included even if absent, and the number 0.. of each."""
    values, number = np.unique(labels, return_inverse=True)
    absent = int(values[0] != 0)
    return len(values) + absent, number + absent


def _one_to_one(row: Array, column: Array, good: Array) -> Array:
    """Return indices of good pairs such that no cell of either side occurs twice."""
    chosen = np.flatnonzero(good)
    chosen = chosen[np.unique(row[chosen], return_index=True)[1]]
    return np.asarray(chosen[np.unique(column[chosen], return_index=True)[1]])


def _ratio(part: Array, whole: Array, otherwise: Array | float) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), otherwise)
