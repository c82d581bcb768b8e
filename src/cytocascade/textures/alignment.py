"""Light that ends where the outline does: what networks paint is moved along the normals of the mask.

Annotators draw outlines by hand, here a little inside the light and there a little outside. Networks that learn from
them learn that too, while a segmenter cannot: to it labels that stray from the light are noise.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.images.cells import slopes
from cytocascade.types import Array, FloatArray

REACH = 3.0
"""Distance from the outline, in canonical pixels, in which light tells how deep it is."""

FARTHEST = 2.5
"""Most that light is moved, in canonical pixels."""

_SMOOTHING = 1.0
_NEIGHBOURHOOD = 4.5
_ALONG = 1.5
_DEPTHS = np.arange(-REACH - 1.0, REACH + 1.01, 0.5)
_LEAST_STEP = 0.15
"""Least fall of light across the outline, relative to the cell's mean, from which depth can be told."""


def aligned(signal: FloatArray, distance: FloatArray) -> FloatArray:
    """Move the light of fluorescent cells so that it falls off at the same depth all along the outline.

    How light falls off is taken from the cell itself: the mean profile across its outline tells at which depth a pixel
    of a given light is usual. So cells stay as large, as sharp and as bright at the outline as they are; only where
    light strays from the outline is it moved.

    Parameters
    ----------
    signal, distance : ndarray, (n, S, S) float32
        Relative light, and signed distance to the outline in pixels, positive inside.

    Returns
    -------
    ndarray of float32, (n, S, S)
        Farther than about `2 * REACH` from the outline nothing is changed.
    """
    moved = np.empty_like(signal, dtype=np.float32)
    for number, (light, depth) in enumerate(zip(signal, distance)):
        moved[number] = _moved(light, depth)
    return moved


def strayed(light: FloatArray, depth: FloatArray) -> FloatArray:
    """Return how much deeper the outline puts every pixel than its light does, 0 away from the outline.

    Parameters
    ----------
    light, depth : ndarray, (S, S) float32
        Light and signed distance of one cell.
    """
    share, known = _share(ndi.gaussian_filter(light, _SMOOTHING), depth)
    near = known & (np.abs(depth) <= REACH)
    profile = _profile(share, depth, known)
    if profile is None or not near.any():
        return np.zeros_like(depth)
    told = np.interp(share, profile, _DEPTHS)
    weight = near * (1.0 - (np.abs(depth) / (REACH + 0.5)) ** 2)
    wanted = ndi.gaussian_filter(np.where(near, weight * (depth - told), 0.0), _ALONG)
    total = ndi.gaussian_filter(weight, _ALONG)
    stray = wanted / np.maximum(total, 0.1)
    return np.asarray(np.clip(stray, -FARTHEST, FARTHEST), dtype=np.float32)


def moved_along_normals(light: Array, depth: FloatArray, stray: Array, *, order: int = 3) -> Array:
    """Return the light of one cell, (S, S), moved across its outline by `stray` pixels, outwards where positive.

    `order` is that of the splines it is interpolated with.
    """
    rises, length = slopes(depth)
    places = np.indices(depth.shape) + [stray * rise / length for rise in rises]
    return np.asarray(ndi.map_coordinates(light, places, order=order, mode="nearest"))


def mean_by_depth(light: Array, depth: FloatArray, known: Array, depths: Array) -> tuple[Array, Array]:
    """Return the mean of the known light at every half pixel of depth, 0 without any, and how many pixels tell."""
    place = np.floor((depth - depths[0]) / 0.5 + 0.5).astype(int)
    valid = known & (place >= 0) & (place < len(depths))
    count = np.bincount(place[valid], minlength=len(depths))
    return np.bincount(place[valid], light[valid], len(depths)) / np.maximum(count, 1), count


def _moved(light: FloatArray, depth: FloatArray) -> FloatArray:
    stray = strayed(light, depth)
    moved = moved_along_normals(light, depth, stray) if stray.any() else light
    return np.asarray(moved, dtype=np.float32)


def _share(light: FloatArray, depth: FloatArray) -> tuple[Array, Array]:
    """Return the light relative to that outside (0) and inside (1) nearby, and where both are known."""
    deepest = float(depth.max())
    inside, some = _nearby(light, (depth >= min(REACH, deepest - 1.0)) & (depth <= 3 * REACH))
    outside, any_ = _nearby(light, (depth <= -REACH) & (depth >= -3 * REACH))
    step = inside - outside
    known = some & any_ & (step > _LEAST_STEP)
    return (light - outside) / np.where(known, step, 1.0), known


def _nearby(light: FloatArray, chosen: Array) -> tuple[Array, Array]:
    """Return the mean of the chosen pixels around every pixel, and where there are enough."""
    share = ndi.gaussian_filter(chosen.astype(np.float64), _NEIGHBOURHOOD)
    mean = ndi.gaussian_filter(np.where(chosen, light, 0.0), _NEIGHBOURHOOD) / np.maximum(share, 1e-6)
    return mean, share > 0.01


def _profile(share: Array, depth: FloatArray, known: Array) -> Array | None:
    """Return the mean share at `_DEPTHS`, rising strictly; None if it cannot be told."""
    mean, count = mean_by_depth(share, depth, known, _DEPTHS)
    if (count < 4).any():
        return None
    return np.asarray(np.maximum.accumulate(mean) + 1e-6 * np.arange(len(_DEPTHS)))
