"""The cameras that look at a cell: sixteen around it as in SyncDreamer, and the microscope's from above.

The world is the canonical cube [-1, 1]^3 with coordinates (x, y, z); z is the optical axis. Camera k of the ring
stands at azimuth ``k * 22.5`` degrees and elevation 30 degrees (arXiv 2309.03453); its image is [-1, 1]^2 with u to the
right, horizontal in the world, and v downwards. Depth is measured along the line of sight away from the camera, 0 at
the origin.

By default all cameras are orthographic, as a microscope is. At a finite distance from the origin they are pinholes
that look at it: the image of a point is its offset across the line of sight over ``1 + depth / distance``, the same as
in an orthographic camera at depth 0. SyncDreamer's own cameras are such a ring, see `syncdreamer`.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor

from cytocascade.types import Array

Real = TypeVar("Real", Tensor, Array)

VIEWS = 16
"""Cameras in the ring, as in SyncDreamer."""

ELEVATION = 30.0
"""Elevation of the ring in degrees, as in SyncDreamer."""

VIEW_SIZE = 32
"""Pixels of a view along u and v."""

ORTHOGRAPHIC = math.inf
"""Distance of cameras whose rays are parallel."""


def azimuths() -> Tensor:
    """Return the azimuths of the ring in radians, (16,) float32."""
    return torch.arange(VIEWS, dtype=torch.float32) * (2 * torch.pi / VIEWS)


def ring() -> Tensor:
    """Return the axes of the ring's cameras, (16, 3, 3) float32.

    Row 0 is the direction of u (to the right), row 1 of v (downwards), row 2 of the depth (away from the camera), as
    vectors (x, y, z) of length 1.
    """
    angle = azimuths()
    elevation = torch.deg2rad(torch.tensor(ELEVATION))
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    up, flat = torch.sin(elevation), torch.cos(elevation)
    right = torch.stack([-sin, cos, zero], dim=1)
    depth = torch.stack([-cos * flat, -sin * flat, -up * torch.ones_like(angle)], dim=1)
    # Downwards completes a right-handed frame: right x down = depth.
    down = torch.linalg.cross(depth, right)
    return torch.stack([right, down, depth], dim=1)


def from_above() -> Tensor:
    """Return the axes of the microscope's camera, (3, 3) float32: u = x, v = y, depth = z.

    What it sees is the cell's projection along the optical axis in the usual (Y, X) order.
    """
    return torch.eye(3)


def pixel_centres(size: int) -> Tensor:
    """Return the coordinates of pixel centres along one axis of an image of `size` pixels, (size,) in [-1, 1]."""
    return (torch.arange(size, dtype=torch.float32) + 0.5) * (2.0 / size) - 1.0


def widening(depth: Real, camera_distance: float) -> Real:
    """Return by how much farther apart rays are at some depth than at the origin; 1 everywhere if orthographic."""
    return 1 + depth / camera_distance


def project(points: Tensor, axes: Tensor, camera_distance: float = ORTHOGRAPHIC) -> Tensor:
    """Return where cameras see points.

    Parameters
    ----------
    points : Tensor, (P, 3)
        World coordinates (x, y, z).
    axes : Tensor, (N, 3, 3)
        Axes of the cameras, from `ring`.
    camera_distance : float
        Distance of the cameras from the origin, in canonical units.

    Returns
    -------
    Tensor, (N, P, 3)
        Image coordinates u and v, and the depth.
    """
    seen = torch.einsum("nij,pj->npi", axes, points)
    depth = seen[..., 2:]
    return torch.cat([seen[..., :2] / widening(depth, camera_distance), depth], dim=-1)


def ray_points(axes: Tensor, size: int, depths: Tensor, camera_distance: float = ORTHOGRAPHIC) -> Tensor:
    """Return points along the rays through all pixels.

    Parameters
    ----------
    axes : Tensor, (..., 3, 3)
        Axes of the cameras, from `ring` or `from_above`.
    size : int
        Pixels along u and v.
    depths : Tensor, (D,)
        Depths of the points.
    camera_distance : float
        Distance of the cameras from the origin, in canonical units.

    Returns
    -------
    Tensor, (..., D, size, size, 3)
        World coordinates (x, y, z) at [depth, v, u].
    """
    grid = pixel_centres(size).to(axes.device)
    right, down, away = (axes[..., None, None, None, row, :] for row in range(3))
    across, far = right * grid[:, None] + down * grid[:, None, None], depths[:, None, None, None]
    return across * widening(far, camera_distance) + away * far
