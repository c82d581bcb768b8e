"""Signed distances on grids: the distance to a field's zero set, in two or three dimensions."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import Array, BoolArray, FloatArray

_NEAR = 3.0
"""Nodes up to so many steps from the zero set look at their neighbours' foot points too."""

_REACH = 0.7
"""Half the usual spacing of foot points, in steps, across a diagonal."""


def redistance(field: Array, step: float) -> FloatArray:
    """Return the signed distance to the zero set of a field that is positive inside.

    The zero set is taken between neighbouring nodes by linear interpolation, so it stays where it is to a fraction
    of a step. Nodes beside it get the distance to the plane through their crossings along the axes whose normal is
    the field's gradient; all others the distance to the foot points of the nearest such nodes (a vector distance
    transform, Danielsson 1980). Up to three steps away the error stays below a quarter of a step, 0.03 on average;
    farther away distances are up to half a step too long.

    Parameters
    ----------
    field : ndarray, (Y, X) or (Z, Y, X)
        Any continuous field with both signs, at the nodes of an isotropic grid.
    step : float
        Distance between neighbouring nodes, in the unit wanted.

    Returns
    -------
    ndarray, same shape, float32
        In units of `step`, positive inside.
    """
    field = np.asarray(field, dtype=np.float32)
    inside = field > 0
    beside, foot, normal = _foot_points(field, inside)
    steps, index = ndi.distance_transform_edt(~beside, return_indices=True)
    nearest = np.ravel_multi_index(tuple(index), field.shape)
    here = np.indices(field.shape, dtype=np.float32).reshape(field.ndim, -1)
    points, normals = foot.reshape(field.ndim, -1) + here, normal.reshape(field.ndim, -1)
    squared = _squared_distances(here, nearest.ravel(), points, normals).reshape(field.shape)
    near = np.nonzero((steps <= _NEAR) & ~beside)
    here, best = np.stack(near).astype(np.float32), squared[near]
    for offset in product((-1, 0, 1), repeat=field.ndim):
        neighbour = tuple(np.clip(a + o, 0, side - 1) for a, o, side in zip(near, offset, field.shape))
        np.minimum(best, _squared_distances(here, nearest[neighbour], points, normals), out=best)
    squared[near] = best
    distance = np.sqrt(squared) * step
    return np.where(inside, distance, -distance).astype(np.float32)


def _squared_distances(here: Array, candidate: Array, points: Array, normals: Array) -> Array:
    """Return squared distances, in steps, from `here` (ndim, n) to the surface around each candidate's foot point.

    Foot points lie up to a step apart; the surface between them is taken to go on as a plane for as far.
    """
    way = here - points[:, candidate]
    squared = (way**2).sum(axis=0)
    along = (way * normals[:, candidate]).sum(axis=0)
    return np.asarray(squared - np.minimum(squared - along**2, _REACH**2).clip(0))


def _foot_points(field: FloatArray, inside: BoolArray) -> tuple[BoolArray, Array, Array]:
    """Return which nodes are beside the zero set, the way to it in steps and its normal there, (ndim, ...) each."""
    outward = -np.asarray(np.gradient(field), dtype=np.float32)
    outward /= np.maximum(np.sqrt((outward**2).sum(axis=0)), 1e-12)
    total, weight = np.zeros((2, *field.shape), dtype=np.float32)
    for axis in range(field.ndim):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(field.ndim))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(field.ndim))
        crossed = inside[low] != inside[high]
        here, there = np.abs(field[low][crossed]), np.abs(field[high][crossed])
        fraction = here / np.maximum(here + there, 1e-12)
        for part, along in ((low, fraction), (high, 1 - fraction)):
            # A plane with normal n that meets the axis at distance a is |n_axis| * a away; steep axes know it best.
            slope = np.abs(outward[axis][part][crossed]) + 1e-6
            total[part][crossed] += slope**3 * along
            weight[part][crossed] += slope**2
    beside = weight > 0
    away = np.where(beside, total / np.maximum(weight, 1e-12), 0.0)
    return beside, (outward * np.where(inside, away, -away)).astype(np.float32), outward
