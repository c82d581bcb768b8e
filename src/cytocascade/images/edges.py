"""How the light of cells falls off across their outlines."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.images.cells import signed_distance
from cytocascade.types import Array, FloatArray

EDGE_CENTRES = np.arange(-8, 6) + 0.5
"""Signed distances to the outline, in pixels, positive inside, at which a profile is measured."""


def edge_profile(image: Array, labels: Array, background: FloatArray, noise: float) -> tuple[Array, Array]:
    """Return the mean relative signal as a function of the distance to the outline.

    Parameters
    ----------
    image, labels : ndarray, (Y, X)
        Intensities and instance labels.
    background : ndarray, (Y, X) float32
        Local background.
    noise : float
        Standard deviation of the background noise; only cells at least three times as bright are used.

    Returns
    -------
    total : ndarray, (14,)
        Sum over pixels of the signal divided by its cell's mean, per distance in `EDGE_CENTRES`. Pixels near
        another cell and cells that touch the frame are left out.
    count : ndarray, (14,)
        Number of those pixels; sums and counts of several images can be added up.
    """
    above = np.asarray(image, dtype=np.float32) - background
    total, count = np.zeros(len(EDGE_CENTRES)), np.zeros(len(EDGE_CENTRES))
    reach = len(EDGE_CENTRES)
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None or any(s.start == 0 or s.stop == n for s, n in zip(box, labels.shape)):
            continue
        window = tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in box)
        own = labels[window] == label
        signal = float(above[window][own].mean())
        if signal < 3 * noise:
            continue
        others = (labels[window] > 0) & ~own
        valid = ndi.distance_transform_edt(~others) > 5 if others.any() else np.ones(own.shape, dtype=bool)
        row = np.floor(signed_distance(own, (1.0, 1.0)) - EDGE_CENTRES[0] + 0.5).astype(int)
        valid &= (row >= 0) & (row < len(EDGE_CENTRES))
        total += np.bincount(row[valid], above[window][valid] / signal, len(EDGE_CENTRES))
        count += np.bincount(row[valid], minlength=len(EDGE_CENTRES))
    return total, count
