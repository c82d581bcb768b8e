"""Where the cells of an annotated stack lie, along z too: from labels of the whole stack or of a few slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cytocascade.images.features import cut_by_frame
from cytocascade.population.columns import SAME, Columns
from cytocascade.types import AnnotatedStack, Array, BoolArray


@dataclass(frozen=True)
class StackCells:
    """The cells of one stack. Heights are in micrometres above the lower face of the first plane.

    Attributes
    ----------
    bottom, top : ndarray of float64, (n,)
        Lowest and highest point of each cell.
    position : ndarray of float64, (n, 2)
        Centroid along (y, x) in micrometres.
    cut_z, cut_yx : ndarray of bool, (n,)
        Whether the cell touches the first or last plane, or a side of the stack.
    footprints : ndarray of int32, (Y, X)
        The cells seen along z, numbered from 1; the lower ones lie on top.
    crowding : float
        Sum of the footprints' areas over the area that they cover together; 1 if none overlap.
    shared : ndarray of float64, (n,)
        Part of each footprint that others overlap.
    outside : float
        Part of the cells outside the ellipsoid that fills their common bounding box: about 0.48 for cells spread
        evenly over the box, and 0 for a ball.
    size : tuple of float
        Their common bounding box along (z, y, x) in micrometres.
    low : tuple of float
        Where that box begins along (y, x) in micrometres.
    frame : tuple of float
        Size of the stack along (z, y, x) in micrometres.
    packing : float
        Part of that ellipsoid that the cells fill.
    seen : float
        Chance that a cell is met by an annotated slice; 1 if all are annotated.
    """

    bottom: Array
    top: Array
    position: Array
    cut_z: BoolArray
    cut_yx: BoolArray
    footprints: Array
    crowding: float
    shared: Array
    outside: float
    size: tuple[float, float, float]
    low: tuple[float, float]
    frame: tuple[float, float, float]
    packing: float
    seen: float

    def __len__(self) -> int:
        return len(self.bottom)

    @property
    def centre(self) -> Array:
        """Return the middles of the cells, (n, 3) along (z, y, x) in micrometres."""
        return np.column_stack([0.5 * (self.top + self.bottom), self.position])


def measure_stack(stack: AnnotatedStack) -> StackCells | None:
    """Measure the cells of a stack; None if it has none.

    If all slices are annotated, labels are taken to be those of whole cells. If a few are, labels of different
    slices need not agree: how far a cell reaches along z is read from the image, in the column above and below each
    section, as the width at half of its brightest plane. Sections that lie over each other and reach as far are
    one cell.
    """
    if not any((stack.labels[slice_] > 0).any() for slice_ in stack.annotated):
        return None
    whole = len(stack.annotated) == len(stack.labels)
    return _from_bodies(stack) if whole else _from_sections(stack)


def _from_bodies(stack: AnnotatedStack) -> StackCells:
    step = np.asarray(stack.spacing)
    low, high, position, prints = [], [], [], []
    for value, box in enumerate(ndi.find_objects(np.asarray(stack.labels)), start=1):
        if box is None:
            continue
        mask = stack.labels[box] == value
        low.append([axis.start for axis in box])
        high.append([axis.stop for axis in box])
        position.append((np.argwhere(mask).mean(axis=0) + low[-1])[1:] * step[1:])
        prints.append((box[1:], mask.any(axis=0)))
    starts, stops = np.array(low), np.array(high)
    return _summary(
        stack,
        bottom=starts[:, 0] * step[0],
        top=stops[:, 0] * step[0],
        position=np.array(position),
        cut_z=(starts[:, 0] == 0) | (stops[:, 0] == len(stack.labels)),
        cut_yx=(starts[:, 1:] == 0).any(axis=1) | (stops[:, 1:] == stack.labels.shape[1:]).any(axis=1),
        prints=prints,
    )


def _from_sections(stack: AnnotatedStack) -> StackCells:
    profile = Columns(stack)
    sections: list[tuple[int, int, tuple[slice, ...], BoolArray]] = []
    reach: list[tuple[float, float, bool]] = []
    for plane in stack.annotated:
        for value, box in enumerate(ndi.find_objects(np.asarray(stack.labels[plane])), start=1):
            if box is not None:
                mask = np.asarray(stack.labels[plane][box] == value)
                sections.append((plane, value, box, mask))
                reach.append(profile.extent(plane, box, mask))
    owner = _same_cells(stack, [(plane, value) for plane, value, _, _ in sections], reach)
    extents = np.array([(low, high) for low, high, _ in reach])
    ended = np.array([cut for _, _, cut in reach])
    bottom, top, position, cut_z, cut_yx, prints = [], [], [], [], [], []
    for cell in range(owner.max() + 1):
        members = np.flatnonzero(owner == cell)
        box, footprint = _united([sections[i][2] for i in members], [sections[i][3] for i in members])
        bottom.append(np.median(extents[members, 0]))
        top.append(np.median(extents[members, 1]))
        cut_z.append(ended[members].all())
        start = [axis.start for axis in box]
        cut_yx.append(cut_by_frame(box, stack.labels.shape[1:]))
        position.append((np.argwhere(footprint).mean(axis=0) + start) * stack.spacing[1:])
        prints.append((box, footprint))
    return _summary(
        stack,
        bottom=np.array(bottom),
        top=np.array(top),
        position=np.array(position),
        cut_z=np.array(cut_z),
        cut_yx=np.array(cut_yx),
        prints=prints,
    )


def _same_cells(
    stack: AnnotatedStack, names: Sequence[tuple[int, int]], reach: Sequence[tuple[float, float, bool]]
) -> Array:
    """Return the number of the cell that each section belongs to.

    Sections of two slices are one cell if they share most of the smaller one's area and half of the shorter
    one's height.
    """
    number = {name: position for position, name in enumerate(names)}
    sizes = [int((stack.labels[plane] == value).sum()) for plane, value in names]
    pairs = []
    for place, first in enumerate(stack.annotated):
        for second in stack.annotated[place + 1 :]:
            a, b = stack.labels[first], stack.labels[second]
            both, shared = np.unique(np.stack([a, b])[:, (a > 0) & (b > 0)], axis=1, return_counts=True)
            for (one, other), area in zip(both.T, shared):
                i, j = number[first, int(one)], number[second, int(other)]
                common = min(reach[i][1], reach[j][1]) - max(reach[i][0], reach[j][0])
                shorter = min(reach[i][1] - reach[i][0], reach[j][1] - reach[j][0])
                if common >= 0.5 * shorter and area >= SAME * min(sizes[i], sizes[j]):
                    pairs.append((i, j))
    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(names), len(names)))
    return np.asarray(connected_components(graph, directed=False)[1])


def _united(boxes: Sequence[tuple[slice, ...]], masks: Sequence[BoolArray]) -> tuple[tuple[slice, ...], BoolArray]:
    low = [min(box[axis].start for box in boxes) for axis in range(2)]
    high = [max(box[axis].stop for box in boxes) for axis in range(2)]
    union = np.zeros([b - a for a, b in zip(low, high)], dtype=bool)
    for box, mask in zip(boxes, masks):
        union[tuple(slice(axis.start - a, axis.stop - a) for axis, a in zip(box, low))] |= mask
    return tuple(slice(a, b) for a, b in zip(low, high)), union


def _summary(
    stack: AnnotatedStack,
    *,
    bottom: Array,
    top: Array,
    position: Array,
    cut_z: BoolArray,
    cut_yx: BoolArray,
    prints: Sequence[tuple[tuple[slice, ...], BoolArray]],
) -> StackCells:
    labels, step = stack.labels, np.asarray(stack.spacing)
    footprints = np.zeros(labels.shape[1:], dtype=np.int32)
    depth = np.zeros(labels.shape[1:], dtype=np.int32)
    for box, mask in prints:
        depth[box] += mask
    for cell in np.argsort(bottom, kind="stable"):
        box, mask = prints[cell]
        footprints[box][mask & (footprints[box] == 0)] = cell + 1
    shared = [float((depth[box][mask] > 1).mean()) for box, mask in prints]
    planes = np.array(stack.annotated)
    z, y, x = np.nonzero(labels[planes] > 0)
    points = np.stack([(planes[z] + 0.5), y + 0.5, x + 0.5], axis=1) * step
    low = np.array([bottom.min(), y.min() * step[1], x.min() * step[2]])
    high = np.array([top.max(), (y.max() + 1) * step[1], (x.max() + 1) * step[2]])
    middle, semi = 0.5 * (low + high), 0.5 * (high - low)
    outside = (((points - middle) / semi) ** 2).sum(axis=1) > 1
    # The area that the slices cut out of the ellipsoid; by Delesse's principle area fractions are volume fractions.
    heights = ((planes + 0.5) * step[0] - middle[0]) / semi[0]
    sections = np.pi * semi[1] * semi[2] * np.maximum(1 - heights**2, 0.0).sum()
    return StackCells(
        bottom=bottom,
        top=top,
        position=position,
        cut_z=cut_z,
        cut_yx=cut_yx,
        footprints=footprints,
        crowding=float(sum(mask.sum() for _, mask in prints) / (depth > 0).sum()),
        shared=np.array(shared),
        outside=float(outside.mean()),
        size=(float(high[0] - low[0]), float(high[1] - low[1]), float(high[2] - low[2])),
        low=(float(low[1]), float(low[2])),
        frame=(labels.shape[0] * step[0], labels.shape[1] * step[1], labels.shape[2] * step[2]),
        packing=float(len(points) * step[1] * step[2] / max(sections, 1e-12)),
        seen=_chance_seen((planes + 0.5) * step[0], float(np.median(top - bottom)), float(low[0]), float(high[0])),
    )


def _chance_seen(planes: Array, height: float, low: float, high: float) -> float:
    """Return the chance that a cell of a height, evenly somewhere between `low` and `high`, is met by a plane.

    For one plane this is the cell's height over that of the slab, for many it is 1.
    """
    bottoms = np.linspace(low, max(high - height, low), 501)
    met = (planes[:, None] >= bottoms) & (planes[:, None] <= bottoms + height)
    return max(float(met.any(axis=0).mean()), 0.02)
