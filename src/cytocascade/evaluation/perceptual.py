"""FID, KID and their stand-ins, on tiles of fields and on single-cell crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from cytocascade.evaluation.extractors import INSTALL_FID, INSTALL_SMALL, Extractor
from cytocascade.evaluation.frechet import frechet_distance, kernel_distance
from cytocascade.evaluation.measured import MeasuredImage, MeasuredSet, centred_crop
from cytocascade.evaluation.results import Perceptual, PerceptualDistance, TileKind
from cytocascade.evaluation.splits import Split, with_floor
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, FloatArray

MAX_TILES = 256
CELLS_PER_TILE = 8
ENOUGH_TILES = 96
LEFT_OUT = (
    f"FID and KID are left out: no feature network was used. They need: {INSTALL_FID} "
    f"(or, for distances on a small network under its own name: {INSTALL_SMALL})."
)


def grey_range(real: MeasuredSet) -> tuple[float, float]:
    """Return the 0.1th and 99.9th percentile of the real intensities: black and white for both sets."""
    pixels = np.concatenate([image.image.ravel()[:: max(1, image.image.size // 65536)] for image in real.images])
    low, high = np.percentile(pixels, [0.1, 99.9])
    return float(low), float(max(high, low + 1e-6))


def scaled(image: FloatArray, grey: tuple[float, float]) -> FloatArray:
    """Return `image` with the grey range mapped to [0, 1], clipped."""
    return np.asarray(np.clip((image - grey[0]) / (grey[1] - grey[0]), 0, 1).astype(np.float32))


def tile_side(real: MeasuredSet, synthetic: MeasuredSet) -> int:
    """Return the side of tiles of about `CELLS_PER_TILE` real cells, 96 to 384 px; less if tiles run short."""
    pixels = sum(image.image.size for image in real.images)
    cells = max(1, sum(len(image.table) for image in real.images))
    smallest = min(min(image.image.shape) for one in (real, synthetic) for image in one.images)
    side = min(384.0, smallest, max(96.0, float(np.sqrt(CELLS_PER_TILE * pixels / cells))))

    def enough(candidate: float) -> bool:
        return all(len(_tile_corners(one, int(candidate))) >= ENOUGH_TILES for one in (real, synthetic))

    while side > 96 and not enough(side):
        side = max(96.0, 0.85 * side)
    return int(side)


def cell_crop_side(real: MeasuredSet) -> int:
    """Return the side (pixels, even) of crops that show nearly every real cell with some surroundings."""
    extent = float(np.percentile([cell.extent for cell in real.cells], 95))
    return int(np.clip(1.3 * extent, 24, 192)) // 2 * 2


def _tile_corners(measured: MeasuredSet, side: int) -> Array:
    corners = []
    for index, image in enumerate(measured.images):
        rows, columns = (size // side for size in image.image.shape)
        top, left = (image.image.shape[0] - rows * side) // 2, (image.image.shape[1] - columns * side) // 2
        corners += [(index, top + r * side, left + c * side) for r in range(rows) for c in range(columns)]
    return np.array(corners, dtype=np.int64).reshape(-1, 3)


def _field_tiles(
    measured: MeasuredSet, side: int, grey: tuple[float, float], chooser: np.random.Generator
) -> tuple[FloatArray, Array]:
    corners = _chosen(_tile_corners(measured, side), chooser)
    tiles = [_cut(measured.images[i], top, left, side) for i, top, left in corners]
    return scaled(np.stack(tiles), grey), corners[:, 0]


def _cut(image: MeasuredImage, top: int, left: int, side: int) -> FloatArray:
    return image.image[top : top + side, left : left + side]


def _cell_tiles(
    measured: MeasuredSet, side: int, grey: tuple[float, float], chooser: np.random.Generator
) -> tuple[FloatArray, Array]:
    cells = [measured.cells[i] for i in _chosen(np.arange(len(measured.cells)), chooser)]
    crops = [centred_crop(measured.images[cell.image].image, measured.centroid(cell), side) for cell in cells]
    return scaled(np.stack(crops), grey), np.array([cell.image for cell in cells])


def _chosen(items: Array, chooser: np.random.Generator) -> Array:
    if len(items) <= MAX_TILES:
        return items
    return np.asarray(items[np.sort(chooser.choice(len(items), MAX_TILES, replace=False))])


def compare_perceptually(
    real: MeasuredSet, synthetic: MeasuredSet, extractor: Extractor | None, splits: Sequence[Split], seed: int
) -> Perceptual:
    """Compare tiles and cells by the features of `extractor`.

    Both sets are tiled the same way and drawn in the grey range of the real one. Every distance that has a
    floor is taken between the same number of tiles as its floor.
    """
    grey = grey_range(real)
    if extractor is None:
        return Perceptual(
            extractor="none",
            frechet_name="",
            kernel_name="",
            low=grey[0],
            high=grey[1],
            distances=[],
            note=LEFT_OUT,
        )
    field_side, cell_side = tile_side(real, synthetic), cell_crop_side(real)
    distances = []
    for what, side, cut in (("fields", field_side, _field_tiles), ("cells", cell_side, _cell_tiles)):
        chooser = numpy_generator(seed, "evaluation", "tiles", what)
        (ours, owners), (theirs, _) = (cut(one, side, grey, chooser) for one in (real, synthetic))
        count = min(len(ours), len(theirs))
        features = extractor.features(ours), extractor.features(theirs)
        label: Literal["fields", "cells"] = "fields" if what == "fields" else "cells"
        distances.append(tile_distance(label, side, count, features, owners, splits, seed))
    note = "" if extractor.key == "inception" else f"This is not FID. For FID and KID: {INSTALL_FID}"
    return Perceptual(
        extractor=extractor.key,
        frechet_name=extractor.frechet_name,
        kernel_name=extractor.kernel_name,
        low=grey[0],
        high=grey[1],
        distances=distances,
        note=note,
    )


def tile_distance(
    what: TileKind,
    side: int,
    count_all: int,
    features: tuple[Array, Array],
    owners: Array,
    splits: Sequence[Split],
    seed: int,
) -> PerceptualDistance:
    """Return the distances of two sets of tiles.

    Parameters
    ----------
    what : str
        What the tiles show; also a key of the draws.
    side : int
        Side of the tiles in pixels.
    count_all : int
        Tiles that both sets have.
    features : tuple of ndarray, (n, d) and (m, d) float64
        Network features of the real and the synthetic tiles.
    owners : ndarray of int, (n,)
        Image of each real tile, as counted in `splits`.
    splits : sequence of Split
        Halves of the real images.
    seed : int
        Seed of the draws.
    """
    ours, theirs = features
    draw = numpy_generator(seed, "evaluation", "perceptual", what)
    halves = [tuple(np.flatnonzero(np.isin(owners, half)) for half in (s.first, s.second)) for s in splits]
    count = min(len(theirs), *(len(half) for pair in halves for half in pair))
    synthetic_values, floors, kernel_floors = [], [], []
    for pair in halves:
        first, second = (ours[draw.choice(half, count, replace=False)] for half in pair)
        floors.append(frechet_distance(first, second))
        kernel_floors.append(kernel_distance(first, second, draw)[0])
        for half in (first, second):
            other = theirs[draw.choice(len(theirs), count, replace=False)]
            synthetic_values.append(frechet_distance(half, other))
    kernel, kernel_sd = kernel_distance(ours, theirs, draw)
    every = [x[draw.choice(len(x), count_all, replace=False)] for x in (ours, theirs)]
    return PerceptualDistance(
        what=what,
        side=side,
        count=count,
        frechet=with_floor(float(np.mean(synthetic_values)), floors),
        count_all=count_all,
        frechet_all=frechet_distance(*every),
        kernel=with_floor(kernel, kernel_floors),
        kernel_sd=kernel_sd,
    )
