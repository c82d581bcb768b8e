"""From surfaces to voxels and slices, at any spacing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage as ndi
from torch.nn import functional

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.distances import redistance
from cytocascade.types import Array, BoolArray, CellSurface, FloatArray

_MOST_SAMPLES = 8
"""Samples per voxel along an axis at most."""


@dataclass(frozen=True)
class Voxels:
    """A cell on a voxel grid.

    Attributes
    ----------
    coverage : ndarray, (Z, Y, X) float32
        Share of each voxel that lies inside the surface, in [0, 1]; a tight box around all that is above 0.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    corner : tuple of float
        Centre of voxel [0, 0, 0] relative to the cell's origin, in micrometres along (z, y, x).
    offset : tuple of int
        Voxel [0, 0, 0] relative to the voxel that the shift is counted from, along (z, y, x): corner = offset * spacing
        - shift.
    """

    coverage: FloatArray
    spacing: tuple[float, float, float]
    corner: tuple[float, float, float]
    offset: tuple[int, int, int]

    @property
    def mask(self) -> BoolArray:
        """Return the voxels that are covered at least by half, (Z, Y, X)."""
        return np.asarray(self.coverage >= 0.5)

    @property
    def volume(self) -> float:
        """Return the volume in cubic micrometres, partly covered voxels counted in part."""
        return float(self.coverage.sum(dtype=np.float64) * np.prod(self.spacing))


def distance_at(surface: CellSurface, points: Array) -> FloatArray:
    """Return a surface's signed distance at points.

    Parameters
    ----------
    surface : CellSurface
    points : ndarray, (3, ...)
        Micrometres relative to the cell's origin, along (z, y, x).

    Returns
    -------
    ndarray, (...) float32
        Micrometres, positive inside; interpolated linearly. Outside the grid the distance to the grid is subtracted.
    """
    origin = np.asarray(surface.origin).reshape(3, *[1] * (points.ndim - 1))
    nodes = points / surface.step + origin
    last = np.asarray(surface.distance.shape).reshape(origin.shape) - 1
    inside = np.clip(nodes, 0, last)
    beyond = np.sqrt(((nodes - inside) ** 2).sum(axis=0)) * surface.step
    values = ndi.map_coordinates(surface.distance, inside, order=1, mode="nearest")
    return np.asarray(values - beyond, dtype=np.float32)


def voxelise(surface: CellSurface, spacing: Sequence[float], *, shift: Sequence[float] = (0.0, 0.0, 0.0)) -> Voxels:
    """Return which share of every voxel lies inside a surface.

    Voxels farther from the surface than half their diagonal are wholly in or out. Others are divided into parts about
    as small as the surface's step, and each part counts by its middle's distance to the surface, as cut by a plane.

    Parameters
    ----------
    surface : CellSurface
    spacing : sequence of float
        Micrometres per voxel along (z, y, x).
    shift : sequence of float
        Where the cell's origin lies relative to the centre of its voxel, in micrometres along (z, y, x).

    Returns
    -------
    Voxels

    Raises
    ------
    CytoCascadeError
        If the spacing is not three positive numbers.
    """
    size = _checked_spacing(spacing)
    low, high = _bounds(surface)
    moved = np.asarray(shift, dtype=np.float64)
    first = np.floor((low + moved) / size + 0.5).astype(int)
    last = np.ceil((high + moved) / size - 0.5).astype(int)
    last = np.maximum(last, first)
    axes = [np.arange(a, b + 1) * s - m for a, b, s, m in zip(first, last, size, moved)]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"))
    distance = distance_at(surface, centres)
    coverage = (distance > 0).astype(np.float32)
    cut = np.abs(distance) <= 0.5 * np.linalg.norm(size)
    coverage[cut] = _covered(surface, centres[:, cut], size)
    box = _box(coverage > 0)
    start = first + [axis.start for axis in box]
    corner = start * size - moved
    return Voxels(
        np.ascontiguousarray(coverage[box]),
        (float(size[0]), float(size[1]), float(size[2])),
        (float(corner[0]), float(corner[1]), float(corner[2])),
        (int(start[0]), int(start[1]), int(start[2])),
    )


def _checked_spacing(spacing: Sequence[float]) -> Array:
    size = np.asarray(spacing, dtype=np.float64)
    if size.shape != (3,) or not (np.isfinite(size).all() and (size > 0).all()):
        raise CytoCascadeError(f"spacing {tuple(spacing)} is not three positive numbers", hint="Give (z, y, x) in um.")
    return size


def _bounds(surface: CellSurface) -> tuple[Array, Array]:
    """Return low and high ends of the surface, relative to its origin in micrometres, with a step of room."""
    box = _box(surface.distance > 0)
    origin = np.asarray(surface.origin)
    low = (np.asarray([axis.start for axis in box]) - 1 - origin) * surface.step
    high = (np.asarray([axis.stop for axis in box]) - origin) * surface.step
    return low, high


def _box(mask: BoolArray) -> tuple[slice, ...]:
    boxes = ndi.find_objects(mask.astype(np.uint8))
    if not boxes:
        raise CytoCascadeError("the surface is empty", hint="Its signed distance is nowhere positive.")
    return tuple(boxes[0])


def _covered(surface: CellSurface, centres: Array, size: Array) -> FloatArray:
    """Return the coverage of voxels that the surface may cut, centres (3, n)."""
    counts = np.clip(np.ceil(size / surface.step), 2, _MOST_SAMPLES).astype(int)
    part = size / counts
    total = np.zeros(centres.shape[1])
    # A plane with normal n covers a box from all to nothing over sum |n_i| part_i.
    # Where the normal has no direction, in the middle of a cell smaller than the voxel, parts are in or out.
    width = np.maximum(np.abs(_normals(surface, centres)).T @ part, 0.5 * part.min())
    for index in np.ndindex(*counts):
        middle = (np.asarray(index) + 0.5) * part - size / 2
        total += np.clip(0.5 + distance_at(surface, centres + middle[:, None]) / width, 0, 1)
    return np.asarray(total / counts.prod(), dtype=np.float32)


def _normals(surface: CellSurface, points: Array) -> Array:
    """Return unit normals at points, (3, n)."""
    ends = [np.eye(3)[axis][:, None] * surface.step for axis in range(3)]
    slope = np.stack([distance_at(surface, points + end) - distance_at(surface, points - end) for end in ends])
    return np.asarray(slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-9))


def slice_distances(
    surface: CellSurface, heights: Sequence[float] | Array, *, crop_spacing: float, size: int = 64
) -> FloatArray:
    """Return the outlines of a cell's slices as the texture network sees them.

    Parameters
    ----------
    surface : CellSurface
    heights : sequence of float, (S,)
        Micrometres relative to the cell's origin, upwards in z.
    crop_spacing : float
        Micrometres per canonical pixel.
    size : int
        Height and width of the crop, whose middle is the cell's origin.

    Returns
    -------
    ndarray, (S, size, size) float32
        Two-dimensional signed distance to the slice's outline in canonical pixels, positive inside. Where the slice
        misses the cell: the distance in space, which is negative everywhere.
    """
    levels = np.asarray(heights, dtype=np.float64)
    lateral = (np.arange(size) - (size - 1) / 2) * crop_spacing
    points = np.stack(np.meshgrid(levels, lateral, lateral, indexing="ij"))
    distances = distance_at(surface, points) / np.float32(crop_spacing)
    for index, one in enumerate(distances):
        if (one > 0).any():
            distances[index] = redistance(one, 1.0)
    return distances


def rotate_about_z(surface: CellSurface, angle: float, mirror: bool = False) -> CellSurface:
    """Return a surface turned about the optical axis through its origin.

    Parameters
    ----------
    surface : CellSurface
    angle : float
        Radians, from x towards y.
    mirror : bool
        Whether y is mirrored first.

    Returns
    -------
    CellSurface
        On a grid of the same size, which is turned about its middle; the origin turns with the cell.
    """
    cos, sin, sign = float(np.cos(angle)), float(np.sin(angle)), -1.0 if mirror else 1.0
    _, height, width = surface.distance.shape
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float32) - (width - 1) / 2,
        indexing="ij",
    )
    # A point of the result is looked up where the inverse motion leads it.
    where = torch.stack(
        [(cos * x + sin * y) * (2 / (width - 1)), sign * (cos * y - sin * x) * (2 / (height - 1))], dim=-1
    )
    planes = torch.from_numpy(np.ascontiguousarray(surface.distance))[None]
    turned = functional.grid_sample(planes, where[None], mode="bicubic", padding_mode="border", align_corners=True)[0]
    z, from_y, from_x = surface.origin
    from_y, from_x = sign * (from_y - (height - 1) / 2), from_x - (width - 1) / 2
    centre = (z, sin * from_x + cos * from_y + (height - 1) / 2, cos * from_x - sin * from_y + (width - 1) / 2)
    # Corners that came from outside the grid hold what was on its border, which is negative.
    return CellSurface(turned.numpy(), surface.step, centre)
