"""What all views together say about every point: the start of NeuS, and the visual hull."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cytocascade.shapes.cameras import ORTHOGRAPHIC, VIEWS, ring, widening
from cytocascade.shapes.rays import trilinear_matrix

Content = Literal["silhouettes", "front", "both"]
"""What is used of the views: silhouettes alone, with the first surface's depth, or with the last one's too."""

_CLAMP = 0.1
"""Canonical units beyond which a view's opinion of a point counts no more."""

_STEEPEST = 0.25
"""Least cosine between a surface's normal and the line of sight that is believed."""


def fuse_views(views: Tensor, size: int, *, content: Content = "both", camera_distance: float = ORTHOGRAPHIC) -> Tensor:
    """Return what the views say about the nodes of a grid.

    Of a node that a camera sees beside the silhouette, or before the first surface, or behind the last one, the view
    says that it is outside, and about how far. With both depths, and convex cells, all views agree on the sign, so
    their mean has the right zero set and the views' errors average out. Otherwise the least value is taken: the
    visual hull (Laurentini 1994), cut open at the first surfaces where those are known.

    Parameters
    ----------
    views : Tensor, (B, 16, 3, V, V) float32
        Silhouette field and depths, see `views.render_views`.
    size : int
        Nodes of the grid along each axis.
    content : {"silhouettes", "front", "both"}
        What of the views is used.
    camera_distance : float
        Distance of the cameras from the origin, in canonical units.

    Returns
    -------
    Tensor, (B, size, size, size) float32
        Positive inside, axes (Z, Y, X); about a distance near the surface.
    """
    cells, pixels = len(views), views.shape[-1]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    nodes = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    silhouette, front, back = views.float().cpu().unbind(2)
    channels = torch.stack([silhouette, front, back, _cosine(front), _cosine(back)], dim=2)
    total = torch.full((len(nodes), cells), 0.0 if content == "both" else torch.inf)
    for number, axes in enumerate(ring().numpy()):
        local = nodes @ axes.T
        image = local[:, :2] / widening(local[:, 2:], camera_distance)
        matrix = trilinear_matrix(image * np.float32(pixels / (pixels - 1)), pixels)
        plane = channels[:, number].permute(2, 3, 1, 0).reshape(pixels**2, -1).contiguous()
        seen = torch.from_numpy(matrix @ plane.numpy()).reshape(len(nodes), 5, cells)
        depth = torch.from_numpy(local[:, 2:])
        says = seen[:, 0]
        if content != "silhouettes":
            says = torch.minimum(says, (depth - seen[:, 1]) * seen[:, 3])
        if content == "both":
            says = torch.minimum(says, (seen[:, 2] - depth) * seen[:, 4])
            total += says.clamp(-_CLAMP, _CLAMP) / VIEWS
        else:
            total = torch.minimum(total, says)
    return total.T.reshape(cells, size, size, size).contiguous()


def _cosine(depth: Tensor) -> Tensor:
    """Return the cosine between line of sight and normal of depth maps, (B, 16, V, V)."""
    along_v, along_u = torch.gradient(depth, spacing=2.0 / depth.shape[-1], dim=(-2, -1))
    return (1 + along_v**2 + along_u**2).rsqrt().clamp(min=_STEEPEST)
