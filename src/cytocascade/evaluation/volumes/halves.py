"""The two halves of the real cells that every floor compares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cytocascade.evaluation.splits import Split
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, BoolArray

MIN_HALF = 4
MIN_SHARE = 0.2
FLOOR_IN_WORDS = (
    "Real against real: the real set is split in two halves, always by volume (a single volume is split in its left "
    "and right half). One split is the first against the second half in the order of their names, {random} more are "
    "at random; the floor is the mean over all splits. Figures of single cells leave out splits that give a half "
    f"fewer than {MIN_HALF} cells or {MIN_SHARE:.0%} of them; where none is left, the cells themselves are split. Half "
    "sets are smaller than the whole set and so differ more by chance: with few cells floors are high."
)


def cell_halves(owners: Array, splits: Sequence[Split], seed: int) -> list[tuple[BoolArray, BoolArray]]:
    """Return which cells belong to either half, split by split.

    Parameters
    ----------
    owners : ndarray of int, (n,)
        Part of each cell.
    splits : sequence of Split
        Halves of the parts.
    seed : int
        Seed of the splits by cell, which are used only if no split by part gives both halves `MIN_HALF` cells and
        `MIN_SHARE` of all.

    Returns
    -------
    list of tuple of ndarray of bool, (n,)
        At least one pair.
    """
    smallest = max(MIN_HALF, MIN_SHARE * len(owners))
    by_part = [(np.isin(owners, split.first), np.isin(owners, split.second)) for split in splits]
    kept = [pair for pair in by_part if min(half.sum() for half in pair) >= smallest]
    return kept or [_by_cell(len(owners), seed, index) for index in range(len(splits))]


def _by_cell(count: int, seed: int, index: int) -> tuple[BoolArray, BoolArray]:
    order = numpy_generator(seed, "evaluation", "volume cell split", index).permutation(count)
    first = np.zeros(count, dtype=np.bool_)
    first[order[: count // 2]] = True
    return first, ~first
