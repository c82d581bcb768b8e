"""The drawn arrangement of a volume, and what a user may want otherwise than in the real stacks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from cytocascade.population.params import PlacementParams, PopulationOverrides

ArrangementName = Literal["layer", "ball", "volume"]


class VolumeOverrides(PopulationOverrides):
    """What the user wants otherwise than in the real stacks; None keeps what was fitted.

    In a layer, the overlap of `overlap_rate` and `max_overlap` is that of the cells seen along z: a cell rides up
    on its neighbour; bodies never overlap. Other arrangements know no overlap.
    """

    arrangement: ArrangementName | None = None
    """How cells are arranged."""
    packing: float | None = Field(default=None, gt=0, le=0.8)
    """Part of the ball that its cells fill."""
    substrate: float | None = Field(default=None, ge=0)
    """Height of the plane that a layer rests on, in micrometres above the lower face of the first plane."""
    tilt: float | None = Field(default=None, ge=0, le=30)
    """Tilt of that plane in degrees."""


@dataclass(frozen=True)
class LayerParams:
    """The plane that adherent cells rest on.

    Attributes
    ----------
    height : float or None
        Height of the plane in the middle of the volume, in micrometres above the lower face of the first plane;
        None: so that the typical cell lies in the middle of the volume.
    slope : tuple of float
        Rise of the plane along y and x, micrometres per micrometre.
    cell_height : float
        Typical extent of a cell along z in micrometres.
    jitter : list of float
        Height of each cell's lowest point above the plane in micrometres (may be negative), in the order of
        placing.
    """

    height: float | None
    slope: tuple[float, float]
    cell_height: float
    jitter: list[float]


@dataclass(frozen=True)
class BallParams:
    """The ball, or ellipsoid, that cells lie in.

    Attributes
    ----------
    packing : float
        Part of the ellipsoid that the cells fill; with the cells' volumes it tells the radius.
    axes : tuple of float
        Semi-axes along (z, y, x) relative to that radius; their product is 1.
    shift : tuple of float
        Where the middle of the ball lies in the room that the volume leaves it, in [-1, 1] along (z, y, x).
    reach : float
        Semi-axes of the ellipsoid that the cells' centres lie in, relative to those of the ball.
    flatness : float
        How flat the cells lie against the surface, in [0, 1].
    distance : list of float
        Distance of each cell's centre to the nearest other, relative to the cube root of the ball's volume per
        cell.
    """

    packing: float
    axes: tuple[float, float, float]
    shift: tuple[float, float, float]
    reach: float
    flatness: float
    distance: list[float]


@dataclass(frozen=True)
class VolumeParams:
    """The drawn arrangement of one volume.

    Attributes
    ----------
    arrangement : str
        ``"layer"``, ``"ball"`` or ``"volume"``.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    cells : PlacementParams
        How the cells are placed one after the other: along (y, x), seen along z, for a layer, else in 3D.
    layer : LayerParams or None
        For a layer.
    ball : BallParams or None
        For a ball.
    cut_z : bool
        Whether the first and last plane may cut cells (of a volume).
    """

    arrangement: ArrangementName
    spacing: tuple[float, float, float]
    cells: PlacementParams
    layer: LayerParams | None = None
    ball: BallParams | None = None
    cut_z: bool = True

    @property
    def count(self) -> int:
        """Return the number of cells to place."""
        return self.cells.count

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        return {
            "arrangement": self.arrangement,
            "spacing": list(self.spacing),
            "cells": self.cells.to_json(),
            "layer": None if self.layer is None else {**asdict(self.layer), "slope": list(self.layer.slope)},
            "ball": None
            if self.ball is None
            else {**asdict(self.ball), "axes": list(self.ball.axes), "shift": list(self.ball.shift)},
            "cut_z": self.cut_z,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> VolumeParams:
        """Return the params that `to_json` wrote."""
        layer, ball = value["layer"], value["ball"]
        z, y, x = value["spacing"]
        return cls(
            arrangement=value["arrangement"],
            spacing=(z, y, x),
            cells=PlacementParams.from_json(value["cells"]),
            layer=None if layer is None else LayerParams(**{**layer, "slope": tuple(layer["slope"])}),
            ball=None
            if ball is None
            else BallParams(**{**ball, "axes": tuple(ball["axes"]), "shift": tuple(ball["shift"])}),
            cut_z=value["cut_z"],
        )
