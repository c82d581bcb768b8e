"""Phase contrast: dark and bright fringes that follow the outline, before textures are learned.

The outline of a cell in phase contrast is a bright fringe outside and a dark one inside. Annotators draw it by hand,
here a little too far out and there a little too far in, often by as much as the fringes are wide. Networks that learn
from that paint fringes that are washed out, or lie anywhere. So the light of the real cells is moved along the normals
of their outlines first, to where fringes lie on average: what is learned then is one clear rule, and cells stay as
large as they are drawn.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage as ndi

from cytocascade.images.cells import SingleCells
from cytocascade.textures.alignment import mean_by_depth, moved_along_normals
from cytocascade.types import Array, BoolArray, FloatArray

FARTHEST = 4.0
"""Most that light is moved, in pixels of the crop."""

MOST_AVERAGED = 300
"""Cells that the usual fringes are averaged over, evenly chosen."""

_DEPTHS = np.arange(-8.0, 8.01, 0.5)
_SHIFTS = np.arange(-FARTHEST, FARTHEST + 0.01, 0.5)
_ROUNDS = 3
_NEAR = 9.0
_ALONG = 3.0
_RELUCTANCE = 0.01
_SHARPNESS = 20.0
_SMOOTHING = 2.0


def with_aligned_fringes(cells: SingleCells) -> SingleCells:
    """Return the cells with their fringes moved onto their outlines.

    What is usual is the mean profile across all outlines, in standard deviations of each cell's light; it becomes
    clearer with every round, of which there are three. Cells whose light does not follow it to begin with (rounded
    ones, which are bright inside) stay as they are.

    Parameters
    ----------
    cells : SingleCells
        Cells in phase contrast.
    """
    if not len(cells):
        return cells
    known = cells.known | (cells.distance > 0)
    sampled = np.linspace(0, len(cells) - 1, min(len(cells), MOST_AVERAGED)).astype(int)
    fineness = cells.fineness
    signal, distance, valid = (pooled(each[sampled], fineness) for each in (cells.signal, cells.distance, known))
    usual = usual_fringes(signal, distance, valid > 0.99)
    for _ in range(_ROUNDS - 1):
        moved = moved_fringes(signal, distance, valid > 0.99, usual)
        usual = usual_fringes(moved, distance, valid > 0.99)
    return replace(cells, signal=moved_fringes(cells.signal, cells.distance, known, usual, fineness=fineness))


def pooled(crops: Array, fineness: int) -> FloatArray:
    """Return crops, (n, S, S), at the pixels of the crop: means over `fineness` x `fineness` samples, float32."""
    count, side = len(crops), crops.shape[-1] // fineness
    blocks = np.asarray(crops, dtype=np.float32).reshape(count, side, fineness, side, fineness)
    return np.asarray(blocks.mean(axis=(2, 4)))


def usual_fringes(signal: FloatArray, distance: FloatArray, known: BoolArray) -> Array:
    """Return the mean light of cells, in their standard deviations, by depth (every half pixel from -8 to 8).

    Parameters
    ----------
    signal, distance, known : ndarray, (n, S, S)
        Relative signal, signed distance to the outline in pixels, positive inside, and where the signal is the cell's
        or its background's.
    """
    return mean_by_depth(signal / _contrast(signal, distance), distance, known, _DEPTHS)[0]


def moved_fringes(
    signal: FloatArray, distance: FloatArray, known: BoolArray, usual: Array, *, fineness: int = 1
) -> FloatArray:
    """Move the light of cells to where it is usual.

    Parameters
    ----------
    signal, distance, known, usual
        As for `usual_fringes`, and what it returns.
    fineness : int
        Samples per pixel of the crop: where fringes are is told by whole pixels, and light is moved by samples.

    Returns
    -------
    ndarray, (n, S, S) float32
    """
    moved = np.array(signal, dtype=np.float32)
    depths, valid = pooled(distance, fineness), pooled(known, fineness) > 0.99
    contrast = _contrast(pooled(signal, fineness), depths)
    for number, (light, depth) in enumerate(zip(signal / contrast, distance)):
        told = pooled(light[None], fineness)[0]
        if _alike(told, depths[number], valid[number], usual):
            stray = _stray(told, depths[number], valid[number], usual)
            moved[number] = moved_along_normals(light, depth, _by_samples(stray, fineness)) * contrast[number]
    return moved


def _by_samples(stray: Array, fineness: int) -> Array:
    """Return how far light strays, in samples, at every sample."""
    if fineness == 1:
        return stray
    places = (np.indices([side * fineness for side in stray.shape]) + 0.5) / fineness - 0.5
    return np.asarray(fineness * ndi.map_coordinates(stray, places, order=1, mode="nearest"))


def _contrast(signal: FloatArray, distance: FloatArray) -> Array:
    inside = distance > 0
    count = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    mean = np.where(inside, signal, 0).sum(axis=(1, 2), keepdims=True) / count
    square = np.where(inside, np.square(signal - mean), 0).sum(axis=(1, 2), keepdims=True) / count
    return np.asarray(np.maximum(np.sqrt(square), 0.02))


def _alike(light: FloatArray, depth: FloatArray, known: BoolArray, usual: Array) -> bool:
    """Return whether light depends on the depth as usual, if only roughly."""
    near = known & (np.abs(depth) < 4)
    expected = np.interp(depth[near], _DEPTHS, usual)
    return bool(near.sum() > 20 and np.sum((expected - expected.mean()) * light[near]) > 0)


def _stray(light: FloatArray, depth: FloatArray, known: BoolArray, usual: Array) -> Array:
    """Return how much deeper the outline puts every pixel than its light tells, 0 away from the outline.

    Every shift costs the squared difference between light and usual light, averaged along the outline; what is
    returned is their mean, the cheaper the heavier.
    """
    weight = (known & (np.abs(depth) <= _NEAR)).astype(np.float64)
    total = np.maximum(ndi.gaussian_filter(weight, _ALONG), 1e-3)
    cost = np.stack(
        [
            ndi.gaussian_filter(weight * np.square(light - np.interp(depth - shift, _DEPTHS, usual)), _ALONG) / total
            + _RELUCTANCE * shift**2
            for shift in _SHIFTS
        ]
    )
    likely = np.exp(-_SHARPNESS * (cost - cost.min(axis=0)))
    stray = np.tensordot(_SHIFTS, likely, axes=1) / likely.sum(axis=0)
    near = np.abs(depth) < _NEAR - 1
    share = ndi.gaussian_filter(near.astype(np.float64), _SMOOTHING)
    smooth = ndi.gaussian_filter(stray * near, _SMOOTHING) / np.maximum(share, 1e-3)
    return np.asarray(smooth * np.clip((_NEAR + 1 - np.abs(depth)) / 4, 0, 1))
