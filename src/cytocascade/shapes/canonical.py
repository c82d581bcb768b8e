"""The canonical cube that cells are learned in: one scale for the mask, the views and the surface.

The axial ratio of a cell (its extent along z over its largest lateral extent) is known before the views are drawn: it
is drawn from the real ones, or wished. So the scale can be chosen such that all views are filled well, flat cells and
tall ones alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist
from torch import Tensor
from torch.nn import functional

from cytocascade.shapes.cameras import ELEVATION
from cytocascade.types import Array, BoolArray, FloatArray

FILL = 0.85
"""How far from the middle of the cube a cell may reach, in canonical units."""

MASK_SIZE = 64
"""Pixels of the canonical mask along each axis."""

TYPICAL_EXTENT = 12.0
"""Largest lateral extent, in micrometres, that sizes are told relative to."""


@dataclass(frozen=True)
class Frame:
    """Where the canonical cube of one cell lies.

    Attributes
    ----------
    unit : float
        Micrometres per canonical unit: the cube is two units wide.
    middle : tuple of float
        Middle of the circle around the mask, in micrometres along (y, x) from the middle of the crop.
    extent : float
        Largest lateral extent of the mask (Feret diameter), in micrometres.
    """

    unit: float
    middle: tuple[float, float]
    extent: float


def frame_of(distance: FloatArray, spacing: float, axial_ratio: float) -> Frame:
    """Return the canonical frame of a cell.

    Parameters
    ----------
    distance : ndarray, (H, W) float32
        Signed distance of the cell's mask, positive inside.
    spacing : float
        Micrometres per pixel.
    axial_ratio : float
        Extent of the cell along z over its largest lateral extent.
    """
    points = np.argwhere(distance > 0)
    extent = feret_diameter(points) * spacing
    middle, radius = enclosing_circle(points)
    radius = (radius + 0.5) * spacing
    angle, half_height = np.deg2rad(ELEVATION), 0.5 * axial_ratio * extent
    seen = max(radius, np.sin(angle) * radius + np.cos(angle) * half_height, half_height)
    y, x = (middle - (np.array(distance.shape) - 1) / 2) * spacing
    return Frame(float(seen / FILL), (float(y), float(x)), float(extent))


def feret_diameter(points: Array) -> float:
    """Return the largest extent of pixels or voxels, (n, ndim) indices, in pixels; a single one has extent 1."""
    if len(points) < 2:
        return 1.0
    try:
        corners = points[ConvexHull(points).vertices] if len(points) > 8 else points
    except QhullError:
        # All in one line or plane: the hull is flat, and the points are few.
        corners = points
    return float(pdist(corners.astype(np.float64)).max()) + 1.0


def enclosing_circle(points: Array, *, steps: int = 300) -> tuple[Array, float]:
    """Return middle and radius of the smallest circle around points, (n, 2), to about a hundredth of the radius.

    Unlike the middle of a box it turns with the points. Badoiu and Clarkson 2003: step towards the farthest point, less
    and less.
    """
    middle = points.mean(axis=0)
    for step in range(steps):
        farthest = points[((points - middle) ** 2).sum(axis=1).argmax()]
        middle = middle + (farthest - middle) / (step + 2)
    return middle, float(np.sqrt(((points - middle) ** 2).sum(axis=1).max()))


def axial_ratio(mask: BoolArray) -> float:
    """Return the axial ratio of a voxel mask, (Z, Y, X) with isotropic voxels."""
    heights = np.flatnonzero(mask.any(axis=(1, 2)))
    return float(heights[-1] - heights[0] + 1) / feret_diameter(np.argwhere(mask.any(axis=0)))


def canonical_mask(distance: FloatArray, spacing: float, frame: Frame, size: int = MASK_SIZE) -> FloatArray:
    """Return the mask's signed distance in canonical units, (size, size) float32 over [-1, 1]^2."""
    half = np.array(distance.shape) * spacing / 2
    centres = (np.arange(size) + 0.5) * (2 / size) - 1
    y = (centres * frame.unit + frame.middle[0]) / half[0]
    x = (centres * frame.unit + frame.middle[1]) / half[1]
    grid = torch.from_numpy(np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1).astype(np.float32))[None]
    values = torch.from_numpy(np.ascontiguousarray(distance))[None, None] * (spacing / frame.unit)
    sampled = functional.grid_sample(values, grid, align_corners=False, padding_mode="border")
    return np.asarray(sampled[0, 0].numpy(), dtype=np.float32)


def size_scalar(extent: float | Array) -> Array:
    """Return the size as the network is told it: the logarithm of the lateral extent (micrometres), centred."""
    return np.asarray(2.0 * np.log(np.asarray(extent) / TYPICAL_EXTENT))


def ratio_scalar(ratio: float | Array) -> Array:
    """Return the axial ratio as the network is told it."""
    return np.asarray(2.0 * np.log(np.asarray(ratio) / 0.6))


def rotate_masks(masks: Tensor, angle: Tensor, mirrored: Tensor) -> Tensor:
    """Turn canonical masks about z, after mirroring y where asked.

    Parameters
    ----------
    masks : Tensor, (B, 1, H, W)
        Canonical masks.
    angle : Tensor, (B,)
        Angles in radians, from x towards y.
    mirrored : Tensor of bool, (B,)
        Whether y is mirrored first.
    """
    cos, sin, sign = torch.cos(angle), torch.sin(angle), 1.0 - 2.0 * mirrored.float()
    # A point of the result is looked up where the inverse motion leads it.
    theta = torch.stack(
        [torch.stack([cos, sin, 0 * cos], dim=1), torch.stack([-sin * sign, cos * sign, 0 * cos], dim=1)], dim=1
    )
    grid = functional.affine_grid(theta, list(masks.shape), align_corners=False)
    return functional.grid_sample(masks, grid, align_corners=False, padding_mode="border")
