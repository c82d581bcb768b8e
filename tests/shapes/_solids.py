"""Analytic shapes on grids, shared by the tests of surfaces."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cytocascade.shapes.closing import close_body
from cytocascade.shapes.distances import redistance
from cytocascade.shapes.views import render_views
from cytocascade.types import CellSurface, FloatArray


def ellipsoid_grid(axes: tuple[float, float, float], size: int = 48) -> FloatArray:
    """Return the signed distance of an ellipsoid with half axes (z, y, x), at the nodes of [-1, 1]^3."""
    line = np.linspace(-1, 1, size)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    norm = np.sqrt((z / axes[0]) ** 2 + (y / axes[1]) ** 2 + (x / axes[2]) ** 2)
    slope = np.sqrt((z / axes[0] ** 2) ** 2 + (y / axes[1] ** 2) ** 2 + (x / axes[2] ** 2) ** 2)
    # To first order the distance; its zero set is exact.
    near = np.where(norm > 0, norm * (1 - norm) / np.maximum(slope, 1e-9), min(axes))
    return redistance(near, 2.0 / (size - 1))


def ellipsoid(axes: tuple[float, float, float], size: int = 48) -> CellSurface:
    """Return an ellipsoid with half axes (z, y, x) in micrometres, its origin in its middle."""
    unit = max(axes) / 0.85
    z, y, x = (axis / unit for axis in axes)
    return CellSurface(ellipsoid_grid((z, y, x), size) * np.float32(unit), 2 * unit / (size - 1))


def ellipsoid_volume(axes: tuple[float, float, float]) -> float:
    return 4 / 3 * np.pi * float(np.prod(axes))


def ellipsoid_area(axes: tuple[float, float, float]) -> float:
    """Integrate the area element numerically."""
    a, b, c = axes
    polar = (np.arange(400) + 0.5) * np.pi / 400
    azimuth = ((np.arange(400) + 0.5) * 2 * np.pi / 400)[:, None]
    element = np.sin(polar) * np.sqrt(
        (b * c * np.sin(polar) * np.cos(azimuth)) ** 2
        + (a * c * np.sin(polar) * np.sin(azimuth)) ** 2
        + (a * b * np.cos(polar)) ** 2
    )
    return float(element.sum() * (np.pi / 400) * (2 * np.pi / 400))


def bean_grid(size: int = 48) -> FloatArray:
    """Return a flat, bent shape: concave from the side and from above."""
    line = np.linspace(-1, 1, size)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    norm = np.sqrt((z / 0.3) ** 2 + ((y - 0.7 * x**2 + 0.2) / 0.35) ** 2 + (x / 0.75) ** 2)
    return close_body((0.3 * (1 - norm)).astype(np.float32), 2.0 / (size - 1))


def views_and_mask(grids: FloatArray) -> tuple[Tensor, Tensor]:
    """Return views (B, 16, 3, 32, 32) and masks (B, 64, 64) of canonical grids."""
    distance = torch.from_numpy(grids)
    return render_views(distance), torch.stack([torch.from_numpy(projection(one)) for one in grids])


def projection(grid: FloatArray, size: int = 64) -> FloatArray:
    """Return the signed distance of a canonical grid's projection along z, at pixel centres."""
    top = torch.from_numpy(grid.max(axis=0))[None, None]
    line = (torch.arange(size) + 0.5) * (2 / size) - 1
    where = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)[None]
    fine = torch.nn.functional.grid_sample(top, where, align_corners=True)[0, 0]
    return redistance(fine.numpy(), 2.0 / size)


def overlap(one: FloatArray, other: FloatArray) -> float:
    """Return the intersection over union of where two fields are positive."""
    return float(((one > 0) & (other > 0)).sum() / ((one > 0) | (other > 0)).sum())
