"""Which cells a population is made of: the joint distribution of size, shape, brightness and contrast."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from scipy.stats import rankdata

from cytocascade.images.descriptors import canonical_area
from cytocascade.types import Array, FloatArray

REACH = 0.6
"""Standard deviations by which cells reach beyond the real ones, at the most."""

PRIOR_WORTH = 10
"""How many real cells the prior outweighs, at full reach."""

MOST_PRIOR = 500
"""Cells that are kept of every data set that a base knows."""


class CellStatistics(BaseModel):
    """Descriptors of the real cells; new ones are drawn from their smoothed distribution."""

    model_config = ConfigDict(extra="forbid")

    names: tuple[str, ...]
    """Name of every descriptor; the first is ``log_area``, twice the logarithm of a relative area."""
    rows: list[list[float]] = Field(min_length=1)
    """One row of descriptors per real cell."""
    prior: list[list[float]] = Field(default_factory=list)
    """Rows of cells of other data, every data set's with their median moved to that of `rows`: what else cells can be
    like."""
    bandwidth: float = Field(0.2, ge=0)
    """Width of the smoothing kernel in standard deviations."""

    @model_serializer(mode="wrap")
    def _without_empty_prior(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Bundles that were written before there was a prior keep their hash.
        written: dict[str, Any] = plain(self)
        return {name: value for name, value in written.items() if name != "prior" or value}

    @classmethod
    def fit(
        cls,
        names: tuple[str, ...],
        descriptors: Array,
        *,
        most: int = 3000,
        base: CellStatistics | None = None,
        least_area: float = 0.0,
    ) -> CellStatistics:
        """Keep the descriptors of cells, and those of a base as prior.

        Parameters
        ----------
        names : tuple of str
            Of the descriptors; the first is ``log_area``.
        descriptors : ndarray, (n, d)
            Real cells; at most `most`, evenly chosen, are kept.
        most : int
            See `descriptors`.
        base : CellStatistics, optional
            Its cells, and those of its prior, become the prior.
        least_area : float
            Canonical pixels that a cell of the prior must have: smaller ones cannot be seen in these images.
        """
        rows = _evenly(np.asarray(descriptors, dtype=np.float64), most)
        known = [] if base is None or base.names != names else [base.rows, base.prior]
        prior = [_moved(_evenly(np.asarray(part), MOST_PRIOR), rows) for part in known if part]
        seen = [row for part in prior for row in _written(part[canonical_area(part[:, 0]) >= least_area])]
        return cls(names=names, rows=_written(rows), prior=seen)

    def with_prior(self, descriptors: Array) -> CellStatistics:
        """Return a copy that also knows the cells, (n, d), of another data set."""
        prior = _moved(_evenly(np.asarray(descriptors, dtype=np.float64), MOST_PRIOR), np.asarray(self.rows))
        return self.model_copy(update={"prior": [*self.prior, *_written(prior)]})

    def slope(self, of: str, by: str) -> float:
        """Return how much descriptor `of` grows with descriptor `by`, shrunk towards 0 the fewer cells tell."""
        y, x = (np.asarray(self.rows)[:, self.names.index(name)] for name in (of, by))
        if np.ptp(x) == 0:
            return 0.0
        return float(np.cov(x, y)[0, 1] / np.var(x, ddof=1)) * len(x) / (len(x) + PRIOR_WORTH)

    def draw(
        self, count: int, generator: np.random.Generator, *, area_scale: float = 1.0, reach: float = 0.0
    ) -> FloatArray:
        """Draw the descriptors of `count` new cells, (count, d) float32.

        A smoothed bootstrap (Silverman 1986, section 6.4): a real cell is picked and jittered, shrunk so
        that mean and variance stay those of the real cells. The jitter is correlated as the descriptors are: where
        large cells have little contrast, they keep it.

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
        jitter = width * spread * (generator.standard_normal((count, rows.shape[1])) @ _correlating(rows))
        drawn = mean + (picked - mean + jitter) / np.sqrt(1 + self.bandwidth**2)
        # Far beyond the range of the real cells the networks were never trained.
        margin = REACH * reach * spread
        drawn = np.clip(drawn, rows.min(axis=0) - margin, rows.max(axis=0) + margin)
        if self.prior and reach > 0:
            drawn = self._with_prior(drawn, reach, generator)
        drawn[:, 0] += 2.0 * np.log(area_scale)
        return np.asarray(drawn, dtype=np.float32)

    def _with_prior(self, drawn: Array, reach: float, generator: np.random.Generator) -> Array:
        """Replace some of the drawn cells by such of the prior: as many as the mean of a Dirichlet process would."""
        share = reach * PRIOR_WORTH / (PRIOR_WORTH + len(self.rows))
        taken, place = generator.random((2, len(drawn)))
        prior = np.asarray(self.prior)
        return np.where((taken < share)[:, None], prior[(place * len(prior)).astype(int)], drawn)


def _correlating(rows: Array) -> Array:
    """Return the square root of the descriptors' rank correlation, which the fewer cells there are the less counts.

    Sines turn Spearman's correlation into that of a normal distribution (Kruskal, JASA 53, 1958, eq. 6.1).
    """
    count, names = rows.shape
    correlation = np.eye(names)
    varied = np.flatnonzero(np.ptp(rows, axis=0) > 0)
    if len(varied) > 1:
        ranks = rankdata(rows[:, varied], axis=0)
        correlation[np.ix_(varied, varied)] = 2 * np.sin(np.pi / 6 * np.corrcoef(ranks.T))
    shrunk = np.eye(names) + (correlation - np.eye(names)) * count / (count + PRIOR_WORTH)
    variances, axes = np.linalg.eigh(shrunk)
    return np.asarray(axes * np.sqrt(np.maximum(variances, 0)) @ axes.T)


def _evenly(rows: Array, most: int) -> Array:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _moved(rows: Array, to: Array) -> Array:
    """Move rows so that a usual cell is a usual one of `to`. Not by the mean: fragments would make all cells large."""
    return np.asarray(rows - np.median(rows, axis=0) + np.median(to, axis=0))


def _written(rows: Array) -> list[list[float]]:
    return np.round(rows, 4).tolist()  # type: ignore[no-any-return]
