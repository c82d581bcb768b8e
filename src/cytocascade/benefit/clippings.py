"""Real cells cut out of real images with the light around them, and the background that they leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cytocascade.images.background import background_noise, background_pixels, estimate_background
from cytocascade.images.cells import signed_distance
from cytocascade.types import AnnotatedImage, Array, BoolArray, FloatArray

LEAST_RIM, MOST_RIM = 3.0, 12.0
"""How far outside their outlines cells are cut out at least and at most, in pixels."""

FINE = 0.8
"""Standard deviation, in pixels, of the Gaussian that tells fine structure and noise from what may be interpolated."""

FILL_SCALE = 6.0
"""Pixels over which the background is averaged where cells are removed; what is coarser is interpolated into holes."""

_DARK = 0.03
_SHIFTS = 80
_LIKE_SHIFTS = 60
_EDGE = np.arange(-MOST_RIM - 1, 4.0)
_DEEP = 3.0
_FRAME = 3


@dataclass(frozen=True)
class Sheet:
    """One real image, prepared for cutting and pasting.

    Attributes
    ----------
    source : AnnotatedImage
        The image.
    background : ndarray of float32, same shape
        Local background, in the image's units.
    free : ndarray of bool, same shape
        Pixels that no cell's light reaches.
    rim : float
        How far outside their outlines cells still change the image, in pixels along (y, x).
    """

    source: AnnotatedImage
    background: FloatArray
    free: BoolArray
    rim: float


@dataclass(frozen=True)
class Clipping:
    """One real cell in a box with room for its rim.

    Attributes
    ----------
    light : ndarray of float32
        Intensity above the local background, in the image's units.
    depth : ndarray of float32
        Signed distance to the outline in pixels along (y, x), positive inside.
    own : ndarray of float32
        How far the pixels belong to this cell or to background, in [0, 1]; 0 in and next to other cells.
    plane : int
        First plane of the box in its volume; may be negative. 0 in images.
    """

    light: FloatArray
    depth: FloatArray
    own: FloatArray
    plane: int

    @property
    def exposed(self) -> float:
        """Return which part of the pixels just outside the outline is background, in [0, 1]."""
        beside = (self.depth < 0) & (self.depth > -2)
        return float(self.own[beside].mean()) if beside.any() else 0.0


@dataclass(frozen=True)
class Move:
    """How a clipping is laid down.

    Attributes
    ----------
    angle : float
        Turn in the plane, in degrees.
    mirrored : bool
        Whether it is mirrored along x first.
    upside_down : bool
        Whether it is mirrored along z (volumes).
    zoom : float
        Factor on lengths in the plane.
    gain : float
        Factor on its light.
    """

    angle: float
    mirrored: bool
    upside_down: bool
    zoom: float
    gain: float


def prepare_sheet(image: AnnotatedImage) -> Sheet:
    """Measure background and reach of the cells' light in a real image or volume."""
    background = estimate_background(image.image, image.labels, sparse=image.sparse)
    free = background_pixels(image.image, image.labels, sparse=image.sparse)
    noise = background_noise(image.image, background, free)
    above = np.asarray(image.image, dtype=np.float32) - background
    away = ndi.distance_transform_edt(image.labels == 0, sampling=lateral_pixels(image.spacing)).astype(np.float32)
    inside = image.labels > 0
    typical = float(np.abs(above[inside]).mean()) if inside.any() else 0.0
    dark = max(_DARK * typical, 0.3 * noise)
    rim = MOST_RIM
    for distance in np.arange(LEAST_RIM, MOST_RIM):
        shell = above[(away > distance - 1) & (away <= distance)]
        if shell.size and abs(float(np.median(shell))) < dark:
            rim = float(distance)
            break
    free &= away > rim
    return Sheet(image, background, free, rim)


def lateral_pixels(spacing: Sequence[float]) -> tuple[float, ...]:
    """Return the length of a pixel along each axis, in pixels along x."""
    return tuple(float(step) / float(spacing[-1]) for step in spacing)


def cut_cells(sheet: Sheet, *, cut_ones: bool = False) -> list[Clipping]:
    """Cut all whole cells out of an image.

    Parameters
    ----------
    sheet : Sheet
        The image.
    cut_ones : bool
        Whether cells that the frame cuts are taken as well. Top and bottom of a volume never count as cuts: such cells
        go back to where they were.
    """
    labels, steps = sheet.source.labels, lateral_pixels(sheet.source.spacing)
    margin = [int(np.ceil((sheet.rim + 1) / step)) for step in steps]
    clippings = []
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        # Annotations often end a pixel or two before the frame.
        touching = any(s.start < _FRAME or s.stop > n - _FRAME for s, n in zip(box[-2:], labels.shape[-2:]))
        if cut_ones or not touching:
            clippings.append(_cut(sheet, label, box, margin, steps))
    return clippings


