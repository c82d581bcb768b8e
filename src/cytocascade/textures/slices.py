"""Textures of all slices of a cell: continuous along z, without flicker and without odd caps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import Modality
from cytocascade.textures.alignment import aligned
from cytocascade.textures.axial_noise import AxialNoise, axial_starting_noise, check_slices
from cytocascade.textures.model import Textures, calm_rim, painted, stretched
from cytocascade.types import Array, BoolArray, FloatArray

SMALLEST_RADIUS = 6.0
"""Slices whose largest inscribed circle is smaller (canonical pixels) are painted as if they reached this far."""

_NODES = np.arange(-12.0, 9.0)
"""Distances, in canonical pixels, at which a cell's edge profile is measured; constant beyond them."""


def sample_slice_textures(
    model: Textures,
    distance: FloatArray,
    heights: Array,
    cell: Array,
    texture: FloatArray,
    seeds: Sequence[int],
    *,
    noise: AxialNoise,
    modality: Modality,
    style: int = 0,
    steps: int | None = None,
    guidance: float = 1.0,
    contrast: float = 1.0,
    align: bool = False,
    workers: int = 1,
) -> FloatArray:
    """Paint light into the slices of several cells.

    The network has learned slices whose mean inside is 1. Small slices are mostly edge, so the middle of a cap would
    come out brighter than the slices below it. Here the *level* of all slices of a cell is the same instead: the mean
    inside over what the cell's edge profile (light as a function of the distance from the outline, from its large
    slices) makes one expect. Caps too small for the network are painted as somewhat larger slices, and their light is
    then brought to the true outline by the same profile.

    Parameters
    ----------
    model : Denoiser or TexturePainter
        Trained texture model.
    distance : ndarray, (n_slices, 64, 64) float32
        Signed distance of every slice to its outline in the slice's plane, in canonical pixels, positive inside. All
        slices of a cell share one frame. Slices may be empty (negative everywhere): they hold the rim of a cap.
    heights : ndarray, (n_slices,)
        Height of every slice in micrometres.
    cell : ndarray of int, (n_slices,)
        Which cell every slice belongs to, from 0.
    texture : ndarray, (n_cells, 2) float32
        Wished `TEXTURE_NAMES` of every cell.
    seeds : sequence of int, (n_cells,)
        One seed per cell.
    noise : AxialNoise
        How alike slices are.
    modality : {"fluorescence", "phase"}
        What the model was trained on. Phase contrast is painted slice by slice and left as it comes.
    style, steps, guidance, workers
        See `cytocascade.textures.base.TexturePainter`.
    contrast : float
        Factor on the deviations from the mean inside the mask (fluorescence).
    align : bool
        Whether light that strays from the outline is moved there (fluorescence); see `textures.alignment`.

    Returns
    -------
    ndarray, (n_slices, 64, 64) float32
        Relative signal: in fluorescence the mean over all pixels inside a cell is 1. It means nothing farther than
        `textures.model.RIM` canonical pixels from the outline; `fade` ends it.

    Raises
    ------
    CytoCascadeError
        If slices, heights, cells, textures and seeds do not belong together.
    """
    heights, cell = np.asarray(heights, dtype=np.float64), np.asarray(cell)
    check_slices(heights, cell, len(seeds))
    if len(distance) != len(cell) or len(texture) != len(seeds):
        raise CytoCascadeError(
            f"{len(distance)} masks for {len(cell)} slices, {len(texture)} textures for {len(seeds)} cells",
            hint="Give one mask and one height per slice, and one texture and one seed per cell.",
        )
    channels, size, _ = model.sample_shape
    start = axial_starting_noise(noise, heights, cell, seeds, channels=channels, size=size)
    shown = painted_distance(distance, cell) if modality == "fluorescence" else distance
    signal = painted(
        model,
        start,
        shown,
        np.asarray(texture, dtype=np.float32)[cell],
        modality=modality,
        style=style,
        steps=steps,
        guidance=guidance,
        workers=workers,
    )
    if modality == "fluorescence":
        if align:
            signal = aligned(signal, shown)
        for number in np.unique(cell):
            chosen = cell == number
            signal[chosen] = _one_cell(signal[chosen], distance[chosen], shown[chosen], contrast)
    return signal


