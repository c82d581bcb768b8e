"""The real-vs-real floor: the same figure between two halves of the real images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cytocascade.evaluation.results import Floored
from cytocascade.seeding import numpy_generator

FLOOR_IN_WORDS = (
    "Real against real: the real images are split in two halves, always by image. One split is the first against the "
    "second half in the order of their names, so that in a video strongly correlated neighbouring frames are not "
    "shared out over both halves; {random} more split the images at random. The floor is the mean over all splits."
)


@dataclass(frozen=True)
class Split:
    """Indices of the images in the two halves."""

    first: tuple[int, ...]
    second: tuple[int, ...]


def real_splits(count: int, seed: int, *, random: int = 3) -> list[Split]:
    """Split `count` images in halves: first by order, then up to `random` more times at random.

    With few images, random splits that repeat an earlier one are left out.
    """
    half = count // 2
    seen = {frozenset(range(half)), frozenset(range(half, count))}
    splits = [Split(tuple(range(half)), tuple(range(half, count)))]
    for attempt in range(8 * random):
        if len(splits) > random:
            break
        order = numpy_generator(seed, "evaluation", "split", attempt).permutation(count)
        first, second = (tuple(sorted(int(i) for i in part)) for part in (order[:half], order[half:]))
        if frozenset(first) not in seen:
            splits.append(Split(first, second))
            seen |= {frozenset(first), frozenset(second)}
    return splits


def floored(value: float, splits: Sequence[Split], measure: Callable[[Split], float]) -> Floored:
    """Return `value` with the floor that `measure` gives over `splits`."""
    return with_floor(value, [measure(split) for split in splits])


def with_floor(value: float, floors: Sequence[float]) -> Floored:
    """Return `value` beside the figures of the splits, the split by order first."""
    return Floored(
        value=float(value),
        floor=float(np.mean(floors)),
        floor_contiguous=float(floors[0]),
        floor_random=[float(floor) for floor in floors[1:]],
    )
