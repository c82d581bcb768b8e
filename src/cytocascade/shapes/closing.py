"""What makes a field on a canonical grid a cell: one closed body, the given outline from above, a true distance."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.distances import redistance
from cytocascade.shapes.rays import trilinear_matrix
from cytocascade.types import BoolArray, FloatArray

_ROUNDING = 0.8
_WARPS = 2
_FARTHEST_WARP = 0.35
"""Canonical units by which an outline is moved at most; the rest is cut off or filled in."""


def single_body(inside: BoolArray) -> BoolArray:
    """Return the largest component of `inside` (connected by faces), its holes or cavities filled.

    Parameters
    ----------
    inside : ndarray of bool, (Y, X) or (Z, Y, X)

    Raises
    ------
    CytoCascadeError
        If nothing is inside.
    """
    labels, count = ndi.label(inside)
    if count == 0:
        raise CytoCascadeError("the shape is empty", hint="Check that the mask holds a cell.")
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return np.asarray(ndi.binary_fill_holes(largest), dtype=bool)


def close_body(field: FloatArray, step: float) -> FloatArray:
    """Return the signed distance of the one closed body that a field holds.

    The largest component is kept, its cavities are filled, and all values on the border of the grid are negative.

    Parameters
    ----------
    field : ndarray, (Y, X) or (Z, Y, X)
        Positive inside.
    step : float
        Distance between neighbouring nodes.

    Returns
    -------
    ndarray, same shape, float32

    Raises
    ------
    CytoCascadeError
        If nothing is inside.
    """
    closed = np.full_like(field, -0.5 * step, dtype=np.float32)
    inner = (slice(1, -1),) * field.ndim
    closed[inner] = field[inner]
    border = closed.copy()
    border[inner] = -1.0
    closed = np.where(border > 0, -0.5 * step, closed)
    body = single_body(closed > 0)
    least = np.maximum(np.abs(closed), 1e-3 * step)
    closed = np.where(body == (closed > 0), closed, np.where(body, least, -least))
    return redistance(closed, step)


def without_tips(field: FloatArray, step: float) -> FloatArray:
    """Return the signed distance of a body whose tips and ridges are rounded off, of a field that is positive inside.

    The body is opened by a ball nearly as large as fits into it (a morphological opening). A visual hull ends in cones
    where no camera looked, and cells do not.
    """
    distance = redistance(field, step)
    radius = np.float32(_ROUNDING * distance.max())
    return np.asarray(redistance(distance - radius, step) + radius, dtype=np.float32)


def mask_at_nodes(mask: FloatArray, size: int) -> FloatArray:
    """Return the signed distance of a canonical mask at the nodes of the grid.

    Parameters
    ----------
    mask : ndarray, (M, M)
        Positive inside, at the pixel centres of [-1, 1]^2.
    size : int
        Nodes along each axis.

    Returns
    -------
    ndarray, (size, size) float32
        Of the largest component, without holes, in canonical units.
    """
    pixels = mask.shape[-1]
    axis = np.linspace(-1, 1, size, dtype=np.float32) * (pixels / (pixels - 1))
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    values = trilinear_matrix(points, pixels) @ np.asarray(mask, dtype=np.float32).ravel()
    return close_body(values.reshape(size, size), 2.0 / (size - 1))


def match_projection(distance: FloatArray, wanted: FloatArray) -> FloatArray:
    """Change a body so that its projection along z is the given mask.

    First it is moved sideways, by as much as its outline from above is off and less towards its middle: so a body
    that is a little too wide or narrow keeps its looks. What is still off is cut away or added as a thin rim.

    Parameters
    ----------
    distance : ndarray, (D, D, D) float32
        Signed distance of the body, canonical, positive inside; not empty.
    wanted : ndarray, (D, D) float32
        From `mask_at_nodes`.

    Returns
    -------
    ndarray, (D, D, D) float32
        A field with the right zero set, not a distance.
    """
    step = 2.0 / (len(distance) - 1)
    for _ in range(_WARPS):
        distance = _moved_sideways(distance, wanted, step)
    lack = np.where(wanted > 0, np.minimum(wanted, step) - distance.max(axis=0), 0).clip(0)
    return np.asarray(np.minimum(distance + lack, wanted), dtype=np.float32)


def _moved_sideways(distance: FloatArray, wanted: FloatArray, step: float) -> FloatArray:
    top = distance.max(axis=0)
    if not (top > 0).any():
        return distance
    outline = redistance(top, step)
    amount = (wanted - outline).clip(-_FARTHEST_WARP, _FARTHEST_WARP)
    # On the outline's axis, where inwards has no direction, nothing is moved.
    amount *= (1 - outline.clip(0) / outline.max()) ** 2
    inwards = np.asarray(np.gradient(outline, step), dtype=np.float32)
    move = ndi.gaussian_filter(inwards * amount, (0, 1, 1), mode="nearest") / step
    # The point whose value is taken lies as deep in the present outline as this one in the wanted.
    lateral = np.indices(outline.shape) + move
    planes = np.broadcast_to(np.arange(len(distance))[:, None, None], distance.shape)
    where = np.stack([planes, *(np.broadcast_to(axis, distance.shape) for axis in lateral)])
    return np.asarray(ndi.map_coordinates(distance, where, order=1, mode="nearest"), dtype=np.float32)