def painted_distance(distance: FloatArray, cell: Array) -> FloatArray:
    """Return the masks that the network is shown: as they are, but caps grown to a size it knows.

    Parameters
    ----------
    distance : ndarray, (n_slices, 64, 64) float32
        Signed distance in canonical pixels.
    cell : ndarray of int, (n_slices,)
        Which cell every slice belongs to.

    Returns
    -------
    ndarray, (n_slices, 64, 64) float32
        Every slice's inscribed circle has a radius of at least `SMALLEST_RADIUS`, or 0.6 of that of the cell's largest
        slice if this is less. Grows continuously as slices shrink.
    """
    radius = distance.max(axis=(1, 2))
    largest = np.zeros(len(radius))
    for number in np.unique(cell):
        largest[cell == number] = radius[cell == number].max()
    missing = np.maximum(np.minimum(SMALLEST_RADIUS, 0.6 * largest) - radius, 0.0)
    return np.asarray(distance + missing[:, None, None], dtype=np.float32)


def _one_cell(signal: FloatArray, distance: FloatArray, shown: FloatArray, contrast: float) -> FloatArray:
    """Return the final signal of one cell's slices, (S, 64, 64), from what the network painted into `shown`."""
    profile = edge_profile(signal, distance)
    expected = _at(profile, shown)
    level = _mean(signal, shown > 0, axes=(1, 2)) / np.clip(_mean(expected, shown > 0, axes=(1, 2)), 0.2, 5.0)
    signal = signal / np.clip(level, 0.2, 5.0)[:, None, None]
    grown = shown - distance > 1e-3
    outline = np.clip(_at(profile, distance) / np.maximum(expected, 0.05), 0.0, 1.5)
    signal = np.where(grown, signal * outline, signal)
    signal = _cell_mean_one(signal, distance > 0)
    signal = _cell_mean_one(stretched(signal, distance, contrast), distance > 0)
    return calm_rim(np.asarray(signal, dtype=np.float32), distance)


def edge_profile(signal: FloatArray, distance: FloatArray) -> Array:
    """Return the mean signal at distances from -12 to 8 canonical pixels, (21,), from a cell's large slices.

    Large are the slices of at least half the largest area.

    Parameters
    ----------
    signal, distance : ndarray, (S, 64, 64) float32
        Relative signal and signed distance of the slices of one cell.
    """
    area = (distance > 0).sum(axis=(1, 2))
    large = area >= 0.5 * max(int(area.max()), 1)
    if not large.any():
        return np.ones(len(_NODES))
    where = np.clip(distance[large], _NODES[0], _NODES[-1]) - _NODES[0]
    lower = np.minimum(where.astype(int), len(_NODES) - 2)
    upper_share = (where - lower).ravel()
    values = signal[large].ravel()
    total, weight = np.zeros(len(_NODES)), np.zeros(len(_NODES))
    for index, share in ((lower.ravel(), 1 - upper_share), (lower.ravel() + 1, upper_share)):
        total += np.bincount(index, share * values, len(_NODES))
        weight += np.bincount(index, share, len(_NODES))
    known = weight > 1.0
    mean = total[known] / weight[known]
    return np.asarray(np.maximum(np.interp(_NODES, _NODES[known], mean), 0.0))


def _at(profile: Array, distance: FloatArray) -> Array:
    return np.asarray(np.interp(distance, _NODES, profile))


def _mean(values: Array, where: BoolArray, axes: tuple[int, ...]) -> Array:
    return np.asarray((values * where).sum(axis=axes) / np.maximum(where.sum(axis=axes), 1))


def _cell_mean_one(signal: Array, inside: BoolArray) -> Array:
    """Divide by the mean inside the cell: one factor for all its slices, so that none flickers."""
    mean = float(_mean(signal, inside, axes=(0, 1, 2))) if inside.any() else 1.0
    return np.asarray(signal / np.clip(mean, 0.2, 5.0))