def _cut(sheet: Sheet, label: int, box: tuple[slice, ...], margin: Sequence[int], steps: tuple[float, ...]) -> Clipping:
    labels = sheet.source.labels
    window = tuple(slice(max(s.start - m, 0), min(s.stop + m, n)) for s, m, n in zip(box, margin, labels.shape))
    # Beyond the frame nothing is known; there the light is made up as next to other cells.
    missing = [(view.start - s.start + m, s.stop + m - view.stop) for view, s, m in zip(window, box, margin)]
    view = np.pad(labels[window], missing)
    inside = np.pad(np.ones(labels[window].shape, dtype=bool), missing)
    light = np.pad(np.asarray(sheet.source.image[window], dtype=np.float32) - sheet.background[window], missing)
    mask = view == label
    foreign = (view > 0) & ~mask | ~inside
    depth = signed_distance(mask, steps)
    own = np.ones(view.shape, dtype=np.float32)
    if foreign.any():
        away = ndi.distance_transform_edt(~foreign, sampling=steps)
        # The light between two cells belongs to the nearer one.
        own = (np.clip((away + np.minimum(depth, 0)) / 2, 0, 1) * ~foreign).astype(np.float32)
    return Clipping(light, depth, own, box[0].start - margin[0] if labels.ndim == 3 else 0)


def edge_falloff(clippings: Sequence[Clipping]) -> Array:
    """Return how light falls off across outlines that nothing is near, at distances of -13 to 3 pixels, (17,).

    Relative to the light 3 pixels inside; the median over the cells. A steep edge where no cell tells.
    """
    rows = []
    for cell in clippings:
        alone = cell.own > 0.99
        row = np.rint(cell.depth - _EDGE[0]).astype(int)
        valid = alone & (row >= 0) & (row < len(_EDGE))
        total = np.bincount(row[valid], cell.light[valid], len(_EDGE))
        count = np.bincount(row[valid], minlength=len(_EDGE))
        level = total[-1] / max(count[-1], 1)
        if count[-1] >= 4 and level > 0:
            rows.append(np.where(count >= 4, total / np.maximum(count, 1) / level, np.nan))
    usual = 1 / (1 + np.exp(-1.5 * _EDGE))
    known = np.isfinite(rows).sum(axis=0) >= 1 if rows else np.zeros(len(_EDGE), dtype=bool)
    if known.any():
        usual[known] = np.nanmedian(np.asarray(rows)[:, known], axis=0)
    return np.minimum.accumulate(np.clip(usual, 0, 1)[::-1])[::-1]


def completed(cell: Clipping, falloff: Array) -> Clipping:
    """Return the clipping with light made up where another cell (or the end of the frame) was.

    A cell that was cut out of a cluster has no rim there. It gets the typical one: the light a little inside its
    outline, falling off as that of the other cells does.

    Parameters
    ----------
    cell : Clipping
        As from `cut_cells`.
    falloff : ndarray, (17,)
        From `edge_falloff`.
    """
    near = ndi.grey_erosion(cell.own, size=[1] * (cell.own.ndim - 2) + [5, 5])
    known = np.where(cell.depth > _DEEP, 1.0, np.where(cell.depth > 0, near, cell.own)).astype(np.float32)
    if known.min() > 0.99:
        return cell
    deep = cell.depth >= min(_DEEP, float(cell.depth.max()))
    nearest = ndi.distance_transform_edt(~deep, return_distances=False, return_indices=True)
    calm = ndi.gaussian_filter(cell.light, [0.0] * (cell.light.ndim - 2) + [1.0, 1.0])
    plateau = ndi.gaussian_filter(calm[tuple(nearest)], [0.0] * (cell.light.ndim - 2) + [1.5, 1.5])
    typical = plateau * np.interp(cell.depth, _EDGE, falloff)
    light = known * cell.light + (1 - known) * typical
    return Clipping(light.astype(np.float32), cell.depth, np.ones_like(cell.own), cell.plane)


