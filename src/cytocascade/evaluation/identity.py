"""Which labelled cells of several images may be one and the same object, filmed again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cytocascade.evaluation.measured import MeasuredImage, MeasuredSet
from cytocascade.types import Array, BoolArray

OVERLAP = 0.3
REACH = 2.0


def tracks(images: Sequence[MeasuredImage]) -> tuple[list[Array], bool]:
    """Link cells that overlap in consecutive images.

    Returns
    -------
    list of ndarray of int
        Per image, the track number of each row of its table.
    bool
        Whether it looks like a video: half of the cells overlap one of the next image with an intersection
        over union above 0.3. Otherwise every cell is a track of its own.
    """
    linked = [_links(first, second) for first, second in pairwise(images)]
    possible = sum(len(image.table) for image in images[:-1])
    video = possible > 0 and sum(len(links) for links in linked) >= 0.5 * possible
    result: list[Array] = []
    fresh = 0
    for index, image in enumerate(images):
        numbers = np.arange(fresh, fresh + len(image.table))
        fresh += len(image.table)
        if video and index > 0:
            for before, now in linked[index - 1].items():
                numbers[now] = result[-1][before]
        result.append(numbers)
    return result, video


def _links(first: MeasuredImage, second: MeasuredImage) -> dict[int, int]:
    """Return {row in first: row in second} for cells that overlap enough, the largest overlaps first."""
    if first.labels.shape != second.labels.shape:
        return {}
    both = (first.labels > 0) & (second.labels > 0)
    base = int(second.labels.max()) + 1
    keys, shared = np.unique(first.labels[both].astype(np.int64) * base + second.labels[both], return_counts=True)
    sizes = [np.bincount(image.labels.ravel()) for image in (first, second)]
    rows = [{int(label): row for row, label in enumerate(image.table.label)} for image in (first, second)]
    links: dict[int, int] = {}
    taken: set[int] = set()
    for index in np.argsort(-shared, kind="stable"):
        a, b = divmod(int(keys[index]), base)
        overlap = shared[index] / (sizes[0][a] + sizes[1][b] - shared[index])
        before, now = rows[0][a], rows[1][b]
        if overlap > OVERLAP and before not in links and now not in taken:
            links[before] = now
            taken.add(now)
    return links


def possibly_same(query: MeasuredSet, reference: MeasuredSet, *, same_set: bool) -> BoolArray:
    """Return (n, m) whether sampled cell i of `query` and j of `reference` may be one object.

    They may if they come from one image, if overlaps from image to image (by name, over both sets) link
    them, or if their centroids lie within two diameters of each other in image coordinates: objects of a
    video stay about where they are, and in unrelated images few pairs are lost by it.

    Parameters
    ----------
    query, reference : MeasuredSet
        Two real sets.
    same_set : bool
        Whether both are the same images.
    """
    ours, theirs = (np.stack([one.centroid(cell) for cell in one.cells]) for one in (query, reference))
    radius = REACH * np.array([2 * np.sqrt(query.pixels(cell) / np.pi) for cell in query.cells])
    squared = ((ours[:, None, :] - theirs[None, :, :]) ** 2).sum(axis=-1)
    result = squared < radius[:, None] ** 2
    sets = [reference] if same_set else [query, reference]
    order = sorted(
        (image.name, which, index) for which, one in enumerate(sets) for index, image in enumerate(one.images)
    )
    numbers, _ = tracks([sets[which].images[index] for _, which, index in order])
    track_of = {(which, index): found for (_, which, index), found in zip(order, numbers)}
    last = len(sets) - 1
    first_track = np.array([track_of[0, cell.image][cell.row] for cell in query.cells])
    second_track = np.array([track_of[last, cell.image][cell.row] for cell in reference.cells])
    result |= first_track[:, None] == second_track[None, :]
    if same_set:
        result |= query.image_of_cell()[:, None] == reference.image_of_cell()[None, :]
    return np.asarray(result)
