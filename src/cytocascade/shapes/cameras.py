"""The cameras that look at a cell: sixteen around it as in SyncDreamer, and the microscope's from above.

The world is the canonical cube [-1, 1]^3 with coordinates (x, y, z); z is the optical axis. All cameras are
orthographic, as a microscope is. Camera k of the ring stands at azimuth ``k * 22.5`` degrees and elevation 30
degrees (arXiv 2309.03453); its image is [-1, 1]^2 with u to the right, horizontal in the world, and v downwards.
Depth is measured along the line of sight away from the camera, 0 at the origin.
"""

from __future__ import annotations

import torch
from torch import Tensor

VIEWS = 16
"""Cameras in the ring, as in SyncDreamer."""

ELEVATION = 30.0
"""Elevation of the ring in degrees, as in SyncDreamer."""

VIEW_SIZE = 32
"""Pixels of a view along u and v."""


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


def ray_points(axes: Tensor, size: int, depths: Tensor) -> Tensor:
    """Return points along the rays through all pixels.

    Parameters
    ----------
    axes : Tensor, (..., 3, 3)
        Axes of the cameras, from `ring` or `from_above`.
    size : int
        Pixels along u and v.
    depths : Tensor, (D,)
        Depths of the points.

    Returns
    -------
    Tensor, (..., D, size, size, 3)
        World coordinates (x, y, z) at [depth, v, u].
    """
    grid = pixel_centres(size).to(axes.device)
    right, down, away = (axes[..., None, None, None, row, :] for row in range(3))
    return right * grid[:, None] + down * grid[:, None, None] + away * depths[:, None, None, None]
