"""How far cells of a ball lie flat against its surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from cytocascade.types import Array, BoolArray


def body_covariance(mask: BoolArray, spacing: tuple[float, ...]) -> Array:
    """Return the covariance, (3, 3), of the voxels of a body, divided by its trace; a ball's is a third of 1."""
    points = np.argwhere(mask) * np.asarray(spacing)
    covariance = np.cov(points.T, bias=True) if len(points) > 1 else np.eye(3)
    covariance = covariance + 1e-9 * np.eye(3)
    return np.asarray(covariance / np.trace(covariance))


def radial_extent(directions: Array, covariances: Array) -> Array:
    """Return how much each of n bodies, (n, 3, 3), reaches along each of m unit vectors, (m, 3), as (m, n)."""
    return np.asarray(np.einsum("mi,nij,mj->mn", directions, covariances, directions))


def measure_flatness(labels: Array, spacing: tuple[float, ...]) -> float:
    """Return how flat the cells of a ball lie: 0 as by chance, 1 as flat as they could if they changed places.

    Parameters
    ----------
    labels : ndarray, (Z, Y, X)
        Labels of whole cells.
    spacing : tuple of float
        Micrometres per voxel.
    """
    values = np.unique(labels[labels > 0])
    masks = [labels == value for value in values]
    centres = np.array([np.argwhere(mask).mean(axis=0) for mask in masks]) * spacing
    directions = unit_vectors(centres - centres.mean(axis=0))
    extent = radial_extent(directions, np.array([body_covariance(mask, spacing) for mask in masks]))
    chance, best = float(extent.mean()), float(extent[linear_sum_assignment(extent)].mean())
    if chance - best < 1e-6:
        return 0.0
    return float(np.clip((chance - np.diag(extent).mean()) / (chance - best), 0.0, 1.0))


def unit_vectors(vectors: Array) -> Array:
    """Return vectors, (n, 3), at length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))


def assign_bodies(
    directions: Array, masks: Sequence[BoolArray], spacing: tuple[float, ...], flatness: float, scores: Array
) -> Array:
    """Return which body goes in which direction, (n,) int.

    Parameters
    ----------
    directions : ndarray, (n, 3)
        Unit vectors from the middle of the ball to the places, along (z, y, x).
    masks : sequence of ndarray of bool
        n bodies.
    spacing : tuple of float
        Micrometres per voxel.
    flatness : float
        0 for any order, 1 for the one in which bodies reach least from the middle outwards.
    scores : ndarray, (n, n)
        Standard normal numbers that make up the rest of the order.
    """
    extent = radial_extent(directions, np.array([body_covariance(mask, spacing) for mask in masks]))
    scaled = (extent - extent.mean()) / max(float(extent.std()), 1e-9)
    return np.asarray(linear_sum_assignment(flatness * scaled + (1 - flatness) * scores)[1])
