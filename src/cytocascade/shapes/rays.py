"""Reading dense grids along rays, for many cells at once.

The cameras and the grid are the same for all cells, so trilinear interpolation along the rays is one sparse matrix,
and reading B cells is one sparse product with a matrix of B columns. On a CPU that is some ten times faster than
``grid_sample``, which interpolates anew for every cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from cytocascade.seeding import numpy_generator
from cytocascade.shapes.cameras import ORTHOGRAPHIC, VIEWS
from cytocascade.types import Array, FloatArray


@dataclass(frozen=True)
class RayDraw:
    """The rays of one step of the optimisation.

    Attributes
    ----------
    camera : ndarray of int, (R,)
        Camera of each ray.
    pixel : ndarray of int, (R, 2)
        Its pixel, (v, u).
    above : ndarray of int, (M, 2)
        Pixels (y, x) of the mask.
    """

    camera: Array
    pixel: Array
    above: Array


def draw_rays(seed: int, step: int, *, counts: tuple[int, int], pixels: tuple[int, int]) -> RayDraw:
    """Draw the rays of one step; they depend on nothing but the arguments, so all cells share them.

    Parameters
    ----------
    seed, step : int
        Seed, and number of the step.
    counts : tuple of int
        Rays from the views, and from the mask.
    pixels : tuple of int
        Pixels of a view along each axis, and of the mask.
    """
    generator = numpy_generator(seed, "neus", "rays", step)
    return RayDraw(
        generator.integers(0, VIEWS, counts[0]),
        generator.integers(0, pixels[0], (counts[0], 2)),
        generator.integers(0, pixels[1], (counts[1], 2)),
    )


def trilinear_matrix(points: FloatArray, size: int) -> scipy.sparse.csr_array:
    """Return the matrix that interpolates a grid at points.

    Parameters
    ----------
    points : ndarray, (n, ndim)
        World coordinates, (x, y, z) or (x, y), in [-1, 1]; points outside count as the nearest on the border.
    size : int
        Nodes of the grid along each axis, at ``linspace(-1, 1, size)``.

    Returns
    -------
    scipy.sparse.csr_array, (n, size**ndim) float32
        Columns in C order of the axes (Z, Y, X) or (Y, X).
    """
    position = np.clip((np.asarray(points, dtype=np.float32)[:, ::-1] + 1) * (0.5 * (size - 1)), 0, size - 1)
    position = position.astype(np.float32)
    low = np.minimum(position.astype(np.int32), size - 2)
    part: Array = position - low.astype(np.float32)
    count, ndim = position.shape
    columns = np.zeros((count, 1), dtype=np.int32)
    weights = np.ones((count, 1), dtype=np.float32)
    for axis in range(ndim):
        ends = low[:, axis, None] + np.array([0, 1], dtype=np.int32)
        share = np.stack([1 - part[:, axis], part[:, axis]], axis=1)
        columns = (columns[:, :, None] * size + ends[:, None, :]).reshape(count, -1)
        weights = (weights[:, :, None] * share[:, None, :]).reshape(count, -1)
    corners = columns.shape[1]
    starts = np.arange(0, count * corners + 1, corners, dtype=np.int32)
    return scipy.sparse.csr_array((weights.ravel(), columns.ravel(), starts), shape=(count, size**ndim))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, matrix: scipy.sparse.csr_array) -> Tensor:
        ctx.matrix = matrix
        return torch.from_numpy(matrix @ values.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return torch.from_numpy(ctx.matrix.T @ gradients[0].contiguous().numpy()), None


def read_grids(values: Tensor, matrix: scipy.sparse.csr_array) -> Tensor:
    """Return the product of `matrix` with the columns of `values`, differentiable in `values`.

    Parameters
    ----------
    values : Tensor, (nodes, B) float32, on the CPU
        One grid per column.
    matrix : scipy.sparse.csr_array, (n, nodes)
        From `trilinear_matrix`.

    Returns
    -------
    Tensor, (n, B) float32
    """
    result: Tensor = _Product.apply(values, matrix)  # type: ignore[no-untyped-call]
    return result


def ray_matrix(
    axes: Array, pixels: FloatArray, depths: FloatArray, size: int, camera_distance: float | Array = ORTHOGRAPHIC
) -> scipy.sparse.csr_array:
    """Return the matrix that reads a grid along rays.

    Parameters
    ----------
    axes : ndarray, (R, 3, 3)
        Axes of the camera of every ray, from `cameras.ring` or `cameras.from_above`.
    pixels : ndarray, (R, 2)
        Image coordinates (u, v) of every ray, in [-1, 1].
    depths : ndarray, (D,)
        Depths of the samples.
    size : int
        Nodes of the grid along each axis.
    camera_distance : float, or ndarray (R,)
        Distance of the camera of every ray from the origin, in canonical units.

    Returns
    -------
    scipy.sparse.csr_array, (R * D, size**3) float32
    """
    start = np.einsum("rk,rkc->rc", pixels, axes[:, :2])
    far = np.asarray(camera_distance, dtype=np.float32).reshape(-1, 1, 1)
    wide = 1 + depths[None, :, None] / far
    points = start[:, None] * wide + depths[None, :, None] * axes[:, 2][:, None]
    return trilinear_matrix(points.reshape(-1, 3), size)
