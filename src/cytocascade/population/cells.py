"""Which cells a population is made of: the joint distribution of size, shape, brightness and contrast."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cytocascade.types import Array, FloatArray


class CellStatistics(BaseModel):
    """Descriptors of the real cells; new ones are drawn from their smoothed distribution."""

    model_config = ConfigDict(extra="forbid")

    names: tuple[str, ...]
    """Name of every descriptor; the first is ``log_area``, twice the logarithm of a relative area."""
    rows: list[list[float]] = Field(min_length=1)
    """One row of descriptors per real cell."""
    bandwidth: float = Field(0.2, ge=0)
    """Width of the smoothing kernel in standard deviations."""

    @classmethod
    def fit(cls, names: tuple[str, ...], descriptors: Array, *, most: int = 3000) -> CellStatistics:
        """Keep the descriptors, (n, d), of at most `most` cells, evenly chosen."""
        rows = np.asarray(descriptors, dtype=np.float64)
        if len(rows) > most:
            rows = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
        return cls(names=names, rows=np.round(rows, 4).tolist())

    def draw(self, count: int, generator: np.random.Generator, *, area_scale: float = 1.0) -> FloatArray:
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
        """
        rows = np.asarray(self.rows)
        mean, spread = rows.mean(axis=0), rows.std(axis=0)
        picked = rows[generator.integers(len(rows), size=count)]
        jitter = self.bandwidth * spread * generator.standard_normal((count, rows.shape[1]))
        drawn = mean + (picked - mean + jitter) / np.sqrt(1 + self.bandwidth**2)
        # Beyond the range of the real cells the networks were never trained.
        drawn = np.clip(drawn, rows.min(axis=0), rows.max(axis=0))
        drawn[:, 0] += 2.0 * np.log(area_scale)
        return np.asarray(drawn, dtype=np.float32)
