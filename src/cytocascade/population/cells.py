"""Which cells a population is made of: the joint distribution of size, shape, brightness and contrast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from cytocascade.types import Array, FloatArray

REACH = 0.6
"""Standard deviations by which cells reach beyond the real ones, at the most."""

PRIOR_WORTH = 10
"""How many real cells the prior outweighs, at full reach."""

RARE_SHARE = 0.2
"""Share of the prior's cells that are chosen evenly over all sizes, so that small fragments are seen at all."""

SMALLEST_OF_PRIOR = 0.5
"""Area of the smallest cells that the prior may add, relative to the smallest real cell. What is much smaller than all
that was annotated is likely to be debris here, whatever it was where the prior comes from."""

MOST_PRIOR = 500
"""Cells that are kept of a base."""


class CellStatistics(BaseModel):
    """Descriptors of the real cells; new ones are drawn from their smoothed distribution."""

    model_config = ConfigDict(extra="forbid")

    names: tuple[str, ...]
    """Name of every descriptor; the first is ``log_area``, twice the logarithm of a relative area."""
    rows: list[list[float]] = Field(min_length=1)
    """One row of descriptors per real cell."""
    prior: list[list[float]] = Field(default_factory=list)
    """Rows of cells of other data, with their mean moved to that of `rows`: what else cells can be like."""
    bandwidth: float = Field(0.2, ge=0)
    """Width of the smoothing kernel in standard deviations."""

    @model_serializer(mode="wrap")
    def _without_empty_prior(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Bundles that were written before there was a prior keep their hash.
        written: dict[str, Any] = plain(self)
        return {name: value for name, value in written.items() if name != "prior" or value}

    @classmethod
    def fit(
        cls, names: tuple[str, ...], descriptors: Array, *, most: int = 3000, base: CellStatistics | None = None
    ) -> CellStatistics:
        """Keep the descriptors, (n, d), of at most `most` cells, evenly chosen, and those of a base as prior."""
        rows = _evenly(np.asarray(descriptors, dtype=np.float64), most)
        prior = np.empty((0, rows.shape[1]))
        if base is not None and base.names == names:
            prior = _evenly(np.asarray(base.rows), MOST_PRIOR)
            prior = prior - prior.mean(axis=0) + rows.mean(axis=0)
        return cls(names=names, rows=np.round(rows, 4).tolist(), prior=np.round(prior, 4).tolist())

    def draw(
        self, count: int, generator: np.random.Generator, *, area_scale: float = 1.0, reach: float = 0.0
    ) -> FloatArray:
        """Draw the descriptors of `count` new cells, (count, d) float32.

        A smoothed bootstrap (Silverman 1986, section 6.4): a real cell is picked and jittered, shrunk so
        that mean and variance stay those of the real cells; correlations between descriptors survive.

        Parameters
        ----------
        count : int
            Number of cells.
        generator : numpy.random.Generator
            Source of randomness.
        area_scale : float
            Factor on all areas.
        reach : float, [0, 1]
            How far beyond the real cells new ones reach. Few cells do not tell the tails: the kernel's width grows by
            `REACH` times that, without shrinking, and the limits by as much on both sides; and the fewer real cells
            there are, the more are drawn from the prior.
        """
        rows = np.asarray(self.rows)
        mean, spread = rows.mean(axis=0), rows.std(axis=0)
        if reach > 0:
            # Silverman's rule for long tails: a single odd cell among few must not make all others odd.
            quartiles = np.quantile(rows, (0.25, 0.75), axis=0)
            spread = np.minimum(spread, (quartiles[1] - quartiles[0]) / 1.34)
        picked = rows[generator.integers(len(rows), size=count)]
        width = self.bandwidth + REACH * reach
        jitter = width * spread * generator.standard_normal((count, rows.shape[1]))
        drawn = mean + (picked - mean + jitter) / np.sqrt(1 + self.bandwidth**2)
        # Far beyond the range of the real cells the networks were never trained.
        margin = REACH * reach * spread
        drawn = np.clip(drawn, rows.min(axis=0) - margin, rows.max(axis=0) + margin)
        if self.prior and reach > 0:
            drawn = self._with_prior(drawn, reach, generator)
        drawn[:, 0] += 2.0 * np.log(area_scale)
        return np.asarray(drawn, dtype=np.float32)

    def _with_prior(self, drawn: Array, reach: float, generator: np.random.Generator) -> Array:
        """Replace some of the drawn cells by such of the prior."""
        prior = np.asarray(self.prior)
        # The first descriptor is twice the logarithm of the area.
        prior = prior[prior[:, 0] >= min(row[0] for row in self.rows) + 2 * math.log(SMALLEST_OF_PRIOR)]
        if not len(prior):
            return drawn
        share = reach * PRIOR_WORTH / (PRIOR_WORTH + len(self.rows))
        taken, rare, place = generator.random((3, len(drawn)))
        usual = (place * len(prior)).astype(int)
        order = np.argsort(prior[:, 0])
        sizes = prior[order, 0]
        middles = (sizes[1:] + sizes[:-1]) / 2
        nearest = order[np.searchsorted(middles, sizes[0] + place * (sizes[-1] - sizes[0]))]
        chosen = np.where(rare < RARE_SHARE, nearest, usual)
        return np.where((taken < share)[:, None], prior[chosen], drawn)


def _evenly(rows: Array, most: int) -> Array:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]
