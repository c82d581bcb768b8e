"""Three ways from a mask to a surface in one interface: inflation, visual hull, and NeuS on learned views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve
from skimage.measure import regionprops
from torch import Tensor

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.cameras import ORTHOGRAPHIC
from cytocascade.shapes.canonical import Frame, canonical_mask, frame_of
from cytocascade.shapes.closing import close_body, mask_at_nodes, match_projection, single_body
from cytocascade.shapes.fusion import fuse_views
from cytocascade.shapes.neus import NeusSettings, reconstruct
from cytocascade.types import Array, CellSurface, FloatArray

NODES = 48
"""Nodes of a surface's grid along each axis."""

_ROUND = 1e-3
"""Least distance to the outline, in steps, that the inflation divides by."""


def ellipsoid_surface(
    mask_distance: FloatArray, crop_spacing: float, *, axial_ratio: float | None = None, grid: int = NODES
) -> CellSurface:
    """Inflate a mask to a surface.

    The height above each point is ``h sqrt(u / max u)``, where u solves Poisson's equation in the mask
    (laplacian u = -1, 0 at the outline). For an elliptic mask that is an ellipsoid, whose slices shrink as they should;
    for any other mask it is closed, in one piece, and its projection is the mask.

    Parameters
    ----------
    mask_distance : ndarray, (H, W) float32
        Signed distance of the mask in canonical pixels, positive inside.
    crop_spacing : float
        Micrometres per canonical pixel.
    axial_ratio : float, optional
        Extent along z over the largest lateral extent (Feret diameter). By default the height is the mask's minor axis
        (of the ellipse with the same moments): as if blown up.
    grid : int
        Nodes of the result along each axis.

    Returns
    -------
    CellSurface

    Raises
    ------
    CytoCascadeError
        If the mask is empty or the ratio is not positive.
    """
    body = single_body(np.asarray(mask_distance) > 0)
    mask_distance = np.where(body, np.maximum(mask_distance, _ROUND), np.minimum(mask_distance, -_ROUND))
    frame = frame_of(mask_distance.astype(np.float32), crop_spacing, 1.0)
    if axial_ratio is None:
        axial_ratio = float(regionprops(body.astype(np.uint8))[0].axis_minor_length) * crop_spacing / frame.extent
    if not axial_ratio > 0:
        raise CytoCascadeError(f"axial ratio {axial_ratio:g} is not positive", hint="Flat nuclei have about 0.3.")
    frame = frame_of(mask_distance.astype(np.float32), crop_spacing, axial_ratio)
    mask = mask_at_nodes(canonical_mask(mask_distance.astype(np.float32), crop_spacing, frame), grid)
    height = 0.5 * axial_ratio * frame.extent / frame.unit
    return surface_in_frame(close_body(_inflate(mask, height), 2.0 / (grid - 1)), frame)


def _inflate(mask: FloatArray, height: float) -> FloatArray:
    """Return a field with the inflated mask's surface as zero set, (n, n, n), from its signed distance at nodes."""
    potential = _poisson(mask)
    share = potential / potential.max()
    z = np.linspace(-1, 1, len(mask), dtype=np.float32)[:, None, None]
    # (h^2 u - z^2) / 2 h has slope 1 at the poles.
    return np.asarray((height**2 * share - z**2) / (2 * height), dtype=np.float32)


def _poisson(mask: FloatArray) -> FloatArray:
    """Solve laplacian u = -1 inside a mask given by its signed distance, with u = 0 where the distance is.

    Between a node inside and its neighbour outside u falls to 0 linearly at the outline (a ghost node, Gibou et al.
    2002); outside u goes on falling with the distance.
    """
    inside = mask > 0
    number = np.full(mask.shape, -1)
    number[inside] = np.arange(inside.sum())
    diagonal = np.full(int(inside.sum()), 4.0)
    rows: list[Array] = []
    columns: list[Array] = []
    for axis in range(2):
        for direction in (-1, 1):
            other = np.roll(number, direction, axis)[inside]
            beyond = np.roll(mask, direction, axis)[inside]
            mine = number[inside]
            rows.append(mine[other >= 0])
            columns.append(other[other >= 0])
            cut = other < 0
            diagonal[cut] += np.clip(-beyond[cut] / np.maximum(mask[inside][cut], 1e-6), 0, 100)
    neighbours = np.concatenate(rows), np.concatenate(columns)
    everyone = np.arange(len(diagonal))
    matrix = coo_array(
        (
            np.concatenate([diagonal, -np.ones(len(neighbours[0]))]),
            (np.concatenate([everyone, neighbours[0]]), np.concatenate([everyone, neighbours[1]])),
        )
    )
    potential = np.zeros(mask.shape)
    potential[inside] = spsolve(matrix.tocsc(), np.ones(len(diagonal)))
    # At the outline u rises with about the same slope inwards as outwards.
    beside = inside & (mask <= np.quantile(mask[inside], 0.2))
    slope = float(np.median(potential[beside] / mask[beside]))
    return np.where(inside, potential, slope * np.minimum(mask, -1e-6)).astype(np.float32)


