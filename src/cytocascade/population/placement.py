"""Placing cells one by one in a field, alone and in clusters, without overlap unless asked for.

After D. Svoboda and V. Ulman, *Towards a Realistic Distribution of Cells in Synthetically Generated 3D Cell
Populations* (ICIAP 2013). There, the cross-correlation of a cell's mask with the occupied field gives every
position without overlap, and a distance map decides whether the cell goes beside placed ones. That costs a
field-sized Fourier transform per cell, and one position is all a cell needs. Here the distance map does both
jobs: read at a cell's outline it gives the exact gap to the nearest placed cell, and thereby overlap, in time
proportional to the outline. Random candidates from a coarse distance map are slid along its slope until the
gap is the wanted one, and the maps are updated only around the new cell. The cost per cell is that of its own
neighbourhood, plus one comparison of the coarse map (blocks of a sixth of a cell diameter).

Cells are placed in the drawn order, not the largest first: the sequential gaps are measured in random order,
and the largest first gained nothing even at 40 % coverage (`benchmarks/placement_2d.py`:
none rejected either way).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cytocascade.population.candidates import Candidates, CandidateSearch, CellShape, measure_masks
from cytocascade.population.occupancy import OccupiedField
from cytocascade.population.params import PlacementParams
from cytocascade.types import Array, BoolArray

_ROUNDS = 4


@dataclass(frozen=True)
class PlacedCell:
    """Where one cell went.

    Attributes
    ----------
    index : int
        Position of its mask in the sequence given to `place_cells`.
    corner : tuple of int
        First pixel of the mask's box in the field; the box of a cut cell reaches beyond the field.
    placement : str
        ``"alone"``, ``"clustered"`` (a neighbour within the cluster gap), ``"touching"`` or
        ``"overlapping"``, in the finished field.
    gap : float or None
        Drawn gap to the nearest cell placed before, in micrometres; None if none was drawn.
    measured_gap : float or None
        Gap to the nearest cell of the finished field, in micrometres; None if that is beyond about one cell
        diameter.
    """

    index: int
    corner: tuple[int, ...]
    placement: str
    gap: float | None
    measured_gap: float | None


@dataclass(frozen=True)
class Placement:
    """The placed cells, in the order of placing (earlier ones lie on top), and how many found no place."""

    cells: list[PlacedCell]
    rejected: int


def place_cells(masks: Sequence[BoolArray], shape: tuple[int, ...], params: PlacementParams) -> Placement:
    """Place cells in a field as drawn; pure, the same arguments give the same positions.

    Parameters
    ----------
    masks : sequence of ndarray of bool
        At least ``params.count`` cells in tight boxes on the pixel grid of the field; surplus ones are not
        used. They are given out by size, so that a drawn gap meets a cell of the size it was measured at.
    shape : tuple of int
        Pixels of the field along each axis.
    params : PlacementParams
        From `draw_placement`, for this shape.

    Returns
    -------
    Placement

    Raises
    ------
    CytoCascadeError
        If there are fewer masks than cells to place, or an empty or loose mask.
    """
    shapes = measure_masks(masks, params.count, params.spacing)
    if not shapes:
        return Placement([], 0)
    return Placer(shapes, shape, params).run()


class Placer:
    """Places measured cells one after the other; `_field` and `_search` say how the field is kept and searched."""

    candidates = 64
    """Positions that are looked at together."""

    def __init__(self, shapes: list[CellShape], shape: tuple[int, ...], params: PlacementParams) -> None:
        self.shapes, self.shape, self.params = shapes, shape, params
        largest = np.max([one.mask.shape for one in shapes], axis=0)
        self.margin = np.array([int(size) + 3 for size in largest])
        self.field = self._field()
        self.search = self._search()
        self.by_size = np.argsort([one.area for one in shapes], kind="stable")
        self.slot_of_rank = np.argsort(np.argsort(params.size_rank[: len(shapes)], kind="stable"), kind="stable")
        self.group_of = np.full(len(shapes) + 1, -2)
        self.nearest = np.full(len(shapes), np.inf)
        self.overlaps = np.zeros(len(shapes), dtype=bool)
        self.boxes: dict[int, Array] = {}
        self.search.centres = np.full((len(shapes) + 1, len(shape)), np.inf)

    def _field(self) -> OccupiedField:
        diameter, pixel = self.params.median_diameter, min(self.params.spacing)
        return OccupiedField(
            self.shape,
            tuple(int(size) for size in self.margin),
            self.params.spacing,
            reach=max(diameter, 1.5 * self.params.cluster_gap + 3 * pixel, 6 * pixel),
            far=8 * diameter,
            block=tuple(max(1, round(diameter / 6 / step)) for step in self.params.spacing),
        )

    def _search(self) -> CandidateSearch:
        return CandidateSearch(self.field, np.random.default_rng(self.params.seed))

    def run(self) -> Placement:
        """Place all cells."""
        placed: list[tuple[int, int, tuple[int, ...]]] = []
        for slot in range(len(self.shapes)):
            index = self._index(slot)
            corner = self._find(slot, self.shapes[index])
            if corner is None:
                continue
            self._occupy(slot, self.shapes[index], corner)
            placed.append((slot, index, tuple(int(side) for side in corner - self.margin)))
        cells = [
            PlacedCell(index, corner, self._class_of(slot), self.params.gap[slot], self._measured(slot))
            for slot, index, corner in placed
        ]
        return Placement(cells, len(self.shapes) - len(cells))

    def _index(self, slot: int) -> int:
        """Return which mask is placed in a turn: they are given out by size."""
        return int(self.by_size[self.slot_of_rank[slot]])

    def _measured(self, slot: int) -> float | None:
        return round(float(self.nearest[slot]), 4) if np.isfinite(self.nearest[slot]) else None

    def _class_of(self, slot: int) -> str:
        if self.overlaps[slot]:
            return "overlapping"
        if self.nearest[slot] == 0:
            return "touching"
        return "clustered" if self.nearest[slot] < self.params.cluster_gap else "alone"

    def _find(self, slot: int, shape: CellShape) -> Array | None:
        """Return a corner for the cell, with the drawn gap if that is possible, or None."""
        gap, cut = self.params.gap[slot], self.params.cut[slot]
        group = self.params.group[slot]
        is_other = None if group < 0 else self.group_of != group
        members = np.flatnonzero(self.group_of[:-1] == group) if group >= 0 else np.empty(0, dtype=int)
        if group >= 0 and not len(members):
            gap = None
        target = 0.0 if self.params.hidden[slot] > 0 else gap
        for sides in self._sides(cut):
            corner = self._best(slot, shape, target, sides, members, is_other)
            if corner is not None:
                return self._tuck_under(slot, shape, corner) if self.params.hidden[slot] > 0 else corner
        return None

    def _sides(self, cut: bool) -> tuple[bool, ...]:
        """Return in which order to try: whether the frame cuts the cell."""
        return cut, not cut

    def _best(
        self,
        slot: int,
        shape: CellShape,
        gap: float | None,
        cut: bool,
        members: Array,
        is_other: BoolArray | None,
    ) -> Array | None:
        """Search rounds of candidates; take the first with the gap wanted, else the nearest miss."""
        fallback: tuple[float, Array] | None = None
        wanted = None if gap is None else min(gap, self.field.far - self.search.touch)
        for attempt in range(2 * _ROUNDS):
            around = self._around(shape, gap, members)
            # Late rounds look anywhere, so that a cell is not lost because its gap cannot be had.
            loose = attempt >= _ROUNDS and around is None
            if loose and fallback is not None:
                break
            corners = self.search.corners(shape, None if loose else wanted, cut, self.candidates, around)
            if not len(corners):
                continue
            if wanted is None:
                found = self.search.evaluate(shape, corners, is_other)
            else:
                found = self.search.slide(shape, corners, wanted, cut, is_other)
            corner, miss = self._choose(slot, shape, found, wanted, cut)
            if corner is None:
                continue
            if miss == 0:
                return corner
            if fallback is None or miss < fallback[0]:
                fallback = (miss, corner)
        return None if fallback is None else fallback[1]

    def _around(self, shape: CellShape, gap: float | None, members: Array) -> tuple[Array, Array] | None:
        """Return the box of centres beside a random member of the group."""
        if not len(members) or gap is None:
            return None
        low, high = self.boxes[int(self.search.generator.choice(members))]
        reach = np.ceil((gap + shape.outer + self.search.slack) / np.asarray(self.params.spacing)).astype(int)
        return low - reach, high + reach

    def _choose(
        self, slot: int, shape: CellShape, found: Candidates, gap: float | None, cut: bool
    ) -> tuple[Array | None, float]:
        """Return the first candidate that fits (miss 0), else the nearest miss in micrometres."""
        valid = np.isfinite(found.gap)
        if self.params.group[slot] >= 0:
            valid &= found.others >= self.params.apart[slot]
        if gap is None:
            miss = np.zeros(len(found.gap))
        else:
            miss = np.abs(found.gap - gap)
            close = miss <= max(0.75 * min(self.params.spacing), 0.08 * gap)
            miss[close & ((found.gap == 0) == (gap == 0))] = 0.0
        wish = self.params.distance[slot]
        off = np.zeros(len(miss)) if wish is None else np.abs(found.distance - wish)
        for i in np.lexsort((off, miss)):
            if valid[i] and self._is_free(shape, found.corner[i], cut):
                return found.corner[i], float(miss[i])
        return None, np.inf

    def _is_free(self, shape: CellShape, corner: Array, cut: bool) -> bool:
        if not (self.field.distances_in(shape.mask, corner) > 0).all():
            return False
        return not cut or self._visible(shape, corner) >= self.params.smallest_cut * shape.area

    def _visible(self, shape: CellShape, corner: Array) -> int:
        start = corner - self.margin
        part = tuple(slice(max(0, -a), max(0, side - a)) for a, side in zip(start, self.shape))
        return int(shape.mask[part].sum())

    def _tuck_under(self, slot: int, shape: CellShape, corner: Array) -> Array:
        """Slide a touching cell under its neighbour until the drawn part of it is hidden."""
        best = corner
        found = self.search.evaluate(shape, corner[None], None)
        slope = self.field.slope(found.contact)[0]
        if found.gap[0] > self.search.touch or not slope.any():
            return best
        direction = -slope / np.abs(slope).max()
        for step in range(1, max(shape.mask.shape)):
            moved = corner + np.round(step * direction).astype(np.int64)
            if not self.search.allowed(moved[None], shape, self.params.cut[slot])[0]:
                break
            hidden = int((self.field.distances_in(shape.mask, moved) == 0).sum()) / shape.area
            if hidden > self.params.max_overlap:
                break
            best, self.overlaps[slot] = moved, hidden > 0
            if hidden >= self.params.hidden[slot]:
                break
        return best

    def _occupy(self, slot: int, shape: CellShape, corner: Array) -> None:
        distance, index = self.field.look_up(corner[None], shape.contour)
        owner = self.field.owner.ravel()[index[0]]
        for other in np.unique(owner[owner >= 0]):
            gap = max(0.0, float(distance[0][owner == other].min()) - self.search.touch)
            self.nearest[slot] = min(self.nearest[slot], gap)
            self.nearest[other] = min(self.nearest[other], gap)
            self.overlaps[other] |= self.overlaps[slot] and not distance[0][owner == other].all()
        self.field.add(shape.mask, tuple(int(side) for side in corner), slot)
        self.group_of[slot] = self.params.group[slot]
        self.search.centres[slot] = corner + shape.centre
        self.boxes[slot] = np.stack([corner, corner + shape.mask.shape])
