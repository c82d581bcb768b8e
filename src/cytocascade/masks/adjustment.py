"""Small stretches that give a sampled mask exactly the area and eccentricity that were wished."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from skimage.measure import regionprops

from cytocascade.images.cells import fineness_of, signed_distance
from cytocascade.types import FloatArray

MOST_STRETCH = 1.2
"""Largest factor along either axis; what is farther off stays so, rather than being distorted."""


def adjust_mask(distance: FloatArray, area: float, eccentricity: float) -> FloatArray:
    """Stretch a mask along its principal axes towards a wished area and eccentricity.

    The network follows its wishes on average, not to the pixel; without this the spread of its errors would
    widen the fitted distributions.

    Parameters
    ----------
    distance : ndarray, (S, S) float32
        Signed distance to the outline in canonical pixels, positive inside.
    area : float
        Wished area in canonical pixels.
    eccentricity : float
        Wished eccentricity in [0, 1).

    Returns
    -------
    ndarray, (S, S) float32
        The input itself if the stretched mask would reach the border or fall apart.
    """
    region = regionprops((distance > 0).astype(np.uint8))[0]
    ratio = region.axis_minor_length / max(region.axis_major_length, 1e-6)
    if region.area < 12 or ratio < 0.05:
        return distance
    wished = np.sqrt(1.0 - np.clip(eccentricity, 0.0, 0.995) ** 2)
    fineness = fineness_of(distance)
    growth = area * fineness**2 / region.area
    major = np.clip(np.sqrt(growth * ratio / wished), 1 / MOST_STRETCH, MOST_STRETCH)
    minor = np.clip(np.sqrt(growth * wished / ratio), 1 / MOST_STRETCH, MOST_STRETCH)
    # The orientation of skimage is the angle between the major axis and the row axis.
    along = np.asarray([np.cos(region.orientation), np.sin(region.orientation)])
    across = np.asarray([-along[1], along[0]])
    inverse = np.outer(along, along) / major + np.outer(across, across) / minor
    centre = np.asarray(region.centroid)
    stretched = ndi.affine_transform(distance, inverse, centre - inverse @ centre, order=1, mode="nearest")
    mask = stretched > 0
    if ndi.label(mask)[1] != 1 or mask[[0, -1]].any() or mask[:, [0, -1]].any():
        return distance
    far = signed_distance(mask, (1.0 / fineness, 1.0 / fineness))
    return np.where(np.abs(far) < 2.0, stretched, far).astype(np.float32)
