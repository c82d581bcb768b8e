"""Pictures of the report made of pixels: fields, cells and closest pairs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi
from skimage.segmentation import find_boundaries

from cytocascade.evaluation.measured import CellReference, MeasuredImage, MeasuredSet, centred_crop
from cytocascade.evaluation.memorisation import aligned_crops
from cytocascade.evaluation.perceptual import scaled
from cytocascade.evaluation.results import ClosePair
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, FloatArray

FIELD_SIDE = 440
GAMMA = 0.55
OUTLINE = (255, 176, 0)
GAP = 3
TILE = 84


def png(pixels: Array) -> bytes:
    """Return uint8 pixels, (Y, X) grey or (Y, X, 3), as a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def shown_fields(measured: MeasuredSet, count: int = 2) -> list[MeasuredImage]:
    """Return `count` images spread evenly over the set, those without cells last."""
    images = [image for image in measured.images if len(image.table)] or list(measured.images)
    places = np.linspace(0, len(images) - 1, min(count, len(images)) + 2).round().astype(int)
    inner = places[1:-1] if len(images) > count else np.arange(len(images))
    return [images[i] for i in inner]


def field_pictures(image: MeasuredImage, grey: tuple[float, float]) -> dict[str, bytes]:
    """Return one field as PNGs: ``linear``, ``gamma`` (dim parts lifted), ``outlined`` (with the labels).

    Large fields are shown as a square of their centre, 880 px wide, at half size.
    """
    step = 2 if min(image.image.shape) >= 2 * FIELD_SIDE else 1
    area = tuple(slice(*_centre(size, FIELD_SIDE * step)) for size in image.image.shape)
    intensity, labels = image.image[area], image.labels[area]
    if step == 2:
        rows, columns = (size // 2 * 2 for size in intensity.shape)
        blocks = intensity[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2)
        intensity, labels = blocks.mean(axis=(1, 3)), labels[:rows:2, :columns:2]
    light = scaled(intensity, grey)
    lifted = to_bytes(light**GAMMA)
    outlined = np.repeat(lifted[:, :, None], 3, axis=2)
    outlined[find_boundaries(labels, mode="inner")] = OUTLINE
    return {"linear": png(to_bytes(light)), "gamma": png(lifted), "outlined": png(outlined)}


def _centre(size: int, wanted: int) -> tuple[int, int]:
    start = max(0, (size - wanted) // 2)
    return start, min(size, start + wanted)


def to_bytes(light: FloatArray) -> Array:
    """Return [0, 1] as uint8."""
    return np.asarray(np.round(255 * np.clip(light, 0, 1)), dtype=np.uint8)


def cell_grid(
    measured: MeasuredSet,
    side: int,
    grey: tuple[float, float],
    seed: int,
    *,
    columns: int = 12,
    rows: int = 6,
) -> bytes:
    """Return cells drawn at random, all in one grey range with dim parts lifted, as one PNG."""
    draw = numpy_generator(seed, "evaluation", "cell grid")
    count = min(columns * rows, len(measured.cells))
    chosen = [measured.cells[i] for i in draw.choice(len(measured.cells), count, replace=False)]
    tiles = [_cell(measured, cell, side, grey) for cell in chosen]
    return png(_arranged(tiles, columns))


def pair_strip(pairs: Sequence[ClosePair], synthetic: MeasuredSet, reference: MeasuredSet) -> list[bytes]:
    """Return one PNG per pair: the synthetic cell, turned to fit, on the left, its nearest real one on the right.

    Each is scaled to its own size and grey range: copies are found whatever their size and brightness.
    """
    strips = []
    for pair in pairs:
        halves = [
            _portrait(synthetic, pair.synthetic_image, pair.synthetic_label, pair.turn, pair.flip),
            _portrait(reference, pair.real_image, pair.real_label, 0.0, False),
        ]
        strips.append(png(_arranged(halves, 2)))
    return strips


def _portrait(measured: MeasuredSet, name: str, label: int, turn: float, flip: bool) -> Array:
    index = next(i for i, image in enumerate(measured.images) if image.name == name)
    cell = next(c for c in measured.cells if c.image == index and measured.label(c) == label)
    crop = aligned_crops(measured, cell, np.array([turn]), mirror=flip, side=TILE, zoom=1.25)[0, 1]
    low, high = np.percentile(crop, [0.5, 99.8])
    return to_bytes(scaled(crop, (float(low), float(max(high, low + 1e-6)))))


def _cell(measured: MeasuredSet, cell: CellReference, side: int, grey: tuple[float, float]) -> Array:
    crop = centred_crop(measured.images[cell.image].image, measured.centroid(cell), side)
    return to_bytes(_enlarged(scaled(crop, grey)) ** GAMMA)


def _enlarged(crop: FloatArray, wanted: int = TILE) -> FloatArray:
    """Bring a crop to `wanted` pixels; small ones are repeated first, so that pixels stay visible."""
    if len(crop) * 2 <= wanted:
        crop = crop.repeat(wanted // len(crop), axis=0).repeat(wanted // len(crop), axis=1)
    return np.asarray(ndi.zoom(crop, wanted / len(crop), order=1), dtype=np.float32)


def _arranged(tiles: Sequence[Array], columns: int) -> Array:
    height, width = tiles[0].shape
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), 255, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = tile
    return canvas