def hull_surfaces(
    views: Tensor,
    mask: Tensor,
    frames: Sequence[Frame],
    *,
    grid: int = NODES,
    camera_distance: float = ORTHOGRAPHIC,
) -> list[CellSurface]:
    """Return the visual hulls of cells: all that the silhouettes of the views and the mask leave.

    Parameters
    ----------
    views : Tensor, (B, 16, 3, V, V) float32
        See `views.render_views`; depths are not looked at.
    mask : Tensor, (B, M, M) float32
        Signed distance of the projection along z, in canonical units, positive inside.
    frames : sequence of Frame
        Where the canonical cube of each cell lies.
    grid : int
        Nodes of the results along each axis.
    camera_distance : float
        Distance of the cameras from the origin, in canonical units.

    Returns
    -------
    list of CellSurface
        Closed, in one piece, their projections along z are the masks.

    Raises
    ------
    CytoCascadeError
        If a mask is empty, or silhouettes and mask have nothing in common.
    """
    step = 2.0 / (grid - 1)
    surfaces = []
    hulls = fuse_views(views, grid, content="silhouettes", camera_distance=camera_distance).numpy()
    for fused, one, frame in zip(hulls, mask.cpu().numpy(), frames):
        wanted = mask_at_nodes(np.asarray(one, dtype=np.float32), grid)
        carved = close_body(np.minimum(fused, wanted), step)
        surfaces.append(surface_in_frame(close_body(match_projection(carved, wanted), step), frame))
    return surfaces


def learned_surfaces(
    views: Tensor,
    mask: Tensor,
    frames: Sequence[Frame],
    *,
    grid: int = NODES,
    settings: NeusSettings | None = None,
    workers: int = 1,
) -> list[CellSurface]:
    """Return the surfaces of cells from generated views, by NeuS.

    Parameters
    ----------
    views, mask, settings, workers
        As for `neus.reconstruct`.
    frames : sequence of Frame
        Where the canonical cube of each cell lies.
    grid : int
        Nodes of the results along each axis.

    Returns
    -------
    list of CellSurface
        Closed, in one piece, their projections along z are the masks.
    """
    found = reconstruct(views, torch.as_tensor(mask), grid=grid, settings=settings, workers=workers)
    return [surface_in_frame(distance, frame) for distance, frame in zip(found.numpy(), frames)]


def surface_in_frame(distance: FloatArray, frame: Frame) -> CellSurface:
    """Return a canonical signed distance as a surface in micrometres.

    Parameters
    ----------
    distance : ndarray, (D, D, D) float32
        Canonical units, positive inside, at the nodes of [-1, 1]^3.
    frame : Frame
        Where the canonical cube lies.

    Returns
    -------
    CellSurface
        Its origin is the middle of the crop that the frame was made for, at half the height of the cell.
    """
    step = frame.unit * 2.0 / (len(distance) - 1)
    middle = (len(distance) - 1) / 2
    y, x = (middle - offset / step for offset in frame.middle)
    scaled = np.asarray(distance * np.float32(frame.unit), dtype=np.float32)
    return CellSurface(scaled, step, (_half_height(distance), y, x))


def _half_height(distance: FloatArray) -> float:
    """Return the middle between the lowest and the highest point of a body, in nodes."""
    profile = distance.max(axis=(1, 2))
    inside = np.flatnonzero(profile > 0)
    if len(inside) == 0:
        raise CytoCascadeError("the surface is empty", hint="Its signed distance is nowhere positive.")
    low, high = int(inside[0]), int(inside[-1])
    if low == 0 or high == len(profile) - 1:
        raise CytoCascadeError("the surface is open: it reaches the border of its grid")
    below = low - profile[low] / (profile[low] - profile[low - 1])
    above = high + profile[high] / (profile[high] - profile[high + 1])
    return float(below + above) / 2
