"""The occupied part of a volume, kept only where cells are."""

from __future__ import annotations

import itertools

import numpy as np

from cytocascade.population.occupancy import OccupiedField
from cytocascade.types import Array, BoolArray, FloatArray

_BITS = 4
_SIDE = 1 << _BITS


class SparseField(OccupiedField):
    """An `OccupiedField` of a volume whose fine map is stored in tiles, made when a cell comes near.

    Tiles hold 16 x 16 x 16 voxels. Beyond the reach of all cells nothing is stored, so memory follows the
    cells, not the volume: 8 bytes per voxel of the tiles within `reach` of a cell, 4 bytes per block of the
    coarse map and 4 per tile of the volume.

    Attributes
    ----------
    fine, owner : ndarray, (tiles, 4096)
        As in `OccupiedField`, tile by tile; tile 0 stands for all that are empty. The flat indices that
        `look_up` returns point into them.
    table : ndarray of int32, (Z, Y, X) in tiles
        Number of each tile.
    origin : ndarray, (tiles, 3) int64
        First voxel of each tile in padded coordinates.
    tiles : int
        Tiles in use.
    """

    def _allocate(self) -> tuple[FloatArray, Array]:
        self.table: Array = np.zeros([-(-side // _SIDE) for side in self.padded], dtype=np.int32)
        self.table_strides: Array = np.array([self.table.shape[1] * self.table.shape[2], self.table.shape[2], 1])
        self.origin: Array = np.zeros((64, 3), dtype=np.int64)
        self.tiles = 1
        empty = np.full((64, _SIDE**3), self.reach, dtype=np.float32)
        return empty, np.full((64, _SIDE**3), -1, dtype=np.int32)

    def _new_tile(self, position: tuple[int, ...]) -> int:
        if self.tiles == len(self.fine):
            grown = len(self.fine) + max(64, len(self.fine) // 8)
            # In place, because old and new arrays together would double the memory.
            for array, width in ((self.fine, _SIDE**3), (self.owner, _SIDE**3), (self.origin, 3)):
                array.resize((grown, width), refcheck=False)
            self.fine[self.tiles :], self.owner[self.tiles :] = self.reach, -1
        self.table[position] = self.tiles
        self.origin[self.tiles] = np.array(position) * _SIDE
        self.tiles += 1
        return self.tiles - 1

    def _lower(self, window: tuple[slice, ...], distance: FloatArray, number: int) -> None:
        near = distance < self.reach
        for position, part, inside in _tiles(window):
            if not near[part].any():
                continue
            tile = int(self.table[position]) or self._new_tile(position)
            fine = self.fine[tile].reshape(_SIDE, _SIDE, _SIDE)[inside]
            owner = self.owner[tile].reshape(_SIDE, _SIDE, _SIDE)[inside]
            closer = distance[part] < fine
            fine[closer] = distance[part][closer]
            owner[closer] = number

    def distances_in(self, mask: BoolArray, corner: Array) -> FloatArray:
        """Return fine distances at the voxels of `mask`, (p,), if its box starts at `corner`."""
        window = tuple(slice(int(a), int(a) + side) for a, side in zip(corner, mask.shape))
        distance: FloatArray = np.full(mask.shape, self.reach, dtype=np.float32)
        for position, part, inside in _tiles(window):
            tile = int(self.table[position])
            if tile:
                distance[part] = self.fine[tile].reshape(_SIDE, _SIDE, _SIDE)[inside]
        return np.asarray(distance[mask])

    def look_up(self, corners: Array, offsets: Array) -> tuple[FloatArray, Array]:
        """Return fine distances at ``corners[i] + offsets[j]``, (n, p), and their indices in the tiles."""
        index = self._index(corners.astype(np.int32)[:, None, :] + offsets.astype(np.int32)[None, :, :])
        return self.fine.ravel()[index], index

    def slope(self, index: Array) -> Array:
        """Return the gradient of the fine distance, (n, 3) per voxel; 0 in tiles without cells."""
        tile, inside = index >> 3 * _BITS, index & (_SIDE**3 - 1)
        within = np.stack([inside >> 2 * _BITS, (inside >> _BITS) & (_SIDE - 1), inside & (_SIDE - 1)], axis=1)
        here = self.origin[tile] + within
        flat = self.fine.ravel()
        slopes = np.empty((len(index), 3))
        last = np.array(self.padded) - 1
        for axis in range(3):
            step = np.eye(3, dtype=np.int64)[axis]
            after, before = self._index(np.minimum(here + step, last)), self._index(np.maximum(here - step, 0))
            slopes[:, axis] = 0.5 * (flat[after] - flat[before])
        slopes[tile == 0] = 0.0
        return slopes

    def _index(self, voxels: Array) -> Array:
        """Return the flat index into `fine` of voxels, (..., 3)."""
        z, y, x = voxels[..., 0], voxels[..., 1], voxels[..., 2]
        stride_z, stride_y, _ = (int(stride) for stride in self.table_strides)
        tile = self.table.ravel()[(z >> _BITS) * stride_z + (y >> _BITS) * stride_y + (x >> _BITS)]
        low = _SIDE - 1
        inside = ((z & low) << 2 * _BITS) | ((y & low) << _BITS) | (x & low)
        return np.asarray((tile.astype(np.int64) << 3 * _BITS) | inside)


def _tiles(
    window: tuple[slice, ...],
) -> list[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
    """Return each tile that a window meets: its position, the part of the window, and that of the tile."""
    axes = []
    for axis in window:
        pieces = []
        for tile in range(axis.start >> _BITS, ((axis.stop - 1) >> _BITS) + 1):
            low, high = max(axis.start, tile * _SIDE), min(axis.stop, (tile + 1) * _SIDE)
            pieces.append(
                (tile, slice(low - axis.start, high - axis.start), slice(low - tile * _SIDE, high - tile * _SIDE))
            )
        axes.append(pieces)
    return [
        (tuple(a[0] for a in piece), tuple(a[1] for a in piece), tuple(a[2] for a in piece))
        for piece in itertools.product(*axes)
    ]
