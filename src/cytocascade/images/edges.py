"""How the light of cells falls off across their outlines."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.images.cells import signed_distance
from cytocascade.images.features import cut_by_frame
from cytocascade.types import Array, FloatArray

EDGE_CENTRES = np.arange(-8, 6) + 0.5
"""Signed distances to the outline, in pixels, positive inside, at which a profile is measured."""


def edge_profile(image: Array, labels: Array, background: FloatArray, noise: float) -> Array:
    """Return the relative signal of every cell as a function of the distance to its outline.

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
    ndarray of float64, (n, 14)
        Mean over pixels of the signal divided by the cell's mean, per distance in `EDGE_CENTRES`; NaN where fewer
        than four pixels are farther than five pixels from other cells. Cells that touch the frame are left out.
    """
    above = np.asarray(image, dtype=np.float32) - background
    reach = len(EDGE_CENTRES)
    profiles = []
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None or cut_by_frame(box, labels.shape):
            continue
        window = tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in box)
        own = labels[window] == label
        signal = float(above[window][own].mean())
        if signal < 3 * noise:
            continue
        others = (labels[window] > 0) & ~own
        valid = ndi.distance_transform_edt(~others) > 5 if others.any() else np.ones(own.shape, dtype=bool)
        row = np.floor(signed_distance(own, (1.0, 1.0)) - EDGE_CENTRES[0] + 0.5).astype(int)
        valid &= (row >= 0) & (row < reach)
        total = np.bincount(row[valid], above[window][valid] / signal, reach)
        count = np.bincount(row[valid], minlength=reach)
        profiles.append(np.where(count >= 4, total / np.maximum(count, 1), np.nan))
    return np.asarray(profiles).reshape(-1, reach)


def typical_profile(profiles: Array) -> Array:
    """Return the median profile, (14,), NaN where fewer than five cells are known.

    The median, because the background under a cell next to something bright and unlabelled is overestimated.
    """
    known = np.isfinite(profiles).sum(axis=0) >= 5
    typical = np.full(len(EDGE_CENTRES), np.nan)
    if known.any():
        typical[known] = np.nanmedian(profiles[:, known], axis=0)
    return typical
