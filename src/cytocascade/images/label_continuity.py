"""Whether the labels of a stack follow cells through z, and what its empty slices mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.types import Array, label_dtype

NEIGHBOURS_SHARE = 0.25
"""Share of the smaller outline that a cell's outlines in neighbouring slices have in common at least.

No label of our real stacks falls below it; where their slices are numbered one by one, most do
(``tests/images/test_real_stacks.py``).
"""

DISTANT_SHARE = 0.5
"""The same for slices with others between them that are not annotated; less would be chance."""

_MANY = 0.25  # share of the labels that jump where slices were numbered one by one

_NOT_LINKED = (
    "Was every slice segmented by itself, or is the first axis time? Link the slices (stitch_threshold in Cellpose, "
    "say), or pass --label-components to number connected regions anew."
)


def check_links(labels: Array, annotated: Sequence[int], path: Path) -> tuple[str, ...]:
    """Refuse labels that jump between neighbouring slices; return remarks if few do.

    Parameters
    ----------
    labels : ndarray of int, (Z, Y, X)
        Instance labels.
    annotated : sequence of int
        Indices of the annotated slices, ascending.
    path : Path
        Where the labels are from, for the error.

    Raises
    ------
    CytoCascadeError
        If a quarter of the labels (two at least) go on at another place in the next slice.
    """
    jumping: set[int] = set()
    seen: set[int] = set(np.unique(labels[list(annotated[:1])]).tolist())
    for a, b in pairwise(annotated):
        seen.update(np.unique(labels[b]).tolist())
        if b - a == 1:
            jumping.update(label for label, share in _shares(labels[a], labels[b]).items() if share < NEIGHBOURS_SHARE)
    total = len(seen - {0})
    if not jumping:
        return ()
    some = ", ".join(map(str, sorted(jumping)[:3])) + (", ..." if len(jumping) > 3 else "")
    problem = f"{len(jumping)} of {total} labels ({some}) are at another place in the next slice"
    if len(jumping) > 1 and len(jumping) >= _MANY * total:
        raise CytoCascadeError(f"labels do not follow cells through z: {problem}", path=path, hint=_NOT_LINKED)
    return (f"{problem}: are they one cell?",)


def separate_distant(labels: Array, annotated: Sequence[int]) -> tuple[Array, int]:
    """Give a label a new number from where it goes on, after slices without annotation, at another place.

    Slices that are annotated one by one are often numbered from 1 each. Two outlines of one label on both sides of a
    gap are taken for one cell if they share `DISTANT_SHARE` of the smaller one.

    Parameters
    ----------
    labels : ndarray of uint16 or uint32, (Z, Y, X)
        Instance labels, 0 in slices that are not annotated.
    annotated : sequence of int
        Indices of the annotated slices, ascending.

    Returns
    -------
    labels : ndarray of uint16 or uint32, (Z, Y, X)
        `labels` itself if nothing changes.
    renamed : int
        How many new numbers were given.
    """
    gaps = [(a, b) for a, b in pairwise(annotated) if b - a > 1]
    planes = {z: labels[z].astype(np.int64) for z in annotated} if gaps else {}
    highest = fresh = int(labels.max(initial=0))
    for a, b in gaps:
        for label, share in _shares(planes[a], planes[b]).items():
            if share >= DISTANT_SHARE:
                continue
            fresh += 1
            for z in annotated:
                if z >= b:
                    planes[z][planes[z] == label] = fresh
    if fresh == highest:
        return labels, 0
    separate = np.zeros(labels.shape, dtype=label_dtype(fresh))
    for z, plane in planes.items():
        separate[z] = plane
    return separate, fresh - highest


def refuse_gaps(labels: Array, path: Path) -> None:
    """Refuse a mask, of which every slice counts as annotated, if empty slices seem to be not annotated."""
    filled = [z for z, plane in enumerate(labels) if plane.any()]
    if not filled:
        return
    problem = ""
    if len(filled) == 1:
        problem = f"only slice {filled[0]} of {len(labels)} holds labels"
    elif all(b - a > 1 for a, b in pairwise(filled)):
        some = ", ".join(map(str, filled[:4])) + (", ..." if len(filled) > 4 else "")
        problem = f"{len(filled)} of {len(labels)} slices hold labels, no two of them neighbours ({some})"
    else:
        for a, b in pairwise(filled):
            both = np.intersect1d(labels[a], labels[b])
            if b - a > 1 and both.any():
                problem = f"slice {a + 1} holds no label, but label {both[-1]} is in slices {a} and {b}"
                break
    if problem:
        raise CytoCascadeError(
            f"{problem}; that means no cell in all empty slices",
            path=path,
            hint="Pass --sparse if empty slices are not annotated.",
        )


def _shares(one: Array, other: Array) -> dict[int, float]:
    """Return, for every label in both slices, the share of its smaller outline that both have in common."""
    sizes = [_sizes(plane) for plane in (one, other)]
    common = _sizes(one[one == other])
    return {
        label: common.get(label, 0) / min(size, sizes[1][label])
        for label, size in sizes[0].items()
        if label in sizes[1]
    }


def _sizes(labels: Array) -> dict[int, int]:
    ids, counts = np.unique(labels, return_counts=True)
    return {int(label): int(count) for label, count in zip(ids, counts) if label}
