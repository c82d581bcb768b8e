"""What the ring of cameras sees of a cell, and how the network is shown it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cytocascade.shapes.cameras import ORTHOGRAPHIC, VIEW_SIZE, ray_points, ring

CHANNELS = 3
"""Channels of a view: silhouette field, depth of the first and of the last surface along the line of sight."""

TRUNCATION = 0.25
"""Distance to the silhouette, in canonical units, beyond which its field is constant."""

_DEPTHS = 96
_REACH = 1.0
# Brings the channels to about unit variance over real shapes.
_SILHOUETTE, _THICKNESS, _MEAN_THICKNESS, _MIDDLE = 4.0, 3.5, 0.22, 4.0


def sample_grid(distance: Tensor, points: Tensor) -> Tensor:
    """Interpolate a signed distance at points, trilinearly; outside the grid its border counts.

    Parameters
    ----------
    distance : Tensor, (B, D, D, D)
        Values at the nodes of [-1, 1]^3, axes (Z, Y, X).
    points : Tensor, (..., 3)
        World coordinates (x, y, z), the same for all B.

    Returns
    -------
    Tensor, (B, ...)
    """
    flat = points.reshape(1, 1, 1, -1, 3).expand(len(distance), -1, -1, -1, -1)
    values = functional.grid_sample(distance[:, None], flat, align_corners=True, padding_mode="border")
    return values.reshape(len(distance), *points.shape[:-1])


@torch.no_grad()
def render_views(distance: Tensor, *, size: int = VIEW_SIZE, camera_distance: float = ORTHOGRAPHIC) -> Tensor:
    """Render the views of cells.

    Parameters
    ----------
    distance : Tensor, (B, D, D, D) float32
        Signed distance in canonical units, positive inside, at the nodes of [-1, 1]^3, axes (Z, Y, X).
    size : int
        Pixels of a view along u and v.
    camera_distance : float
        Distance of the cameras from the origin, in canonical units.

    Returns
    -------
    Tensor, (B, 16, 3, size, size) float32
        Per view the silhouette field (maximum of the signed distance along the ray: outside the silhouette minus the
        distance to it; truncated at `TRUNCATION`), and the depths of the first and last surface. Where a ray meets
        none, both depths are those of the nearest ray that does.
    """
    depths = torch.linspace(-_REACH, _REACH, _DEPTHS)
    views = []
    for axes in ring():
        along = sample_grid(distance, ray_points(axes, size, depths, camera_distance))
        views.append(torch.stack([along.amax(dim=1), _first(along, depths), -_first(along.flip(1), depths)], dim=1))
    stacked = torch.stack(views, dim=1)
    stacked[:, :, 0].clamp_(-TRUNCATION, TRUNCATION)
    return fill_depths(stacked)


def _first(along: Tensor, depths: Tensor) -> Tensor:
    """Return the depth of the first sign change along dimension 1, linearly interpolated."""
    inside = along > 0
    index = inside.to(torch.uint8).argmax(dim=1).clamp(min=1)
    after = along.gather(1, index[:, None])[:, 0]
    before = along.gather(1, index[:, None] - 1)[:, 0]
    share = (after / (after - before).clamp(min=1e-6)).clamp(0, 1)
    return depths[index] - share * (depths[1] - depths[0])


def fill_depths(views: Tensor) -> Tensor:
    """Continue the depths outside the silhouettes: there the cell is nought thick, at the depth of its nearest edge."""
    shape = views.shape
    flat = views.reshape(-1, *shape[-3:]).clone()
    seen = (flat[:, :1] > 0).float()
    middle = 0.5 * (flat[:, 1:2] + flat[:, 2:3]) * seen
    weight = seen.clone()
    for _ in range(shape[-1]):
        if bool((weight > 0).all()):
            break
        total = functional.avg_pool2d(middle * (weight > 0), 3, 1, 1, count_include_pad=True)
        count = functional.avg_pool2d((weight > 0).float(), 3, 1, 1, count_include_pad=True)
        grown = (count > 0) & (weight == 0)
        middle = torch.where(grown, total / count.clamp(min=1e-6), middle)
        weight = torch.where(grown, torch.ones_like(weight), weight)
    flat[:, 1:] = torch.where(seen > 0, flat[:, 1:], middle.expand(-1, 2, -1, -1))
    return flat.reshape(shape)


def to_network(views: Tensor) -> Tensor:
    """Map views to the network's range: silhouette field, half thickness and middle depth, about of unit variance."""
    silhouette, front, back = views.unbind(-3)
    thickness, middle = 0.5 * (back - front), 0.5 * (back + front)
    return torch.stack([silhouette * _SILHOUETTE, (thickness - _MEAN_THICKNESS) * _THICKNESS, middle * _MIDDLE], dim=-3)


def from_network(values: Tensor) -> Tensor:
    """Invert `to_network`; thickness is made non-negative."""
    silhouette, thickness, middle = values.unbind(-3)
    half = (thickness / _THICKNESS + _MEAN_THICKNESS).clamp(min=0)
    centre = middle / _MIDDLE
    field = (silhouette / _SILHOUETTE).clamp(-TRUNCATION, TRUNCATION)
    return torch.stack([field, centre - half, centre + half], dim=-3)


def network_weight(views: Tensor) -> Tensor:
    """Return the weight of every value of `to_network` in the loss: the middle depth counts where there is a cell."""
    near = (views[..., :1, :, :] > -0.03).to(views.dtype)
    return torch.cat([torch.ones_like(near), torch.ones_like(near), near], dim=-3)
