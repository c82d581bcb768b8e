"""Pictures of volumes: planes along three axes, and the surfaces of the labels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation
from skimage.segmentation import find_boundaries

from cytocascade.pictures import CAPTION, FAINT, GAP, INK, MARGIN, PAPER, label_colours, to_bytes, to_grey
from cytocascade.types import Array, FloatArray

_LIGHT = np.array([-0.45, -0.6, 0.66])
_OVERSAMPLED = 2


def volume_sheet(
    image: Array, labels: Array, spacing: tuple[float, ...], *, title: str = "", width: int = 440
) -> Array:
    """Draw the XY, XZ and YZ planes of a volume, without and with labels, and the surfaces of its labels.

    Parameters
    ----------
    image, labels : ndarray, (Z, Y, X)
        A volume and its instance labels.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x); planes are shown at their true proportions.
    title : str
        Goes into the caption.
    width : int
        Pixels of the XY plane along x.

    Returns
    -------
    ndarray, (H, W, 3) uint8
    """
    z, y, x = spacing
    grey = to_grey(image.reshape(-1, image.shape[-1])).reshape(image.shape)
    places = _busiest(labels)
    per_um = width / (image.shape[2] * x)
    planes = [
        (f"XY, plane {places[0]}", (slice(places[0], places[0] + 1), slice(None), slice(None)), (y, x)),
        (f"XZ, row {places[1]}", (slice(None), slice(places[1], places[1] + 1), slice(None)), (z, x)),
        (f"YZ, column {places[2]}", (slice(None), slice(None), slice(places[2], places[2] + 1)), (z, y)),
    ]
    columns = []
    for coloured in (False, True):
        tiles = []
        for name, where, (down, right) in planes:
            part, owner = np.squeeze(grey[where]), np.squeeze(labels[where])
            size = (max(1, round(part.shape[1] * right * per_um)), max(1, round(part.shape[0] * down * per_um)))
            tiles.append((name, _tile(part, owner if coloured else None, size)))
        columns.append(tiles)
    columns.append([("Surfaces of the labels", surface_picture(labels, spacing, width=round(1.25 * width)))])
    return _sheet(columns, title)


def _busiest(labels: Array) -> list[int]:
    """Return the plane along each axis that cuts the most cells, and of those most of them."""
    places = []
    for axis in range(3):
        moved = np.moveaxis(labels, axis, 0)
        score = [len(np.unique(plane)) + (plane > 0).mean() for plane in moved]
        places.append(int(np.argmax(score)))
    return places


def _tile(part: FloatArray, owner: Array | None, size: tuple[int, int]) -> Array:
    enlarged = Image.fromarray(np.ascontiguousarray(part, dtype=np.float32)).resize(size, Image.Resampling.BICUBIC)
    base = np.repeat(np.clip(np.asarray(enlarged), 0, 1)[..., None], 3, axis=2)
    if owner is None:
        return to_bytes(base)
    rows = (np.arange(size[1]) * part.shape[0] // size[1])[:, None]
    columns = (np.arange(size[0]) * part.shape[1] // size[0])[None]
    shown = owner[rows, columns]
    colour, inside = label_colours(shown), (shown > 0)[..., None]
    mixed = np.where(inside, colour * (0.2 + 0.9 * base), 0.8 * base)
    edge = find_boundaries(shown, mode="inner")[..., None]
    return to_bytes(np.where(edge, 0.3 + 0.7 * colour, mixed))


def _sheet(columns: list[list[tuple[str, Array]]], title: str) -> Array:
    """Put columns of captioned tiles beside each other."""
    heights = [sum(tile.shape[0] + CAPTION + GAP for _, tile in tiles) - GAP for tiles in columns]
    widths = [max(tile.shape[1] for _, tile in tiles) for tiles in columns]
    size = (sum(widths) + GAP * (len(widths) - 1) + 2 * MARGIN, max(heights) + CAPTION + 2 * MARGIN)
    canvas = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), title, fill=INK, font=ImageFont.load_default(15))
    left = MARGIN
    for tiles, wide in zip(columns, widths):
        top = MARGIN + CAPTION
        for name, tile in tiles:
            pen.text((left, top + 4), name, fill=FAINT, font=ImageFont.load_default(13))
            canvas.paste(Image.fromarray(tile), (left, top + CAPTION))
            top += tile.shape[0] + CAPTION + GAP
        left += wide + GAP
    return np.asarray(canvas)


def surface_picture(
    labels: Array, spacing: tuple[float, ...], *, width: int = 640, azimuth: float = 30.0, elevation: float = 35.0
) -> Array:
    """Draw the surfaces of labels as seen obliquely from above, lit from the upper left.

    Parameters
    ----------
    labels : ndarray of int, (Z, Y, X)
        Instance labels.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    width : int
        Pixels of the picture.
    azimuth, elevation : float
        Where the camera stands, in degrees.

    Returns
    -------
    ndarray, (H, W, 3) uint8
    """
    size = np.asarray(labels.shape) * spacing
    turn = Rotation.from_euler("z", azimuth, degrees=True).as_matrix()
    tilt = Rotation.from_euler("x", 90.0 - elevation, degrees=True).as_matrix()
    axes = (tilt @ turn)[:, ::-1]  # rows: right, down, towards the camera; columns: z, y, x
    half = 0.5 * np.abs(axes) @ size
    step = 2 * half[0] / (width * _OVERSAMPLED)
    right = np.arange(-half[0], half[0], step)
    down = np.arange(-half[1], half[1], step)
    reach = np.arange(half[2], -half[2], -min(min(spacing), 2 * step))
    found = np.zeros((len(down), len(right)), dtype=labels.dtype)
    depth = np.full(found.shape, reach[-1])
    flat = right[None, :, None] * axes[0] + down[:, None, None] * axes[1]
    scale, middle = 1 / np.asarray(spacing), (np.asarray(labels.shape) - 1) / 2
    for position in reach:
        index = np.rint((flat + position * axes[2]) * scale + middle).astype(int)
        valid = (found == 0) & (index >= 0).all(axis=2) & (index < labels.shape).all(axis=2)
        hit = np.zeros_like(found)
        hit[valid] = labels[tuple(index[valid].T)]
        depth[hit > 0] = position
        found[hit > 0] = hit[hit > 0]
    shaded = _shaded(found, depth, step, max(spacing))
    small = Image.fromarray(shaded).resize((width, shaded.shape[0] // _OVERSAMPLED), Image.Resampling.BOX)
    return np.asarray(small)


def _shaded(found: Array, depth: FloatArray, step: float, coarse: float) -> Array:
    """Return the labels' colours, lit by the slope of their smoothed depth."""
    width = 0.8 * coarse / step
    smooth = np.array(depth, dtype=np.float64)
    for label, box in enumerate(ndi.find_objects(found.astype(np.int64)), start=1):
        if box is None:
            continue
        pad = tuple(
            slice(max(0, side.start - 9), min(n, side.stop + 9)) for side, n in zip(box, found.shape, strict=True)
        )
        mask = (found[pad] == label).astype(np.float64)
        share = ndi.gaussian_filter(mask, width)
        blurred = ndi.gaussian_filter(np.where(mask > 0, depth[pad], 0.0), width) / np.maximum(share, 1e-6)
        smooth[pad] = np.where(mask > 0, blurred, smooth[pad])
    down, right = np.gradient(smooth, step)
    normal = np.stack([-right, -down, np.ones_like(smooth)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.clip(normal @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    inside = (found > 0)[..., None]
    colour = label_colours(found) * (0.25 + 0.85 * light[..., None]) + 0.25 * light[..., None] ** 24
    paper = np.asarray(PAPER) / 255
    return to_bytes(np.where(inside, colour, paper))
