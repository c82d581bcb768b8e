"""Masks as concave as wished: what sets an outline apart from a smooth one is exaggerated, or taken back."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage as ndi

from cytocascade.images.descriptors import mask_solidity
from cytocascade.masks.adjustment import adjust_mask
from cytocascade.masks.maskddpm import clean_mask
from cytocascade.types import FloatArray

EXAGGERATIONS = (0.5, 1.0, 1.5, 2.0, 3.0)
SMOOTHINGS = (-0.3, -0.6, -0.9)
"""Multiples of an outline's detail that are added, one after the other, until the mask is as concave as wished."""

CLOSE = 0.004
"""Solidities that differ by less are the same: about one pixel of a small cell."""

SMALLEST = 60
"""Cells of fewer canonical pixels have no detail."""

_FINE = 1.0
_COARSE = 0.45
_PAD = 8
_OFF = 0.05


def adjust_concavity(distance: FloatArray, area: float, eccentricity: float, solidity: float) -> FloatArray:
    """Bring a mask nearer to a wished solidity, and then to its area and eccentricity again.

    The network follows wishes for concavity only on average. Outlines are exaggerated as in a caricature, by unsharp
    masking of the signed distance: dents become deeper where the network drew them.

    Parameters
    ----------
    distance : ndarray, (S, S) float32
        Signed distance to the outline, positive inside.
    area : float
        Wished area in canonical pixels.
    eccentricity, solidity : float
        Wished eccentricity in [0, 1), and area over that of the convex hull in (0, 1].

    Returns
    -------
    ndarray, (S, S) float32
        Adjusted in area and eccentricity alone where detail would tear the mask apart or brings it no nearer.
    """
    best = adjust_mask(distance, area, eccentricity)
    error = mask_solidity(best > 0) - solidity
    if abs(error) < CLOSE or (distance > 0).sum() < SMALLEST:
        return best
    # Beyond the crop distances go on falling; a border that was repeated would bend outlines near it.
    padded = np.pad(distance, _PAD, mode="reflect", reflect_type="odd")
    coarse = max(2.0, _COARSE * math.sqrt(area / math.pi))
    detail = (ndi.gaussian_filter(padded, _FINE) - ndi.gaussian_filter(padded, coarse))[_PAD:-_PAD, _PAD:-_PAD]
    before = (0.0, error)
    for amount in EXAGGERATIONS if error > 0 else SMOOTHINGS:
        made = _changed(distance, detail, amount, area, eccentricity)
        if made is None:
            break
        found = mask_solidity(made > 0) - solidity
        if found * error <= 0:
            between = before[0] + (amount - before[0]) * before[1] / (before[1] - found)
            middle = _changed(distance, detail, between, area, eccentricity)
            tried = [one for one in (best, middle, made) if one is not None]
            return min(tried, key=lambda one: abs(mask_solidity(one > 0) - solidity))
        if abs(found) < abs(before[1]):
            best, before = made, (amount, found)
    return best


def _changed(
    distance: FloatArray, detail: FloatArray, amount: float, area: float, eccentricity: float
) -> FloatArray | None:
    """Return the mask with so much more detail, or None if it falls apart or cannot be brought to its size."""
    made = clean_mask(np.asarray(distance + np.float32(amount) * detail, dtype=np.float32))
    if made is None:
        return None
    adjusted = adjust_mask(made, area, eccentricity)
    return adjusted if abs((adjusted > 0).sum() - area) < _OFF * area else None
