"""Which labelled cells of several images may be one and the same object, filmed again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cytocascade.evaluation.measured import MeasuredImage, MeasuredSet
from cytocascade.types import Array, BoolArray

OVERLAP = 0.3
REACH = 2.0


def tracks(measured: MeasuredSet) -> tuple[list[Array], bool]:
    """Link cells that overlap in consecutive images (by name).

    Returns
    -------
    list of ndarray of int
        Per image, the track number of each row of its table.
    bool
        Whether it looks like a video: half of the cells overlap one of the next image with an intersection
        over union above 0.3. Otherwise every cell is a track of its own.
    """
    linked = [_links(a, b) for a, b in pairwise(measured.images)]
    possible = sum(len(image.table) for image in measured.images[:-1])
    video = possible > 0 and sum(len(links) for links in linked) >= 0.5 * possible
    result: list[Array] = []
    fresh = 0
    for index, image in enumerate(measured.images):
        numbers = np.arange(fresh, fresh + len(image.table))
        fresh += len(image.table)
        if video and index > 0:
            for before, now in linked[index - 1].items():
                numbers[now] = result[-1][before]
        result.append(numbers)
    return result, video


def _links(first: MeasuredImage, second: MeasuredImage) -> dict[int, int]:
    """Return {row in first: row in second} for cells that are each other's best overlap."""
    if first.labels.shape != second.labels.shape:
        return {}
    both = (first.labels > 0) & (second.labels > 0)
    pairs, shared = np.unique(
        np.stack([first.labels[both], second.labels[both]]).astype(np.int64), axis=1, return_counts=True
    )
    sizes = [dict(zip(*np.unique(image.labels, return_counts=True))) for image in (first, second)]
    rows = [{int(label): row for row, label in enumerate(image.table.label)} for image in (first, second)]
    result: dict[tuple[int, int], int] = {}
    for (a, b), count in zip(pairs.T, shared):
        # Above 1/2 a pair would be unique; below, mutual bests are assured by taking the largest first.
        if count / (sizes[0][a] + sizes[1][b] - count) > OVERLAP:
            result.setdefault((rows[0][int(a)], rows[1][int(b)]), int(count))
    links: dict[int, int] = {}
    for (a_row, b_row), _ in sorted(result.items(), key=lambda item: (-item[1], item[0])):
        if a_row not in links and b_row not in links.values():
            links[a_row] = b_row
    return links


def possibly_same(query: MeasuredSet, reference: MeasuredSet) -> BoolArray:
    """Return (n, m) whether sampled cell i of `query` and j of `reference` may be one object.

    They may if they come from the same image, if they are linked by `tracks`, or if their centroids lie,
    in image coordinates, within two diameters of each other: objects of a video stay about where they are,
    and in unrelated images few pairs are lost by it. Both sets are real; `query` may be `reference`.
    """
    names = {image.name: index for index, image in enumerate(reference.images)}
    same_set = query is reference
    own = query.image_of_cell()
    own = own if same_set else np.array([names.get(query.images[i].name, -1) for i in own])
    same_image = own[:, None] == reference.image_of_cell()[None, :]
    ours, theirs = (np.stack([one.centroid(cell) for cell in one.cells]) for one in (query, reference))
    radius = REACH * np.array([_diameter(query, i) for i in range(len(query.cells))])
    squared = ((ours[:, None, :] - theirs[None, :, :]) ** 2).sum(axis=-1)
    result = same_image | (squared < radius[:, None] ** 2)
    if same_set:
        numbers, _ = tracks(reference)
        track = np.array([numbers[cell.image][cell.row] for cell in reference.cells])
        result |= track[:, None] == track[None, :]
    return np.asarray(result)


def _diameter(measured: MeasuredSet, index: int) -> float:
    cell = measured.cells[index]
    labels = measured.images[cell.image].labels[cell.box]
    return float(2 * np.sqrt((labels == measured.label(cell)).sum() / np.pi))
