"""How far a cell reaches along z, read from the light in the column above and below one of its sections."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import AnnotatedStack, Array, BoolArray, FloatArray

SAME = 0.7
"""Two sections of one cell share at least this part of the smaller one."""

_RISE = 1.3
"""Where the light has fallen and risen again by this factor, another cell begins."""


class Columns:
    """How bright the columns of a stack are, against the darkest tenth of each plane."""

    def __init__(self, stack: AnnotatedStack) -> None:
        self.image, self.labels, self.step = stack.image, stack.labels, stack.spacing[0]
        self.annotated = np.array(stack.annotated)
        planes = stack.image.reshape(len(stack.image), -1)
        self.dark: Array = np.percentile(planes[:, :: max(1, planes.shape[1] // 20000)], 10, axis=1)

    def extent(self, plane: int, box: tuple[slice, ...], mask: BoolArray) -> tuple[float, float, bool]:
        """Return lowest and highest point of the cell of a section, and whether the stack ends before it does."""
        depth = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        core = depth >= 0.75 * depth.max()
        light = self.image[(slice(None), *box)][:, core].mean(axis=1) - self.dark
        light = light * np.sign(light[plane])
        first, last = self._limits(plane, box, mask, light)
        low, high = _run(light, plane, 0.5 * light[plane], first, last)
        level = min(0.5 * light[low : high + 1].max(), 0.9 * light[plane])
        low, high = _run(light, plane, level, first, last)
        bottom = low + 0.5 - _crossing(light, low, -1, level)
        top = high + 0.5 + _crossing(light, high, 1, level)
        return bottom * self.step, top * self.step, low == 0 or high == len(light) - 1

    def _limits(self, plane: int, box: tuple[slice, ...], mask: BoolArray, light: Array) -> tuple[int, int]:
        """Return the first and last plane that can belong to the cell.

        It ends before annotated slices in which there is nothing or another shape, and in valleys of the light,
        beyond which the next cell of a pile begins.
        """
        ends = [0, len(light) - 1]
        other = self.annotated[[not self._same_shape(near, box, mask) for near in self.annotated]]
        for side, direction in enumerate((-1, 1)):
            stops = other[(other - plane) * direction > 0]
            if len(stops):
                ends[side] = int(stops.max() if direction < 0 else stops.min()) - direction
            beyond = light[plane::direction][: abs(ends[side] - plane) + 1]
            peak = np.maximum.accumulate(beyond)
            fallen = np.minimum.accumulate(np.where(_RISE * beyond < peak, beyond, np.inf))
            risen = np.flatnonzero(beyond > _RISE * fallen)
            if len(risen):
                ends[side] = plane + direction * int(np.flatnonzero(beyond[: risen[0] + 1] == fallen[risen[0]])[0])
        return ends[0], ends[1]

    def _same_shape(self, plane: int, box: tuple[slice, ...], mask: BoolArray) -> bool:
        counts = np.bincount(self.labels[plane][box][mask])
        if len(counts) < 2 or not counts[1:].any():
            return False
        value = 1 + int(counts[1:].argmax())
        return int(counts[value]) >= SAME * min(int((self.labels[plane] == value).sum()), int(mask.sum()))


def _run(light: FloatArray, plane: int, level: float, first: int, last: int) -> tuple[int, int]:
    """Return the first and last plane around `plane`, within limits, that are at least `level`."""
    below = light < level
    before, after = np.flatnonzero(below[first:plane]), np.flatnonzero(below[plane + 1 : last + 1])
    low = first + int(before[-1]) + 1 if len(before) else first
    return low, plane + int(after[0]) if len(after) else last


def _crossing(light: FloatArray, plane: int, direction: int, level: float) -> float:
    """Return how many planes beyond `plane` the level is crossed; half a plane at the end of the stack."""
    beyond = plane + direction
    if not 0 <= beyond < len(light):
        return 0.5
    drop = float(light[plane] - light[beyond])
    return min(float(light[plane] - level) / drop, 1.0) if drop > 0 else 0.5
