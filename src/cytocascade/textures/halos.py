"""Halos of cells in phase contrast that are of another size than those the networks have learned."""

from __future__ import annotations

import numpy as np

from cytocascade.textures.alignment import moved_along_normals
from cytocascade.types import FloatArray


def stretched_halos(signal: FloatArray, distance: FloatArray, factor: float, fineness: int = 1) -> FloatArray:
    """Return the light with the halos around the cells made wider, the light inside left as it is.

    Parameters
    ----------
    signal : ndarray, (n, S, S) float32
        Relative light.
    distance : ndarray, (n, S, S) float32
        Signed distance to the outline in canonical pixels, positive inside.
    factor : float
        By which they become wider (above 1) or narrower.
    fineness : int
        Samples per canonical pixel, along each axis.

    Returns
    -------
    ndarray, (n, S, S) float32
    """
    if factor == 1.0 or not len(signal):
        return signal
    return np.stack([_stretched(light, depth, factor, fineness) for light, depth in zip(signal, distance)])


def _stretched(light: FloatArray, depth: FloatArray, factor: float, fineness: int) -> FloatArray:
    outside = np.minimum(depth, 0.0)
    # Light is taken from along the way to the outline, where the halo was as far on as it is to be here.
    farther = (outside / factor - outside) * fineness
    return np.asarray(moved_along_normals(light, depth, farther, order=1), dtype=np.float32)
