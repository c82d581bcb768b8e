"""The drawn arrangement of a field, and what a user may want otherwise than in the real images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PopulationOverrides(BaseModel):
    """What the user wants otherwise than in the real images; None keeps what was fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int | tuple[int, int] | None = None
    """Cells per field: a number, or a range (both ends included) to draw from."""
    density: float = Field(default=1.0, gt=0)
    """Factor on the number of cells that is drawn where `count` is not given."""
    p_cluster: float | None = Field(default=None, ge=0, le=1)
    """Fraction of cells with a neighbour closer than the cluster gap."""
    touching_rate: float | None = Field(default=None, ge=0, le=1)
    """Fraction of cells that touch another."""
    overlap_rate: float | None = Field(default=None, ge=0, le=1)
    """Fraction of the clustered cells that slide under another."""
    max_overlap: float = Field(default=0.3, gt=0, lt=1)
    """Largest part of an overlapping cell that may be hidden."""
    island_size: float | None = Field(default=None, ge=2)
    """Mean number of cells of a group, in which some touch and others are close by; none: cells that touch are in
    groups of their own, as large as in the real images. Without `p_cluster` and `touching_rate` no groups are drawn."""


@dataclass(frozen=True)
class PlacementParams:
    """The drawn arrangement of one field. The lists have one entry per cell, in the order of placing.

    Attributes
    ----------
    count : int
        Cells to place.
    seed : int
        Seed of the candidate positions.
    spacing : tuple of float
        Micrometres per pixel along each axis.
    cluster_gap : float
        Gap in micrometres below which cells count as clustered.
    median_diameter : float
        Median cell diameter in micrometres.
    smallest_cut : float
        Smallest part of a cell that the frame may leave visible.
    size_rank : list of float
        Rank in (0, 1) of the size of the cell to place here; 1 is the largest.
    cut : list of bool
        Whether the frame cuts the cell.
    gap : list of (float or None)
        Gap to the nearest cell placed before, in micrometres; None: anywhere at least `apart` away.
    distance : list of (float or None)
        Wanted distance of the centroid to the nearest one placed before, in micrometres; among the positions
        with the right gap, it decides. None: no wish.
    apart : list of float
        Smallest gap allowed to every cell outside the own group, in micrometres.
    group : list of int
        Cells of one group stay together: a cell whose group was started before goes beside one of it.
        -1: no group, `gap` counts to any cell.
    hidden : list of float
        Part of the cell to slide under another, 0 for no overlap.
    max_overlap : float
        Largest part of an overlapping cell that may be hidden.
    """

    count: int
    seed: int
    spacing: tuple[float, ...]
    cluster_gap: float
    median_diameter: float
    smallest_cut: float
    size_rank: list[float]
    cut: list[bool]
    gap: list[float | None]
    distance: list[float | None]
    apart: list[float]
    group: list[int]
    hidden: list[float]
    max_overlap: float

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        return {**asdict(self), "spacing": list(self.spacing)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PlacementParams:
        """Return the params that `to_json` wrote."""
        return cls(**{**value, "spacing": tuple(value["spacing"])})
