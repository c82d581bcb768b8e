"""The occupied part of a field and the distance to it, kept up to date one cell at a time."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import Array, BoolArray, FloatArray


class OccupiedField:
    """Distance maps of a field that is being filled, updated only around each new cell.

    Two maps are kept. The fine one, on the pixels of the field, is exact up to `reach`, and so are gaps read
    from it. The coarse one, on blocks of `block` pixels, sees `far`; it is cheap to search as a whole and
    says where in the field a position with the wanted distance is.

    Parameters
    ----------
    shape : tuple of int
        Pixels of the frame along each axis.
    margin : tuple of int
        Pixels around the frame in which cut cells may lie.
    spacing : tuple of float
        Micrometres per pixel along each axis.
    reach, far : float
        Largest distance, in micrometres, that the fine and the coarse map tell.
    block : tuple of int
        Pixels per block along each axis.

    Attributes
    ----------
    fine : ndarray of float32, padded shape
        Distance to the nearest occupied pixel centre, micrometres, at most `reach`; 0 where occupied.
    owner : ndarray of int32, padded shape
        Number of the cell that `fine` refers to, -1 beyond `reach`.
    coarse : ndarray of float32
        Distance in micrometres of each block to the nearest occupied block, at most `far`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        margin: tuple[int, ...],
        spacing: tuple[float, ...],
        reach: float,
        far: float,
        block: tuple[int, ...],
    ) -> None:
        self.shape, self.spacing, self.margin = shape, spacing, margin
        self.reach, self.far, self.block = reach, far, block
        padded = tuple(math.ceil((side + 2 * extra) / size) * size for side, extra, size in zip(shape, margin, block))
        self.padded = padded
        self.fine, self.owner = self._allocate()
        blocks = tuple(side // size for side, size in zip(padded, block))
        self.coarse: FloatArray = np.full(blocks, far, dtype=np.float32)
        self.strides: Array = np.array([math.prod(padded[axis + 1 :]) for axis in range(len(padded))])
        self.coarse_strides: Array = np.array([math.prod(blocks[axis + 1 :]) for axis in range(len(blocks))])

    def _allocate(self) -> tuple[FloatArray, Array]:
        return np.full(self.padded, self.reach, dtype=np.float32), np.full(self.padded, -1, dtype=np.int32)

    def add(self, mask: BoolArray, corner: tuple[int, ...], number: int) -> None:
        """Occupy the pixels of `mask` whose box starts at `corner` (padded coordinates) as cell `number`."""
        self._update_fine(mask, corner, number)
        self._update_coarse(mask, corner)

    def _update_fine(self, mask: BoolArray, corner: tuple[int, ...], number: int) -> None:
        window, inside = self._window(mask.shape, corner, self.reach, self.spacing, self.padded)
        free = np.ones(tuple(axis.stop - axis.start for axis in window), dtype=bool)
        free[inside] = ~mask
        distance = ndi.distance_transform_edt(free, sampling=self.spacing).astype(np.float32)
        self._lower(window, distance, number)

    def _lower(self, window: tuple[slice, ...], distance: FloatArray, number: int) -> None:
        """Take over the distances to cell `number` where they are the smallest."""
        fine = self.fine[window]
        closer = distance < fine
        fine[closer] = distance[closer]
        self.owner[window][closer] = number

    def _update_coarse(self, mask: BoolArray, corner: tuple[int, ...]) -> None:
        first = tuple(start // size for start, size in zip(corner, self.block))
        last = tuple(-(-(start + side) // size) for start, side, size in zip(corner, mask.shape, self.block))
        aligned = np.zeros(tuple((b - a) * size for a, b, size in zip(first, last, self.block)), dtype=bool)
        aligned[
            tuple(
                slice(start - a * size, start - a * size + side)
                for start, a, size, side in zip(corner, first, self.block, mask.shape)
            )
        ] = mask
        split = [part for a, b, size in zip(first, last, self.block) for part in (b - a, size)]
        blocks = aligned.reshape(split).any(axis=tuple(range(1, 2 * mask.ndim, 2)))
        sampling = tuple(step * size for step, size in zip(self.spacing, self.block))
        window, inside = self._window(blocks.shape, first, self.far, sampling, self.coarse.shape)
        free = np.ones(tuple(axis.stop - axis.start for axis in window), dtype=bool)
        free[inside] = ~blocks
        distance = ndi.distance_transform_edt(free, sampling=sampling).astype(np.float32)
        np.minimum(self.coarse[window], distance, out=self.coarse[window])

    @staticmethod
    def _window(
        size: tuple[int, ...],
        corner: tuple[int, ...],
        reach: float,
        spacing: tuple[float, ...],
        limits: tuple[int, ...],
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return the box within `reach` of a mask's box, and the mask's box inside of it."""
        window, inside = [], []
        for side, start, step, limit in zip(size, corner, spacing, limits):
            extra = math.ceil(reach / step) + 1
            low, high = max(0, start - extra), min(limit, start + side + extra)
            window.append(slice(low, high))
            inside.append(slice(start - low, start - low + side))
        return tuple(window), tuple(inside)

    def look_up(self, corners: Array, offsets: Array) -> tuple[FloatArray, Array]:
        """Return fine distances at ``corners[i] + offsets[j]``, (n, p), and their flat indices."""
        index = (corners @ self.strides)[:, None] + (offsets @ self.strides)[None, :]
        return self.fine.ravel()[index], index

    def distances_in(self, mask: BoolArray, corner: Array) -> FloatArray:
        """Return fine distances at the pixels of `mask`, (p,), if its box starts at `corner`."""
        box = tuple(slice(a, a + side) for a, side in zip(corner, mask.shape))
        return np.asarray(self.fine[box][mask])

    def look_up_coarse(self, corners: Array, offsets: Array) -> FloatArray:
        """Return coarse distances at ``corners[i] + offsets[j]``, (n, p)."""
        blocks = (corners[:, None, :] + offsets[None, :, :]) // np.asarray(self.block)
        return np.asarray(self.coarse.ravel()[blocks @ self.coarse_strides])

    def slope(self, index: Array) -> Array:
        """Return the gradient of the fine distance, (n, ndim) per pixel, at flat indices."""
        flat = self.fine.ravel()
        return np.stack([0.5 * (flat[index + stride] - flat[index - stride]) for stride in self.strides], axis=1)
