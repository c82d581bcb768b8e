"""Flips, rotations and mild elastic deformation of single-cell crops, many at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Warp:
    """Drawn deformations of a batch of B crops.

    Attributes
    ----------
    angle : Tensor, (B,)
        Rotation in radians.
    flip : Tensor of bool, (B,)
        Whether x is mirrored.
    zoom : Tensor, (B,)
        Magnification.
    bend : Tensor, (B, 2, 5, 5)
        Displacement (x, y) of a coarse lattice, in pixels.
    """

    angle: Tensor
    flip: Tensor
    zoom: Tensor
    bend: Tensor


def draw_warp(
    count: int,
    generator: torch.Generator,
    *,
    exact: float = 0.0,
    zoom: float = 0.05,
    bend: float = 1.0,
    upright: bool = False,
) -> Warp:
    """Draw the deformations of `count` crops.

    Parameters
    ----------
    count : int
        Number of crops.
    generator : torch.Generator
        Source of randomness.
    exact : float
        Share of crops that get one of the eight symmetries of the square and nothing else: these move
        pixels without interpolating, so that noise and fine texture stay as they are.
    zoom : float
        Standard deviation of the logarithm of the magnification.
    bend : float
        Standard deviation of the lattice's displacement in pixels.
    upright : bool
        Whether the exact symmetries leave out the quarter turns, which exchange rows and columns.
    """
    quarter = torch.randint(0, 4, (count,), generator=generator)
    if upright:
        quarter = 2 * (quarter // 2)
    free = torch.rand(count, generator=generator) * 2 * math.pi
    is_exact = torch.rand(count, generator=generator) < exact
    loose = (~is_exact).float()
    return Warp(
        angle=torch.where(is_exact, quarter * (math.pi / 2), free),
        flip=torch.rand(count, generator=generator) < 0.5,
        zoom=torch.exp(zoom * torch.randn(count, generator=generator) * loose),
        bend=bend * torch.randn((count, 2, 5, 5), generator=generator) * loose[:, None, None, None],
    )


def apply_warp(crops: Tensor, warp: Warp, size: int, *, mode: str = "bilinear") -> Tensor:
    """Deform crops and cut out their centres.

    Parameters
    ----------
    crops : Tensor, (B, C, S, S)
        Crops with a margin.
    warp : Warp
        For the same B crops.
    size : int
        Height and width of the result.
    mode : str
        Interpolation: "bilinear", "bicubic" or "nearest".

    Returns
    -------
    Tensor, (B, C, size, size)
    """
    full = crops.shape[-1]
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y])[None].expand(len(crops), -1, -1, -1)
    smooth = functional.interpolate(warp.bend, size=(size, size), mode="bicubic", align_corners=True)
    points = points + smooth
    x, y = points[:, 0], points[:, 1]
    x = torch.where(warp.flip[:, None, None], -x, x)
    # Rounding makes quarter turns land on pixel centres exactly.
    cos = torch.cos(warp.angle).mul(1e6).round().div(1e6)[:, None, None] / warp.zoom[:, None, None]
    sin = torch.sin(warp.angle).mul(1e6).round().div(1e6)[:, None, None] / warp.zoom[:, None, None]
    grid = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1) / (full / 2)
    return functional.grid_sample(crops, grid, mode=mode, padding_mode="border", align_corners=False)
