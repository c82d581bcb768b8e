"""From canonical cells to a field of view: resampling, placing, adding up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage as ndi
from scipy.special import ndtr

from cytocascade.images.cells import signed_distance, slopes
from cytocascade.images.descriptors import mask_solidity
from cytocascade.population.labels import visible_part
from cytocascade.population.placement import PlacedCell
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, BoolArray, FloatArray

SHARPEST_SEAM = 0.9
"""Least standard deviation, in pixels, of the border between cells that are pressed together, as optics show it."""

SEAM_SPREAD = 0.1
"""Standard deviation of the strength of seams within a field."""

ROUGHNESS_STEP, MOST_STEPS = 0.25, 4
"""Step in which the roughness of an outline is varied, and how many of them it may be rougher than is typical."""

WAVE = 3.0
"""Width of the Gaussian, in canonical pixels, that wavering of outlines is smoothed with: dents and bulges of cells, no
crinkles."""

LOOSENED = 5.0
"""How far from the outline, in canonical pixels, light moves with an outline that wavers."""

PRESSED_RIM = 0.25
"""Width of the rim that follows where a cell in phase contrast is pressed in, in radii of a disc as large as it."""

_SPECK = 20


@dataclass(frozen=True)
class FieldCell:
    """One cell on the pixel grid of the field.

    Attributes
    ----------
    mask : ndarray of bool
        In its tight box.
    offset : tuple of int
        Corner of the mask's box in the box of the crop.
    size : tuple of int
        Shape of the box of the crop.
    coordinates : ndarray, (2, height, width)
        Where the box's pixels lie among the samples of the canonical grid; beside an outline that wavers or was
        smoothed they are moved along with it, so that light ends where the mask does.
    depth : ndarray, (height, width) float32
        Signed distance to the outline in field pixels, positive inside.
    """

    mask: BoolArray
    offset: tuple[int, ...]
    size: tuple[int, ...]
    coordinates: Array
    depth: FloatArray


def to_field_grid(
    distance: FloatArray, scale: tuple[float, ...], *, roughness: float = 0.0, seed: int = 0, fineness: int = 1
) -> FieldCell | None:
    """Resample a canonical mask to the field's pixels.

    Parameters
    ----------
    distance : ndarray, (S, S) float32
        Signed distance in canonical pixels, positive inside.
    scale : tuple of float
        Field pixels per canonical pixel, along each axis.
    roughness : float
        Standard deviation, in field pixels, by which the outline wavers, which canonical masks are too coarse to show;
        negative values smooth it over as many canonical pixels instead.
    seed : int
        Seed of the wavering.
    fineness : int
        Samples of `distance` per canonical pixel, along each axis.

    Returns
    -------
    FieldCell or None
        None if the mask is empty.
    """
    cell = _outlined(distance, scale, roughness, seed, fineness)
    return cell if cell is None or roughness == 0 else _lit(cell, distance, scale, fineness)


def _outlined(
    distance: FloatArray, scale: tuple[float, ...], roughness: float, seed: int, fineness: int
) -> FieldCell | None:
    """Return the cell of `to_field_grid` with its light where the canonical mask had it."""
    axes = []
    for side, factor in zip(distance.shape, scale):
        pixels = int(np.ceil(side / fineness * factor))
        axes.append((np.arange(pixels) - (pixels - 1) / 2) / factor * fineness + (side - 1) / 2)
    coordinates = np.stack(np.meshgrid(*axes, indexing="ij"))
    smooth = ndi.gaussian_filter(distance, -roughness * fineness) if roughness < 0 else distance
    if smooth.max() <= 0.5:
        # A speck of a few pixels has no outline to be smoothed.
        smooth = distance
    pixels_each = np.float32(np.mean(scale))
    depth = ndi.map_coordinates(smooth, coordinates, order=1, mode="nearest") * pixels_each
    if roughness > 0:
        width = WAVE * max(float(pixels_each), 1.0)
        depth = depth + np.float32(roughness) * _smooth_noise(depth.shape, width, seed, "outline").astype(np.float32)
    mask = depth > 0
    if not (distance > 0).any():
        return None
    if not mask.any():
        # Smaller than a pixel of the field, or than the wavering: one pixel is left of it.
        mask = depth == depth.max()
    components, count = ndi.label(mask)
    if count > 1:
        mask = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    mask = ndi.binary_fill_holes(mask)
    box = ndi.find_objects(mask.astype(np.uint8))[0]
    offset = tuple(part.start for part in box)
    return FieldCell(mask[box], offset, mask.shape, coordinates, depth)


def _lit(cell: FieldCell, distance: FloatArray, scale: tuple[float, ...], fineness: int) -> FieldCell:
    """Return the cell with its light moved along with the outline.

    Light becomes as deep as the cell is, beside the outline; farther than `LOOSENED` from it nothing moves.
    """
    coordinates, depth = cell.coordinates, cell.depth / np.float32(np.mean(scale))
    at = ndi.map_coordinates(distance, coordinates, order=1, mode="nearest")
    rises, length = slopes(distance)
    uphill = np.stack([ndi.map_coordinates(rise / length, coordinates, order=1, mode="nearest") for rise in rises])
    near = np.clip(1.0 - (np.abs(at) / LOOSENED), 0.0, 1.0)
    return replace(cell, coordinates=np.asarray(coordinates + np.sqrt(near) * (depth - at) * fineness * uphill))


def nearest_outline(
    distance: FloatArray,
    scale: tuple[float, ...],
    solidity: float,
    *,
    roughness: float = 0.0,
    seed: int = 0,
    thorough: bool = False,
    fineness: int = 1,
) -> FieldCell | None:
    """Resample a canonical mask with the outline, a little smoother or rougher, that comes nearest to a solidity.

    Parameters
    ----------
    distance, scale, seed, fineness
        As for `to_field_grid`.
    solidity : float
        Wished area of the mask over that of its convex hull, in (0, 1].
    roughness : float
        Typical roughness; a little more or less is tried, in steps of `ROUGHNESS_STEP`.
    thorough : bool
        Whether all steps are tried; else the first that brings it no nearer is the last.

    Returns
    -------
    FieldCell or None
        None if the mask is empty.
    """
    best, chosen = _outlined(distance, scale, roughness, seed, fineness), roughness
    if best is not None and best.mask.sum() >= _SPECK:
        error = mask_solidity(best.mask) - solidity
        for other in _alternatives(roughness, rougher=error > 0):
            tried = _outlined(distance, scale, other, seed, fineness)
            tried_error = math.inf if tried is None else mask_solidity(tried.mask) - solidity
            if abs(tried_error) < abs(error):
                best, error, chosen = tried, tried_error, other
            elif not thorough or tried is None:
                break
    return best if best is None or chosen == 0 else _lit(best, distance, scale, fineness)


def _alternatives(roughness: float, *, rougher: bool) -> Array:
    """Return what is tried one after the other; an outline that is smoothed may also be left as it is."""
    if not rougher:
        return roughness - np.arange(1, 4) * ROUGHNESS_STEP
    reach = max(MOST_STEPS * ROUGHNESS_STEP, -roughness)
    return roughness + np.arange(1, round(reach / ROUGHNESS_STEP) + 1) * ROUGHNESS_STEP


@dataclass(frozen=True)
class Contacts:
    """Where cells that are pressed together meet: halfway between the outlines that they would have alone.

    Attributes
    ----------
    owner : ndarray of int, (Y, X)
        Number, from 1, of the cell that reaches deepest at each pixel; 0 where none is near.
    deepest, second : ndarray, (Y, X) float32
        Signed distance to that cell's outline in pixels, positive inside, and the next cell's.
    blur : float
        Standard deviation of the border in pixels, as optics show it.
    """

    owner: Array
    deepest: FloatArray
    second: FloatArray
    blur: float

    @classmethod
    def of(
        cls, placed: Sequence[PlacedCell], cells: Sequence[FieldCell], shape: tuple[int, ...], blur: float = 0.0
    ) -> Contacts:
        """Find them in a field of `shape` pixels; `blur` is at least `SHARPEST_SEAM`."""
        owner = np.zeros(shape, dtype=np.int32)
        deepest, second = (np.full(shape, -np.inf, dtype=np.float32) for _ in range(2))
        for number, place in enumerate(placed, start=1):
            window, part = _crop_window(place, cells[place.index], shape)
            depth, best = cells[place.index].depth[part], deepest[window]
            above = depth > best
            np.maximum(second[window], np.where(above, best, depth), out=second[window])
            owner[window][above] = number
            best[above] = depth[above]
        return cls(owner, deepest, second, max(blur, SHARPEST_SEAM))

    def share(self, number: int, window: tuple[slice, ...], depth: FloatArray) -> FloatArray:
        """Return the part of the light of cell `number` that is not hidden by another.

        Parameters
        ----------
        number : int
            From 1.
        window : tuple of slice
            Part of the field.
        depth : ndarray of float32
            The cell's signed distance there.
        """
        other = np.where(self.owner[window] == number, self.second[window], self.deepest[window])
        both = ndtr(other / self.blur) * ndtr(depth / self.blur)
        with np.errstate(invalid="ignore"):
            own = ndtr((depth - other) / (2 * self.blur))
        return np.asarray(np.where(np.isfinite(other), 1.0 - both * (1.0 - own), 1.0), dtype=np.float32)

    def seams(self, strength: float, *, reach: float = 1.0, seed: int = 0) -> FloatArray:
        """Return the factor on the light that draws lines where outlines overlap.

        Parameters
        ----------
        strength : float
            Mean relative light on a seam, minus 1.
        reach : float
            Pixels over which the strength varies, by `SEAM_SPREAD`.
        seed : int
            Seed of that variation.

        Returns
        -------
        ndarray of float32, (Y, X)
            1 away from borders between cells.
        """
        met = np.isfinite(self.second)
        if not met.any():
            return np.ones(self.owner.shape, dtype=np.float32)
        gap = np.subtract(self.deepest, self.second, out=np.full(met.shape, np.inf, dtype=np.float32), where=met) / 2
        line = np.exp(-0.5 * (gap / self.blur) ** 2) * ndtr(self.second / self.blur)
        noise = _smooth_noise(self.owner.shape, reach, seed, "seams")
        return np.asarray(1.0 + (strength + SEAM_SPREAD * noise) * line, dtype=np.float32)


def _smooth_noise(shape: tuple[int, ...], width: float, seed: int, name: str) -> Array:
    """Return noise of variance 1 in two dimensions that is smoothed by a Gaussian of `width` pixels."""
    noise = ndi.gaussian_filter(numpy_generator(seed, name).standard_normal(shape), width)
    # The Gaussian leaves white noise with a standard deviation of 1 / (2 width sqrt(pi)).
    return np.asarray(noise * (2 * width * math.sqrt(math.pi)))


def _crop_window(
    place: PlacedCell, cell: FieldCell, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the box of the field that a cell's crop covers, and the part of the crop that lies in it."""
    corner = tuple(start - offset for start, offset in zip(place.corner, cell.offset))
    box = PlacedCell(index=place.index, corner=corner, placement=place.placement, gap=place.gap, measured_gap=None)
    return visible_part(box, np.broadcast_to(True, cell.size), shape)


