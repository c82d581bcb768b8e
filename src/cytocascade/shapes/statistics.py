"""How tall cells are for their width: the axial ratios that surfaces are drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cytocascade.seeding import numpy_generator
from cytocascade.types import Array, FloatArray

Kind = Literal["nucleus", "cell"]

KINDS: tuple[Kind, ...] = ("nucleus", "cell")
"""What a surface can be of; the order is the style of the multi-view network."""

_WIDTH = 0.10
_JITTER = 0.05


class ShapeStatistics(BaseModel):
    """Lateral extents and axial ratios of cells whose height is known."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = "nucleus"
    """Whether the cells are nuclei or whole cells; the multi-view network keeps them apart."""
    extents: list[float] = Field(min_length=1)
    """Largest lateral extent of each cell (Feret diameter of its projection along z), in micrometres."""
    ratios: list[float] = Field(min_length=1)
    """Axial ratio of each: extent along z over the largest lateral extent."""
    weights: list[float] = Field(default_factory=list)
    """Weight of each; empty: all alike."""
    measured: bool = False
    """Whether they were measured in the images that the bundle was fitted to; else they are the prior's."""

    def draw(self, extents: Array, seeds: Sequence[int], *, size_known: bool = True) -> FloatArray:
        """Draw an axial ratio for every cell.

        A cell of similar lateral extent is picked and jittered (smoothed conditional bootstrap); the draw depends on
        the cell's own seed alone.

        Parameters
        ----------
        extents : ndarray, (n,)
            Largest lateral extents, in micrometres.
        seeds : sequence of int
            One per cell.
        size_known : bool
            Whether the extents are true micrometres. If not, cells of all sizes are picked from.

        Returns
        -------
        ndarray, (n,) float32
        """
        known, ratios = np.log(self.extents), np.log(self.ratios)
        weights = np.asarray(self.weights or np.ones(len(known)))
        # Neighbours in size are at least an eighth of all cells, however odd the size.
        fewest = max(3, len(known) // 8)
        drawn = np.empty(len(seeds), dtype=np.float32)
        for row, (extent, seed) in enumerate(zip(extents, seeds, strict=True)):
            generator = numpy_generator(seed, "axial ratio")
            pick, jitter = generator.random(), generator.standard_normal()
            chance = weights
            if size_known:
                away = np.abs(known - np.log(extent))
                width = max(_WIDTH, float(np.sort(away)[min(fewest, len(away)) - 1]))
                chance = weights * np.exp(-0.5 * (away / width) ** 2)
            order = np.argsort(ratios, kind="stable")
            total = np.cumsum(chance[order])
            drawn[row] = ratios[order[min(int(np.searchsorted(total, pick * total[-1])), len(order) - 1)]]
            drawn[row] += _JITTER * jitter
        return np.exp(np.clip(drawn, ratios.min(), ratios.max()))
