"""Room around canonical crops: the light of long cells does not end where their crop does."""

from __future__ import annotations

import numpy as np

from cytocascade.images.cells import signed_distance
from cytocascade.types import Array, FloatArray

ROOM = 9
"""Canonical pixels that are added on every side: as far as cells shine at most."""

_DARKEST = 0.02
_DEPTHS = np.arange(-2.0 * ROOM, 1.0)


def with_room(distance: FloatArray) -> FloatArray:
    """Continue signed distances beyond their crops.

    Parameters
    ----------
    distance : ndarray, (n, S, S) float32
        Signed distance to the outline in pixels, positive inside; no mask reaches the border.

    Returns
    -------
    ndarray of float32, (n, S + 2 `ROOM`, S + 2 `ROOM`)
        As it was within the crop, exact beyond it.
    """
    side = distance.shape[-1]
    result = np.empty((len(distance), side + 2 * ROOM, side + 2 * ROOM), dtype=np.float32)
    for one, wider in zip(distance, result):
        wider[:] = signed_distance(np.pad(one > 0, ROOM), (1.0, 1.0))
        wider[ROOM:-ROOM, ROOM:-ROOM] = one
    return result


def with_rim(signal: FloatArray, distance: FloatArray) -> FloatArray:
    """Continue the light of fluorescent cells beyond their crops.

    Parameters
    ----------
    signal : ndarray, (n, S, S) float32
        Relative light within the crops.
    distance : ndarray, (n, S + 2 `ROOM`, S + 2 `ROOM`) float32
        From `with_room`.

    Returns
    -------
    ndarray of float32, as large as `distance`
        Beyond the crop, light falls off from what it is at the crop's border as it does, on average, within it.
    """
    result = np.pad(signal, [(0, 0), (ROOM, ROOM), (ROOM, ROOM)], mode="edge")
    at_border = np.pad(distance[:, ROOM:-ROOM, ROOM:-ROOM], [(0, 0), (ROOM, ROOM), (ROOM, ROOM)], mode="edge")
    beyond = np.ones(distance.shape[1:], dtype=bool)
    beyond[ROOM:-ROOM, ROOM:-ROOM] = False
    for light, depth, from_, inner in zip(result, distance, at_border, signal):
        near = beyond & (depth > -2.0 * ROOM)
        if (from_[near] < -ROOM).all():
            # Nothing of the cell shines as far as its crop's border.
            light[beyond] = 0.0
            continue
        profile = _profile(inner, depth[ROOM:-ROOM, ROOM:-ROOM])
        fall = np.interp(depth[beyond], _DEPTHS, profile) / np.interp(from_[beyond], _DEPTHS, profile)
        light[beyond] *= np.minimum(fall, 1.0).astype(np.float32)
    return np.asarray(result, dtype=np.float32)


def _profile(signal: FloatArray, depth: FloatArray) -> Array:
    """Return the mean light at `_DEPTHS`, rising towards the outline and never quite dark."""
    place = np.round(depth - _DEPTHS[0]).astype(int)
    valid = (place >= 0) & (place < len(_DEPTHS))
    count = np.bincount(place[valid], minlength=len(_DEPTHS))
    mean = np.bincount(place[valid], signal[valid], len(_DEPTHS)) / np.maximum(count, 1)
    known = count > 0
    mean = np.interp(_DEPTHS, _DEPTHS[known], mean[known]) if known.any() else np.ones(len(_DEPTHS))
    # A floor that itself falls: the farthest light fades out.
    floor = _DARKEST * np.exp(_DEPTHS / ROOM)
    return np.asarray(np.maximum.accumulate(np.maximum(mean, floor)))
