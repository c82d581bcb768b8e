"""Measuring shapes in space, real voxel masks and generated surfaces by the same definitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi
from scipy.optimize import brentq
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from cytocascade.images.cells import signed_distance
from cytocascade.shapes.closing import close_body, single_body
from cytocascade.shapes.distances import redistance
from cytocascade.shapes.mesh import surface_mesh
from cytocascade.types import Array, BoolArray, CellSurface, FloatArray

DESCRIPTORS = (
    "volume",
    "surface_area",
    "projected_area",
    "relative_volume",
    "sphericity",
    "axial_ratio",
    "solidity",
)
"""Names of the descriptors."""

_SMOOTHING = 0.65
"""Width of the Gaussian, in voxels along each axis, that takes the steps of the voxels away."""

_MOST_NODES = 96
"""Nodes along the longest axis of the grid that voxel masks are brought to, at most."""


def describe_surface(surface: CellSurface) -> dict[str, float]:
    """Measure a surface.

    Parameters
    ----------
    surface : CellSurface

    Returns
    -------
    dict of str to float
        ``volume`` (um^3) and ``surface_area`` (um^2) of the mesh; ``projected_area`` (um^2) of the projection along z;
        ``relative_volume``: volume / projected_area^1.5 (0.752 for a ball); ``sphericity``: pi^(1/3) (6 V)^(2/3) / A,
        1 for a ball (Wadell 1935); ``axial_ratio``: extent along z over the largest Feret diameter of the projection;
        ``solidity``: volume over that of the convex hull.

    Raises
    ------
    CytoCascadeError
        If the surface is empty, open or in several pieces.
    """
    mesh = surface_mesh(surface)
    vertices = np.asarray(mesh.vertices)
    hull = ConvexHull(vertices)
    outline = vertices[hull.vertices][:, :2]
    outline = outline[ConvexHull(outline).vertices]
    volume, area = float(mesh.volume), float(mesh.area)
    projected = projected_area(surface)
    return {
        "volume": volume,
        "surface_area": area,
        "projected_area": projected,
        "relative_volume": volume / projected**1.5,
        "sphericity": float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area),
        "axial_ratio": float(np.ptp(vertices[:, 2]) / pdist(outline).max()),
        "solidity": volume / float(hull.volume),
    }


def projected_area(surface: CellSurface) -> float:
    """Return the area of a surface's projection along z, in square micrometres."""
    outline = redistance(surface.distance.max(axis=0), 1.0)
    # Nodes beside the outline count by the share of their pixel that is inside.
    return float(np.clip(outline + 0.5, 0, 1).sum(dtype=np.float64)) * surface.step**2


def describe_voxels(mask: BoolArray, spacing: Sequence[float]) -> dict[str, float]:
    """Measure a voxel mask as `describe_surface` measures a surface.

    Parameters
    ----------
    mask : ndarray of bool, (Z, Y, X)
        One object; of several pieces the largest counts, and cavities are filled.
    spacing : sequence of float
        Micrometres per voxel along (z, y, x).

    Returns
    -------
    dict of str to float
        See `describe_surface`.

    Raises
    ------
    CytoCascadeError
        If the mask is empty.
    """
    measured = describe_surface(voxel_surface(mask, spacing))
    # Smoothing draws the rims of flat cells in; their projection needs none of it.
    pixels = int(single_body(np.asarray(mask, dtype=bool)).any(axis=0).sum())
    measured["projected_area"] = pixels * float(spacing[1] * spacing[2])
    measured["relative_volume"] = measured["volume"] / measured["projected_area"] ** 1.5
    return measured


def voxel_surface(mask: BoolArray, spacing: Sequence[float]) -> CellSurface:
    """Return a smooth surface around a voxel mask.

    The mask's signed distance is resampled to an isotropic grid and smoothed over about a voxel, so that the steps
    between voxels and slices do not count as surface. Of its level sets the one with the mask's volume is taken:
    smoothing alone would shrink it.

    Parameters
    ----------
    mask : ndarray of bool, (Z, Y, X)
        One object; of several pieces the largest counts, and cavities are filled.
    spacing : sequence of float
        Micrometres per voxel along (z, y, x).

    Returns
    -------
    CellSurface
        Its origin is the middle of the mask's box.

    Raises
    ------
    CytoCascadeError
        If the mask is empty.
    """
    size = np.asarray(spacing, dtype=np.float64)
    body = single_body(np.asarray(mask, dtype=bool))
    box = ndi.find_objects(body.astype(np.uint8))[0]
    margin = [2 + int(np.ceil(2 * size.max() / s)) for s in size]
    body = np.pad(body[box], [(m, m) for m in margin])
    extent = np.asarray(body.shape) * size
    step = max(float(size.min()), float(extent.max()) / _MOST_NODES)
    field = _isotropic(signed_distance(body, tuple(size)), size, step)
    field = np.asarray(ndi.gaussian_filter(field, _SMOOTHING * np.maximum(size / step, 1.0)), dtype=np.float32)
    volume = float(body.sum()) * float(size.prod())
    level = brentq(lambda c: _volume(field - c, step) - volume, -2 * size.max(), float(field.max()), xtol=1e-3 * step)
    return CellSurface(close_body((field - level).astype(np.float32), step), step)


def _isotropic(distance: FloatArray, size: Array, step: float) -> FloatArray:
    """Resample a distance to cubic voxels, keeping its middle in the middle of a cubic grid."""
    side = int(np.ceil((np.asarray(distance.shape) * size).max() / step)) + 1
    axes = [(np.arange(side) - (side - 1) / 2) * step / s + (n - 1) / 2 for s, n in zip(size, distance.shape)]
    where = np.stack(np.meshgrid(*axes, indexing="ij"))
    return np.asarray(ndi.map_coordinates(distance, where, order=1, mode="nearest"), dtype=np.float32)


def _volume(field: Array, step: float) -> float:
    """Return the volume where a distance-like field is positive, nodes beside its surface counted in part."""
    return float(np.clip(field / step + 0.5, 0, 1).sum(dtype=np.float64)) * step**3


__all__ = ["DESCRIPTORS", "describe_surface", "describe_voxels", "projected_area", "voxel_surface"]
