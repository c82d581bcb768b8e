"""How far outside their outlines cells in phase contrast are seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import AnnotatedImage

LEAST, MOST = 3.0, 24.0
"""Limits of the reach, in pixels of the images."""

FAINT = 0.05
"""Share of the brightest mean light outside below which the halo has ended."""


def halo_reach(images: Sequence[AnnotatedImage]) -> float:
    """Return the distance from the outlines, in pixels, at which the mean halo has ended.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Phase contrast.

    Returns
    -------
    float
        From `LEAST` to `MOST`. The mean over all cells: what else lies beside single ones is no halo.
    """
    side = int(MOST)
    total, count = np.zeros(side), np.zeros(side)
    for image in images:
        free = np.asarray(image.labels) == 0
        if free.all() or not free.any():
            continue
        distance = np.ceil(ndi.distance_transform_edt(free)).astype(int) - 1
        near = free & (distance < side)
        above = np.asarray(image.image, dtype=np.float64) - float(np.median(image.image[free]))
        total += np.bincount(distance[near], above[near], side)
        count += np.bincount(distance[near], minlength=side)
    if not count.any():
        return MOST
    mean = np.abs(total / np.maximum(count, 1))
    peak = int(np.argmax(mean))
    ended = np.flatnonzero(mean[peak:] < FAINT * mean[peak])
    return float(np.clip(peak + ended[0], LEAST, MOST)) if len(ended) else MOST
