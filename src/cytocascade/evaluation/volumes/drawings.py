"""Pictures of the report on volumes made of voxels: planes, cells and closest pairs, z stretched to isotropic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi
from skimage.segmentation import find_boundaries

from cytocascade.evaluation.drawings import GAMMA, OUTLINE, png, to_bytes
from cytocascade.evaluation.perceptual import scaled
from cytocascade.evaluation.results import ClosePair
from cytocascade.evaluation.volumes.measured import CellReference, MeasuredVolume, VolumeSet
from cytocascade.evaluation.volumes.memorisation import aligned_cubes
from cytocascade.evaluation.volumes.views import isotropic
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, FloatArray

SHOWN_SIDE = 480
LARGEST = 360
GAP = 4
BAR = 10.0
TILE = 72


def shown_volumes(measured: VolumeSet, count: int = 2) -> list[MeasuredVolume]:
    """Return the `count` volumes with most whole cells, in their order."""
    order = sorted(range(len(measured.volumes)), key=lambda i: (-int(measured.volumes[i].whole.sum()), i))
    return [measured.volumes[i] for i in sorted(order[:count])]


def plane_pictures(volume: MeasuredVolume, grey: tuple[float, float]) -> dict[str, bytes]:
    """Return XY (top left), YZ (right) and XZ (below) through one point as PNGs: ``plain`` and ``outlined``.

    All planes have the physical aspect: z is stretched to the step of x. The point is the centroid of the
    whole cell nearest to the middle; dim parts are lifted. Wide volumes are cut to `LARGEST` pixels around it.
    The bar is `BAR` micrometres long.
    """
    point = _point(volume)
    area, inner = _around(volume, point)
    image, labels = volume.image[area], volume.labels[area]
    zoom = max(1, round(SHOWN_SIDE / max(image.shape[1:])))
    light = _arranged([_enlarged(p, zoom) for p in _planes(image, inner, volume.spacing, 1)], fill=np.nan)
    label = _arranged([_enlarged(p, zoom) for p in _planes(labels, inner, volume.spacing, 0)], fill=0)
    lifted = to_bytes(np.nan_to_num(scaled(light.astype(np.float32), grey), nan=1.0) ** GAMMA)
    bottom, width = image.shape[1] * zoom - 12, round(BAR / volume.spacing[2] * zoom)
    lifted[bottom : bottom + 4, 10 : 10 + width] = 255
    coloured = np.repeat(lifted[:, :, None], 3, axis=2)
    coloured[find_boundaries(label.astype(np.int64), mode="inner")] = OUTLINE
    return {"plain": png(lifted), "outlined": png(coloured)}


def _point(volume: MeasuredVolume) -> tuple[int, int, int]:
    """Return the centroid of the whole cell (or else of any) nearest to the middle, or the middle."""
    middle = (np.array(volume.image.shape) - 1) / 2
    rows = np.flatnonzero(volume.whole) if volume.whole.any() else np.arange(len(volume.label))
    chosen = middle
    if len(rows):
        gaps = (volume.centroid[rows] - middle)[:, 1:]
        chosen = volume.centroid[rows[int(np.argmin((gaps**2).sum(axis=1)))]]
    z, y, x = (int(p) for p in np.clip(np.round(chosen), 0, np.array(volume.image.shape) - 1))
    return z, y, x


def _around(
    volume: MeasuredVolume, point: tuple[int, int, int]
) -> tuple[tuple[slice, slice, slice], tuple[int, int, int]]:
    slices, inner = [slice(0, volume.image.shape[0])], [point[0]]
    for place, size in zip(point[1:], volume.image.shape[1:]):
        start = int(np.clip(place - LARGEST // 2, 0, max(0, size - LARGEST)))
        slices.append(slice(start, min(size, start + LARGEST)))
        inner.append(place - start)
    return (slices[0], slices[1], slices[2]), (inner[0], inner[1], inner[2])


def _planes(
    volume: Array, point: tuple[int, int, int], spacing: tuple[float, float, float], order: int
) -> tuple[Array, Array, Array]:
    """Return XY, YZ as (Y, Z) and XZ as (Z, X), with z stretched; z runs away from XY on both."""
    z, y, x = point
    aspect = spacing[0], spacing[2]
    return (
        volume[z],
        isotropic(volume[:, :, x], aspect, order=order).T,
        isotropic(volume[:, y, :], aspect, order=order),
    )


def _enlarged(plane: Array, zoom: int) -> Array:
    return plane.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _arranged(planes: Sequence[Array], *, fill: float) -> Array:
    """Return XY top left, YZ on its right and XZ below it, on one canvas."""
    xy, yz, xz = planes
    canvas = np.full((len(xy) + GAP + len(xz), xy.shape[1] + GAP + yz.shape[1]), fill, dtype=np.float64)
    canvas[: len(xy), : xy.shape[1]] = xy
    canvas[: len(xy), xy.shape[1] + GAP :] = yz
    canvas[len(xy) + GAP :, : xy.shape[1]] = xz
    return canvas


def cell_grid(measured: VolumeSet, grey: tuple[float, float], seed: int, *, columns: int = 12, rows: int = 2) -> bytes:
    """Return cells drawn at random: XY through the middle of each, below it XZ; one grey range, dim parts lifted."""
    draw = numpy_generator(seed, "evaluation", "volume cell grid")
    count = min(columns * rows, len(measured.cells))
    chosen = [measured.cells[i] for i in draw.choice(len(measured.cells), count, replace=False)]
    side = _crop_side(measured)
    tiles = [np.concatenate(_portrait_planes(measured, cell, side), axis=0) for cell in chosen]
    height, width = tiles[0].shape
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), 255, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = to_bytes(np.nan_to_num(scaled(tile, grey), nan=1.0) ** GAMMA)
    return png(canvas[: -(-count // columns) * (height + GAP) - GAP])


def _crop_side(measured: VolumeSet) -> float:
    """Return the side in micrometres of squares that show nearly every cell with some surroundings."""
    extents = []
    for cell in measured.cells:
        box = measured.volumes[cell.volume].boxes[cell.row]
        extents.append(max((s.stop - s.start) * step for s, step in zip(box, measured.spacing)))
    return 1.3 * float(np.percentile(extents, 90))


def _portrait_planes(measured: VolumeSet, cell: CellReference, side: float) -> tuple[FloatArray, FloatArray]:
    """Return XY and XZ through the centroid of `cell`, each (TILE, TILE) over `side` micrometres, NaN beyond."""
    volume = measured.volumes[cell.volume]
    offsets = (np.arange(TILE) - (TILE - 1) / 2) * side / TILE
    centre, zero = volume.centroid[cell.row], np.zeros((TILE, TILE))
    first, second = np.meshgrid(offsets, offsets, indexing="ij")
    planes = []
    for shift in ((zero, first, second), (first, zero, second)):
        places = [c + s / step for c, s, step in zip(centre, shift, volume.spacing)]
        planes.append(ndi.map_coordinates(volume.image, places, order=1, mode="constant", cval=np.nan))
    return planes[0], planes[1]


def pair_strips(pairs: Sequence[ClosePair], synthetic: VolumeSet, reference: VolumeSet) -> list[bytes]:
    """Return one PNG per pair: XY and, below, XZ of the synthetic cell, turned to fit, beside its nearest real one.

    Each is scaled to its own size and grey range: copies are found whatever their size and brightness.
    """
    strips = []
    for pair in pairs:
        halves = [
            _turned(synthetic, pair.synthetic_image, pair.synthetic_label, pair.turn, pair.flip),
            _turned(reference, pair.real_image, pair.real_label, 0.0, False),
        ]
        strips.append(
            png(np.concatenate([halves[0], np.full((len(halves[0]), GAP), 255, np.uint8), halves[1]], axis=1))
        )
    return strips


def _turned(measured: VolumeSet, name: str, label: int, turn: float, flip: bool) -> Array:
    cell = next(c for c in measured.cells if measured.volumes[c.volume].name == name and measured.label(c) == label)
    cube = aligned_cubes(measured, cell, np.array([turn]), mirror=flip, side=TILE, zoom=1.1)[0, 1]
    planes = np.concatenate([cube[TILE // 2], np.full((GAP, TILE), np.nan), cube[:, TILE // 2]], axis=0)
    low, high = np.nanpercentile(planes, [0.5, 99.8])
    light = scaled(planes.astype(np.float32), (float(low), float(max(high, low + 1e-6))))
    return to_bytes(np.nan_to_num(light, nan=1.0))