def assemble_signal(
    placed: Sequence[PlacedCell],
    cells: Sequence[FieldCell],
    signal: FloatArray,
    grain: FloatArray,
    level: Sequence[float],
    shape: tuple[int, ...],
    *,
    owner: Array | None = None,
    halos_add: bool = False,
    edge: Callable[[FloatArray], FloatArray] | None = None,
    strength: Sequence[float] | None = None,
    pressed: Contacts | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Add up the light of all placed cells.

    Parameters
    ----------
    placed : sequence of PlacedCell
        Where the cells are.
    cells : sequence of FieldCell
        The cells that `PlacedCell.index` refers to.
    signal : ndarray, (n, S, S) float32
        Their relative signal on the canonical grid, faded out beyond the rim.
    grain : ndarray, (n, S, S) float32
        Where each cell's texture holds noise of its own, in [0, 1].
    level : sequence of float
        Intensity of relative signal 1, in the image's units.
    shape : tuple of int
        Pixels of the field.
    owner : ndarray of int, optional
        Instance labels in the order of `placed`, 1-based. If given, cells replace each other instead of
        shining through: inside a cell only its own signal counts (phase contrast).
    halos_add : bool
        With `owner`: rims and halos follow the outline that is seen, and halos count inside other cells as well.
    edge : callable, optional
        Gives the factor on the light for each signed distance to the outline in field pixels. The mean
        inside the mask is restored afterwards.
    strength : sequence of float, optional
        How grainy each cell is; by default 1.
    pressed : Contacts, optional
        If given, cells do not shine through each other: where outlines overlap, each cell's light ends at the border
        that `Contacts` draws between them; light beside the outlines still adds up.

    Returns
    -------
    signal : ndarray of float32
        Sum of the cells' light.
    grain : ndarray of float32
        Largest grain of any cell at each pixel, in [0, 1].
    strength : ndarray of float32
        Strength of the cell that this grain is from; 0 where there is none.
    """
    total, furthest, strengths = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    for number, place in enumerate(placed, start=1):
        cell = cells[place.index]
        window, part = _crop_window(place, cell, shape)
        if total[window].size == 0:
            continue
        hidden = None
        if owner is not None:
            seen = owner[window] == number
            hidden = ~seen & (owner[window] != 0)
            if halos_add and seen.any():
                cell, hidden = _pressed_in(cell, seen, hidden, part), None
        light = ndi.map_coordinates(signal[place.index], cell.coordinates, order=3, mode="constant", cval=0.0)
        if edge is not None:
            light = _sharpened(light, cell, edge)
        light = light[part] * np.float32(level[place.index])
        where = cell.coordinates[(slice(None), *part)]
        extent = ndi.map_coordinates(grain[place.index], where, order=1, mode="constant", cval=0.0)
        if hidden is not None:
            light *= 1.0 - ndi.gaussian_filter(hidden.astype(np.float32), SHARPEST_SEAM)
        if pressed is not None:
            light *= pressed.share(number, window, cell.depth[part])
        total[window] += light
        strengths[window][extent > furthest[window]] = 1.0 if strength is None else strength[place.index]
        np.maximum(furthest[window], extent, out=furthest[window])
    return total, furthest, strengths


def _pressed_in(cell: FieldCell, seen: BoolArray, others: BoolArray, part: tuple[slice, ...]) -> FieldCell:
    """Return the cell with its light moved so that rim and halo lie along the outline that is seen.

    Where another cell hides part of it, light is fetched from the place that is as deep in the whole cell as the pixel
    is in what is seen of it: the rim from the hidden outline, the halo from beyond.
    """
    depth = cell.depth[part]
    if not (others & (depth > 0)).any():
        return cell
    visible = signed_distance(seen, (1.0, 1.0))
    # Distances to a set of pixels are not exact to the pixel, and where nothing hides the cell nothing is to move.
    less = np.minimum(visible - depth + 1.0, 0.0)
    less *= np.exp(-((np.maximum(visible, 0.0) / (PRESSED_RIM * math.sqrt(cell.mask.sum() / math.pi))) ** 2))
    # Of the whole crop: what is in the field may be a single row of pixels.
    rises, length = slopes(cell.depth)
    places = np.indices(cell.depth.shape)
    at = [place[part] + less * (rise / length)[part] for place, rise in zip(places, rises, strict=True)]
    moved = cell.coordinates.copy()
    for axis, coordinates in enumerate(cell.coordinates):
        moved[(axis, *part)] = ndi.map_coordinates(coordinates, at, order=1, mode="nearest")
    return replace(cell, coordinates=moved)


def _sharpened(light: FloatArray, cell: FieldCell, edge: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Multiply by the edge's factor and restore the mean inside the mask."""
    inside = tuple(slice(start, start + side) for start, side in zip(cell.offset, cell.mask.shape))
    before = float(light[inside][cell.mask].mean())
    light = light * edge(cell.depth)
    after = float(light[inside][cell.mask].mean())
    return np.asarray(light * (before / after if abs(after) > 1e-3 else 1.0), dtype=np.float32)
