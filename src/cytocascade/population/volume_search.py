"""Candidate positions in a volume: fewer outline points, and windows of a large volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cytocascade.population.candidates import Candidates, CandidateSearch, CellShape
from cytocascade.population.occupancy import OccupiedField
from cytocascade.types import Array, BoolArray

_POINTS = 200
_BEST = 6
_BLOCKS = 400_000


class VolumeSearch(CandidateSearch):
    """A `CandidateSearch` for volumes.

    Parameters
    ----------
    field : OccupiedField
        The volume.
    generator : numpy.random.Generator
        Source of randomness.
    cut_z : bool
        Whether the first and last plane may cut cells, as the other borders do.
    """

    def __init__(self, field: OccupiedField, generator: np.random.Generator, *, cut_z: bool) -> None:
        super().__init__(field, generator)
        self.cut_z = cut_z

    def corners(
        self, shape: CellShape, gap: float | None, cut: bool, count: int, around: tuple[Array, Array] | None
    ) -> Array:
        """Return up to `count` random corners; of a large volume, in a random window or else anywhere."""
        if around is None and self.field.coarse.size > _BLOCKS:
            window = super().corners(shape, gap, cut, count, self._window())
            if len(window):
                return window
        return super().corners(shape, gap, cut, count, around)

    def _window(self) -> tuple[Array, Array]:
        """Return the corners of a random box of about `_BLOCKS` blocks; all parts of the volume are as likely."""
        blocks = np.array(self.field.coarse.shape)
        side = np.minimum(blocks, 32)
        while side.prod() < _BLOCKS and (side < blocks).any():
            side = np.minimum(blocks, side + 8)
        start = self.generator.integers(1 - side, blocks)
        block = np.asarray(self.field.block)
        return np.maximum(start, 0) * block, np.minimum(start + side, blocks) * block - 1

    def slide(self, shape: CellShape, corner: Array, gap: float, cut: bool, is_other: BoolArray | None) -> Candidates:
        """Slide on a part of the outline, then the best few on all of it."""
        if len(shape.contour) > _POINTS:
            thin = replace(shape, contour=shape.contour[:: -(-len(shape.contour) // _POINTS)])
            rough = super().slide(thin, corner, gap, cut, is_other)
            corner = rough.corner[np.argsort(np.abs(rough.gap - gap), kind="stable")[:_BEST]]
        return super().slide(shape, corner, gap, cut, is_other)

    def allowed(self, corner: Array, shape: CellShape, cut: bool) -> BoolArray:
        """Return which corners cut the cell, or leave it whole, as wanted."""
        allowed = super().allowed(corner, shape, cut)
        if cut and not self.cut_z:
            low, high = self._centres(shape, False)
            centre = corner[:, 0] + shape.centre[0]
            allowed &= (centre >= low[0]) & (centre <= high[0])
        return allowed

    def _surely_whole(self, shape: CellShape, first: Array) -> tuple[Array, Array]:
        low, high = super()._surely_whole(shape, first)
        if not self.cut_z:
            low[0], high[0] = 0, self.field.coarse.shape[0]
        return low, high

    def _centres(self, shape: CellShape, cut: bool) -> tuple[Array, Array]:
        low, high = super()._centres(shape, cut)
        if cut and not self.cut_z:
            whole = super()._centres(shape, False)
            low[0], high[0] = whole[0][0], whole[1][0]
        return low, high