def moved(clipping: Clipping, move: Move) -> Clipping:
    """Turn, mirror, scale and brighten a clipping.

    Multiples of 90 degrees move pixels as they are. Otherwise smooth structure is interpolated by cubic splines and
    what is finer than `FINE` keeps its pixels' values (nearest neighbour), so that the noise stays as strong as it is.
    """
    light, depth, own = clipping.light, clipping.depth, clipping.own
    if move.mirrored:
        light, depth, own = light[..., ::-1], depth[..., ::-1], own[..., ::-1]
    if move.upside_down and light.ndim == 3:
        light, depth, own = light[::-1], depth[::-1], own[::-1]
    if move.zoom == 1.0 and move.angle % 90 == 0:
        turns = round(move.angle / 90) % 4
        light, depth, own = (np.rot90(part, turns, axes=(-2, -1)) for part in (light, depth, own))
        return Clipping(np.float32(move.gain) * light, depth, own, clipping.plane)
    angle, lateral = np.deg2rad(move.angle), np.array(light.shape[-2:])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    size = np.ceil(np.abs(turn) @ lateral * move.zoom).astype(int) + 1
    inverse = np.eye(light.ndim)
    inverse[-2:, -2:] = turn.T / move.zoom
    offset = np.zeros(light.ndim)
    offset[-2:] = (lateral - 1) / 2 - inverse[-2:, -2:] @ ((size - 1) / 2)
    shape = (*light.shape[:-2], *(int(side) for side in size))

    def warped(values: FloatArray, order: int, *, outside: float) -> FloatArray:
        found = ndi.affine_transform(values, inverse, offset, shape, order=order, mode="constant", cval=outside)
        return np.asarray(found, dtype=np.float32)

    smooth = ndi.gaussian_filter(light, [0.0] * (light.ndim - 2) + [FINE, FINE])
    shown = warped(smooth, 3, outside=0.0) + warped(light - smooth, 0, outside=0.0)
    reach = float(depth.min())
    return Clipping(
        np.float32(move.gain) * shown,
        warped(depth, 1, outside=reach) * np.float32(move.zoom),
        np.clip(warped(own, 1, outside=0.0), 0, 1),
        clipping.plane,
    )


def trimmed(clipping: Clipping) -> Clipping:
    """Return the clipping with its outline in one piece; it is empty (no positive depth) if nothing is left of it."""
    pieces, count = ndi.label(clipping.depth > 0)
    if count < 2:
        return clipping
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    depth = np.where((pieces > 0) & (pieces != largest), np.float32(-0.5), clipping.depth)
    return Clipping(clipping.light, depth, clipping.own, clipping.plane)


def emptied(sheet: Sheet, generator: np.random.Generator) -> FloatArray:
    """Return the image without its cells: where they were, real noise and texture from elsewhere on the background.

    Parameters
    ----------
    sheet : Sheet
        The image.
    generator : numpy.random.Generator
        Decides from where: holes are filled from the same places at random shifts within their planes.

    Returns
    -------
    ndarray of float32, same shape
        In the image's units.
    """
    image = sheet.source
    level = estimate_background(image.image, image.labels, rim=sheet.rim, scale=FILL_SCALE, sparse=image.sparse)
    result = np.asarray(image.image, dtype=np.float32).copy()
    rest = result - level
    usual = sheet.free & _calm_enough(rest, sheet.free)
    near = ndi.distance_transform_edt(image.labels == 0, sampling=lateral_pixels(image.spacing)) < 2 * MOST_RIM
    holes = np.argwhere(~sheet.free | (near & ~usual))
    known = np.argwhere(usual)
    if not len(known):
        return level
    shape = np.array(result.shape)
    low, high = np.percentile(level, [1, 99])
    for turn in range(_SHIFTS):
        if not len(holes):
            break
        shift = np.zeros(len(shape), dtype=int)
        shift[-2:] = [int(generator.integers(1, side)) for side in shape[-2:]]
        origins = (holes + shift) % shape
        there, here = tuple(origins.T), tuple(holes.T)
        fits = usual[there]
        if turn < _LIKE_SHIFTS:
            # Noise grows with the light, so it is taken from where there is as much.
            fits = fits & (np.abs(level[there] - level[here]) < 0.25 * (level[here] - low) + 0.05 * (high - low))
        here = tuple(holes[fits].T)
        result[here] = level[here] + rest[tuple(origins[fits].T)]
        holes = holes[~fits]
    origins = known[generator.integers(len(known), size=len(holes))]
    result[tuple(holes.T)] = level[tuple(holes.T)] + rest[tuple(origins.T)]
    return result


def _calm_enough(rest: FloatArray, free: BoolArray) -> BoolArray:
    """Return where the background holds no debris and no light of cells: nothing that stands out of its spread."""
    smooth = ndi.gaussian_filter(np.where(free, rest, 0), [0.0] * (rest.ndim - 2) + [1.5, 1.5])
    spread = 1.4826 * float(np.median(np.abs(smooth[free]))) if free.any() else 0.0
    return np.asarray(np.abs(smooth) <= 4 * max(spread, 1e-3))
