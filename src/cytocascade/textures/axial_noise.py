"""Starting noise for the slices of a cell, alike in slices that lie near each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from cytocascade.diffusion.sampling import single_threaded_torch
from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import torch_generator
from cytocascade.types import Array

DEFAULT_LENGTH = 1.5
"""Correlation length in micrometres where there are no stacks to fit it on.

The geometric mean of what three sets of confocal stacks of nuclei ask for; see ``benchmarks/slice_consistency.py``.
"""

_JITTER = 1e-6


class AxialNoise(BaseModel):
    """How alike the starting noise of two slices is: set either `rho` or `length`.

    Sampling is deterministic, so the noise decides the texture, and correlated noise makes correlated textures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rho: float | None = Field(None, ge=0)
    """Weight of the noise that all slices share (arXiv 2411.11515): correlation rho^2 / (1 + rho^2) at any distance."""
    length: float | None = Field(None, gt=0)
    """Correlation length in micrometres: correlation that decays with the axial distance d."""
    kernel: Literal["gaussian", "exponential"] = "gaussian"
    """With `length`: exp(-d^2 / (2 length^2)), smooth in z as what a microscope shows; or exp(-d / length), AR(1)."""

    @model_validator(mode="after")
    def _one_of_both(self) -> AxialNoise:
        if (self.rho is None) == (self.length is None):
            raise ValueError("give either rho or length")
        return self

    def correlation(self, distance: Array) -> Array:
        """Return the correlation of the noise of two slices.

        Parameters
        ----------
        distance : ndarray
            Axial distance in micrometres; 0 means the same slice.

        Returns
        -------
        ndarray of float64, same shape, in [0, 1]
        """
        d = np.abs(np.asarray(distance, dtype=np.float64))
        if self.rho is not None:
            return np.where(d == 0, 1.0, self.rho**2 / (1 + self.rho**2))
        assert self.length is not None
        reach = d / self.length
        return np.asarray(np.exp(-(reach**2) / 2 if self.kernel == "gaussian" else -reach))


def axial_starting_noise(
    axial: AxialNoise, heights: Array, cell: Array, seeds: Sequence[int], *, channels: int = 1, size: int = 64
) -> Tensor:
    """Return the starting noise of all slices of several cells.

    Every slice on its own is N(0, I). The noise of a cell is a pure function of its seed and of the heights of its
    slices, in their order.

    Parameters
    ----------
    axial : AxialNoise
        How alike slices are.
    heights : ndarray, (n_slices,)
        Height of every slice in micrometres, in any order and at any distances.
    cell : ndarray of int, (n_slices,)
        Which cell every slice belongs to, from 0.
    seeds : sequence of int, (n_cells,)
        One seed per cell.
    channels, size : int
        Of the network.

    Returns
    -------
    Tensor, (n_slices, channels, size, size) float32

    Raises
    ------
    CytoCascadeError
        If heights and cells do not belong together, or a height is not finite.
    """
    heights, cell = np.asarray(heights, dtype=np.float64), np.asarray(cell)
    check_slices(heights, cell, len(seeds))
    noise = torch.empty((len(heights), channels, size, size))
    for number in np.unique(cell):
        of_cell = np.flatnonzero(cell == number)
        generator = torch_generator(seeds[int(number)], "axial noise")
        noise[torch.as_tensor(of_cell)] = _mixed(axial, heights[of_cell], (channels, size, size), generator)
    return noise


def check_slices(heights: Array, cell: Array, cells: int) -> None:
    """Raise `CytoCascadeError` unless every slice has a finite height and one of `cells` cells."""
    if heights.ndim != 1 or heights.shape != cell.shape or not np.isfinite(heights).all():
        raise CytoCascadeError(
            f"{cell.shape} slices of cells and heights of shape {heights.shape} do not make slices",
            hint="Give one finite height in micrometres and one cell index for every slice.",
        )
    if cell.size and (cell.min() < 0 or cell.max() >= cells):
        raise CytoCascadeError(
            f"slices name the cells {cell.min()} to {cell.max()}, but there are {cells}",
            hint="Cells are counted from 0; give one seed for each.",
        )


def _mixed(axial: AxialNoise, heights: Array, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if axial.rho is not None:
        common = torch.randn(shape, generator=generator)
        unique = torch.randn((len(heights), *shape), generator=generator)
        share = float(1 / np.sqrt(1 + axial.rho**2))
        return axial.rho * share * common + share * unique
    unique = torch.randn((len(heights), *shape), generator=generator)
    factor = torch.as_tensor(_factor(axial, heights), dtype=torch.float32)
    with single_threaded_torch():
        mixed: Tensor = factor @ unique.flatten(1)
    return mixed.reshape(unique.shape)


def _factor(axial: AxialNoise, heights: Array) -> Array:
    """Return the lower triangular root of the correlation matrix, (S, S), every row of length 1."""
    matrix = axial.correlation(heights[:, None] - heights[None, :])
    # Slices much nearer than the length make the matrix singular to the last bit.
    root = np.linalg.cholesky(matrix + _JITTER * np.eye(len(heights)))
    return np.asarray(root / np.linalg.norm(root, axis=1, keepdims=True))
