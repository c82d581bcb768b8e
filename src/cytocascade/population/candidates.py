"""Where a cell could go: candidate positions with a wanted gap, and how good they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.population.gaps import outline, touching_distance
from cytocascade.population.occupancy import OccupiedField
from cytocascade.types import Array, BoolArray

_SLIDES = 3


@dataclass(frozen=True)
class CellShape:
    """A mask in its tight box, measured once.

    Attributes
    ----------
    mask : ndarray of bool
        The mask in its tight box.
    contour, thin : ndarray, (p, ndim) int
        Outline pixels relative to the corner of the box, all of them and a few.
    centre : ndarray, (ndim,) int
        Pixel nearest to the centroid, relative to the corner.
    inner, outer : float
        Smallest and largest distance from the centre to the outline, in micrometres.
    area : int
        Pixels of the mask.
    """

    mask: BoolArray
    contour: Array
    thin: Array
    centre: Array
    inner: float
    outer: float
    area: int

    @classmethod
    def measure(cls, mask: BoolArray, spacing: tuple[float, ...]) -> CellShape:
        """Measure a mask."""
        contour = np.argwhere(outline(mask))
        centre = np.round(np.argwhere(mask).mean(axis=0)).astype(np.int64)
        radii = np.sqrt((((contour - centre) * spacing) ** 2).sum(axis=1))
        inner = float(radii.min()) if mask[tuple(centre)] else 0.0
        thin = contour[:: max(1, len(contour) // 24)]
        return cls(mask, contour, thin, centre, inner, float(radii.max()), int(mask.sum()))


def check_masks(masks: Sequence[BoolArray], count: int, ndim: int) -> None:
    """Raise `CytoCascadeError` if there are fewer than `count` masks, or one is empty or its box not tight."""
    if len(masks) < count:
        raise CytoCascadeError(
            f"{count} cells are to be placed but only {len(masks)} masks were given",
            hint="Make as many masks as `PlacementParams.count`.",
        )
    for position, mask in enumerate(masks[:count]):
        tight = mask.ndim == ndim and all(
            np.take(mask, side, axis=axis).any() for axis in range(mask.ndim) for side in (0, -1)
        )
        if not tight:
            raise CytoCascadeError(f"mask {position} (shape {mask.shape}) is empty or its box is not tight")


def measure_masks(masks: Sequence[BoolArray], count: int, spacing: tuple[float, ...]) -> list[CellShape]:
    """Check and measure the first `count` masks."""
    check_masks(masks, count, len(spacing))
    return [CellShape.measure(np.asarray(mask, dtype=bool), spacing) for mask in masks[:count]]


@dataclass
class Candidates:
    """Candidate positions of one cell.

    Attributes
    ----------
    corner : ndarray, (n, ndim) int
        Corners of the cell's box in padded coordinates.
    gap : ndarray of float64
        Gap to the nearest occupied pixel, in micrometres; -infinity where the cell would overlap.
    contact : ndarray of int
        Flat index of the outline pixel that is nearest to the occupied pixels.
    distance : ndarray of float64
        Distance of the cell's centre to the nearest centre of the cells nearby, in micrometres; infinite if
        there are none.
    others : ndarray of float64
        Gap to the nearest cell outside the cell's own group, in micrometres; at least the field's reach if
        there is none nearby.
    """

    corner: Array
    gap: Array
    contact: Array
    distance: Array
    others: Array


class CandidateSearch:
    """Finds and improves candidate positions in a partly occupied field."""

    def __init__(self, field: OccupiedField, generator: np.random.Generator) -> None:
        self.field, self.generator = field, generator
        self.centres: Array = np.full((1, len(field.shape)), np.inf)
        self.touch = touching_distance(field.spacing)
        self.slack = math.hypot(*(step * size for step, size in zip(field.spacing, field.block)))

    def corners(
        self, shape: CellShape, gap: float | None, cut: bool, count: int, around: tuple[Array, Array] | None
    ) -> Array:
        """Return up to `count` random corners, uniform among the blocks at about the wanted distance.

        Parameters
        ----------
        shape : CellShape
            The cell.
        gap : float or None
            Wanted gap in micrometres; None for any position that may be free.
        cut : bool
            Whether the frame must cut the cell (else it must lie inside without touching the frame).
        count : int
            Candidates wanted.
        around : pair of ndarray, optional
            First and last centre (padded coordinates) if only a part of the field is to be searched.
        """
        field = self.field
        block = np.asarray(field.block)
        low, high = self._centres(shape, cut)
        if around is not None:
            low, high = np.maximum(low, around[0]), np.minimum(high, around[1])
        if (low > high).any():
            return np.empty((0, len(block)), dtype=np.int64)
        first, last = low // block, high // block
        distance = field.coarse[tuple(slice(a, b + 1) for a, b in zip(first, last))]
        wanted = self._near(distance, shape, gap)
        if cut:
            a, b = self._surely_whole(shape, first)
            if (b > a).all():
                wanted[tuple(slice(max(0, int(i)), max(0, int(j))) for i, j in zip(a, b))] = False
        hits = np.flatnonzero(wanted)
        if not len(hits):
            return np.empty((0, len(block)), dtype=np.int64)
        chosen = hits[self.generator.integers(len(hits), size=count)]
        cells = np.stack(np.unravel_index(chosen, distance.shape), axis=1) + first
        centre = cells * block + self.generator.integers(0, block, size=cells.shape)
        corner = np.clip(centre, low, high) - shape.centre
        return np.asarray(corner[self.allowed(corner, shape, cut)])

    def _surely_whole(self, shape: CellShape, first: Array) -> tuple[Array, Array]:
        """Return the first block, counted from `first`, in which the frame cannot cut the cell, and the end of them."""
        block = np.asarray(self.field.block)
        low, high = self._centres(shape, False)
        return -(-low // block) + 1 - first, high // block - 1 - first

    def _near(self, distance: Array, shape: CellShape, gap: float | None) -> BoolArray:
        """Return the blocks whose distance can give the gap; if none can, the free ones that come nearest."""
        free = distance >= max(shape.inner - self.slack, 0.0)
        if gap is None:
            return np.asarray(free, dtype=bool)
        low = min(gap + shape.inner - self.slack, 0.9 * self.field.far)
        wanted = free & (distance >= low)
        if gap + shape.outer + self.slack < self.field.far:
            wanted &= distance <= gap + shape.outer + self.slack
        if wanted.any() or not free.any():
            return np.asarray(wanted, dtype=bool)
        miss = np.where(free, np.abs(distance - gap - shape.outer), np.inf)
        return np.asarray(miss <= miss.min() + self.slack, dtype=bool)

    def _centres(self, shape: CellShape, cut: bool) -> tuple[Array, Array]:
        """Return the first and last allowed position of the centre, in padded coordinates."""
        size, frame = np.asarray(shape.mask.shape), np.asarray(self.field.shape)
        margin = np.asarray(self.field.margin)
        if cut:
            return margin - size + 1 + shape.centre, margin + frame - 1 + shape.centre
        return margin + 1 + shape.centre, margin + frame - 1 - size + shape.centre

    def allowed(self, corner: Array, shape: CellShape, cut: bool) -> BoolArray:
        """Return which corners cut the cell, or leave it whole, as wanted."""
        size, frame = np.asarray(shape.mask.shape), np.asarray(self.field.shape)
        start = corner - np.asarray(self.field.margin)
        whole = ((start >= 1) & (start + size <= frame - 1)).all(axis=1)
        seen = ((start + size >= 1) & (start <= frame - 1)).all(axis=1)
        return np.asarray(seen & ~whole if cut else whole)

    def evaluate(self, shape: CellShape, corner: Array, is_other: BoolArray | None) -> Candidates:
        """Measure the gaps at `corner`.

        `is_other` tells for each cell number whether it is outside the own group (last entry: no cell).
        """
        field = self.field
        distance, index = field.look_up(corner, shape.contour)
        nearest = distance.argmin(axis=1)
        rows = np.arange(len(corner))
        closest = distance[rows, nearest].astype(np.float64)
        gap = np.where(closest > 0, np.maximum(closest - self.touch, 0.0), -np.inf)
        beyond = closest >= field.reach
        if beyond.any():
            far = field.look_up_coarse(corner[beyond], shape.thin).min(axis=1)
            gap[beyond] = np.maximum(far, field.reach) - self.touch
        others, owner = gap, field.owner.ravel()[index]
        if is_other is not None:
            apart = np.where(is_other[owner], distance, field.reach)
            others = np.maximum(apart.min(axis=1).astype(np.float64) - self.touch, 0.0)
        offset = self.centres[owner] - (corner + shape.centre)[:, None, :]
        centre = np.sqrt(((offset * field.spacing) ** 2).sum(axis=2).min(axis=1))
        return Candidates(corner, gap, index[rows, nearest], centre, others)

    def slide(self, shape: CellShape, corner: Array, gap: float, cut: bool, is_other: BoolArray | None) -> Candidates:
        """Move candidates along the slope of the distance until their gap is the wanted one, if possible."""
        best = self.evaluate(shape, corner, is_other)
        spacing = np.asarray(self.field.spacing)
        current = best
        # For touching cells aim at a bit less than a pixel's diagonal, the middle of what counts as contact.
        aim = gap if gap > 0 else -0.15 * self.touch
        for _ in range(_SLIDES):
            slope = self.field.slope(current.contact) / spacing
            steepness = np.sqrt((slope**2).sum(axis=1))
            movable = (steepness > 0) & np.isfinite(current.gap)
            excess = np.where(movable, self._distance(current) - self.touch - aim, 0.0)
            move = -slope * (excess / np.where(movable, steepness, 1.0))[:, None] / spacing
            corner = current.corner + np.round(move).astype(np.int64)
            stay = ~self.allowed(corner, shape, cut)
            corner[stay] = current.corner[stay]
            current = self.evaluate(shape, corner, is_other)
            better = np.abs(current.gap - gap) < np.abs(best.gap - gap)
            for name in ("corner", "gap", "contact", "distance", "others"):
                getattr(best, name)[better] = getattr(current, name)[better]
        return best

    def _distance(self, candidates: Candidates) -> Array:
        return self.field.fine.ravel()[candidates.contact].astype(np.float64)
