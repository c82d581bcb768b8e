"""XY slices and isotropic XZ slices of the volumes, in the eyes of a pretrained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import ndimage as ndi

from cytocascade.evaluation.extractors import INSTALL_FID, Extractor
from cytocascade.evaluation.measured import centred_crop
from cytocascade.evaluation.perceptual import LEFT_OUT, scaled, tile_distance
from cytocascade.evaluation.results import Perceptual
from cytocascade.evaluation.splits import Split
from cytocascade.evaluation.volumes.measured import VolumeSet
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, FloatArray

MAX_TILES = 96
MIN_SIDE = 32
MAX_SIDE = 224

View = Literal["xy", "xz"]


def grey_range(real: VolumeSet) -> tuple[float, float]:
    """Return the 0.1th and 99.9th percentile of the real intensities: black and white for both sets."""
    voxels = np.concatenate([v.image.ravel()[:: max(1, v.image.size // 262144)] for v in real.volumes])
    low, high = np.percentile(voxels, [0.1, 99.9])
    return float(low), float(max(high, low + 1e-6))


def isotropic(plane: Array, spacing: tuple[float, float], *, order: int = 1) -> Array:
    """Return a plane (Z, X) at `spacing` (z, x) with z resampled to the step of x."""
    rows = max(1, round(plane.shape[0] * spacing[0] / spacing[1]))
    if rows == plane.shape[0]:
        return plane
    zoom = (rows / plane.shape[0], 1)
    return np.asarray(ndi.zoom(plane, zoom, order=order, mode="nearest", grid_mode=True))


def view_side(sets: Sequence[VolumeSet], view: View) -> int:
    """Return the side of square tiles: what every volume holds, between `MIN_SIDE` and `MAX_SIDE` pixels."""
    sides = []
    for measured in sets:
        z, _, x = measured.spacing
        for part in measured.parts:
            depth, height, width = measured.block(part)[0].shape
            sides.append(min(height if view == "xy" else round(depth * z / x), width))
    return int(np.clip(min(sides), MIN_SIDE, MAX_SIDE))


def cut_tiles(measured: VolumeSet, view: View, side: int, chooser: np.random.Generator) -> tuple[FloatArray, Array]:
    """Cut at most `MAX_TILES` square tiles from slices that show cells.

    Parameters
    ----------
    measured : VolumeSet
        The volumes.
    view : {"xy", "xz"}
        Slices (Y, X) at single depths, or (Z, X) at single rows, with z resampled to the step of x.
    side : int
        Side in pixels; slices that are smaller are mirrored at their edges.
    chooser : Generator
        Where the tiles lie along the slices.

    Returns
    -------
    ndarray of float32, (n, side, side)
        Intensities.
    ndarray of int, (n,)
        Part of each tile.
    """
    each = max(2, MAX_TILES // len(measured.parts))
    tiles, owners = [], []
    for number, part in list(enumerate(measured.parts))[:MAX_TILES]:
        image, labels, _ = measured.block(part)
        axis, other = (0, (1, 2)) if view == "xy" else (1, (0, 2))
        shown = np.flatnonzero((labels > 0).any(axis=other))
        places = shown if len(shown) else np.arange(image.shape[axis])
        count = min(each, len(places))
        for place in places[((np.arange(count) + 0.5) * len(places) / count).astype(int)]:
            plane = image.take(place, axis=axis)
            if view == "xz":
                plane = isotropic(plane, (measured.spacing[0], measured.spacing[2]))
            centre = [_somewhere(size, side, chooser) for size in plane.shape]
            tiles.append(centred_crop(plane, np.array(centre), side))
            owners.append(number)
    return np.stack(tiles).astype(np.float32), np.array(owners)


def _somewhere(size: int, side: int, chooser: np.random.Generator) -> float:
    """Return a centre of a tile inside the slice, or the middle where the slice is smaller."""
    return float(size // 2 if size <= side else side // 2 + chooser.integers(0, size - side + 1))


def compare_views(
    real: VolumeSet, synthetic: VolumeSet, extractor: Extractor | None, splits: Sequence[Split], seed: int
) -> Perceptual:
    """Compare XY and XZ tiles by the features of `extractor`, all in the grey range of the real set."""
    grey = grey_range(real)
    distances = []
    views: tuple[View, ...] = () if extractor is None else ("xy", "xz")
    for view in views:
        assert extractor is not None
        side = view_side((real, synthetic), view)
        chooser = numpy_generator(seed, "evaluation", "volume tiles", view)
        (ours, owners), (theirs, _) = (cut_tiles(one, view, side, chooser) for one in (real, synthetic))
        features = extractor.features(scaled(ours, grey)), extractor.features(scaled(theirs, grey))
        distances.append(tile_distance(view, side, min(len(ours), len(theirs)), features, owners, splits, seed))
    inception = extractor is not None and extractor.key == "inception"
    return Perceptual(
        extractor="none" if extractor is None else extractor.key,
        frechet_name="" if extractor is None else extractor.frechet_name,
        kernel_name="" if extractor is None else extractor.kernel_name,
        low=grey[0],
        high=grey[1],
        distances=distances,
        note=LEFT_OUT
        if extractor is None
        else ("" if inception else f"This is not FID. For FID and KID: {INSTALL_FID}"),
    )
