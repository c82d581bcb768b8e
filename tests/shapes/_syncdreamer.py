"""Analytic solids as SyncDreamer would show them, rendered from its published matrices and not by our cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from skimage.measure import marching_cubes

from cytocascade.types import Array, BoolArray, FloatArray


@dataclass(frozen=True)
class Ellipsoids:
    """A union of ellipsoids in SyncDreamer's world: middles and half axes, (n, 3) each, along (x, y, z)."""

    middles: Sequence[tuple[float, float, float]]
    axes: Sequence[tuple[float, float, float]]

    def value(self, points: Array) -> Array:
        """Return a field that is positive inside, of points (..., 3)."""
        parts = [1 - np.linalg.norm((points - m) / np.asarray(a), axis=-1) for m, a in zip(self.middles, self.axes)]
        return np.max(parts, axis=0)

    def hit(self, origin: Array, directions: Array) -> BoolArray:
        """Return which rays (..., 3) from `origin` meet the solid."""
        hit = np.zeros(directions.shape[:-1], dtype=bool)
        for middle, axes in zip(self.middles, self.axes):
            start, way = (origin - middle) / np.asarray(axes), directions / np.asarray(axes)
            a, b, c = (way**2).sum(-1), way @ start, start @ start - 1
            hit |= b**2 - a * c > 0
        return hit

    def mesh(self, nodes: int = 81) -> trimesh.Trimesh:
        """Return the solid's mesh in the cube [-0.6, 0.6]^3 that SyncDreamer's own are cut from."""
        line = np.linspace(-0.6, 0.6, nodes)
        points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
        vertices, faces, _, _ = marching_cubes(self.value(points), 0.0, allow_degenerate=False)
        mesh = trimesh.Trimesh(vertices * (line[1] - line[0]) - 0.6, faces)
        mesh.fix_normals()
        return mesh


BALL = Ellipsoids([(0, 0, 0)], [(0.42, 0.42, 0.42)])
FLAT = Ellipsoids([(0, 0, 0)], [(0.5, 0.34, 0.22)])
BEAN = Ellipsoids([(0.16, 0.04, 0.02), (-0.18, -0.04, -0.06)], [(0.32, 0.3, 0.25), (0.28, 0.26, 0.2)])
"""Bent and lopsided: no mirror plane maps it onto itself, so that every mix-up of axes or order is seen."""


def render(solid: Ellipsoids, *, side: int = 256, samples: int = 2, elevation: float = 30.0) -> FloatArray:
    """Return the sixteen views on white, (16, side, side, 3) in [0, 1], edges antialiased."""
    focal = 280 * side / 256
    line = (np.arange(side * samples) + 0.5) / samples - side / 2
    u, v = np.meshgrid(line, line)
    local = np.stack([u / focal, v / focal, np.ones_like(u)], axis=-1)
    e, views = np.deg2rad(elevation), []
    for number in range(16):
        a = number * 2 * np.pi / 16
        down = np.array([np.sin(e) * np.cos(a), np.sin(e) * np.sin(a), -np.cos(e)])
        right = np.array([-np.sin(a), np.cos(a), 0])
        rotation = np.stack([right, down, np.cross(right, down)])
        hit = solid.hit(-rotation.T @ [0, 0, 1.5], local @ rotation)
        covered = hit.reshape(side, samples, side, samples).mean(axis=(1, 3))
        shade = 0.35 + 0.2 * np.linspace(0, 1, side)[:, None]
        views.append(np.repeat((1 - covered * (1 - shade))[..., None], 3, axis=-1))
    return np.stack(views).astype(np.float32)


def as_row(views: FloatArray) -> Array:
    """Return the picture that SyncDreamer's ``generate.py`` writes, uint8."""
    return np.concatenate(list((views * 255).astype(np.uint8)), axis=1)


def as_grid(views: FloatArray) -> Array:
    """Return the views as four rows of four, uint8."""
    rows = [np.concatenate(list((views[k : k + 4] * 255).astype(np.uint8)), axis=1) for k in range(0, 16, 4)]
    return np.concatenate(rows)


def overlap_with(solid: Ellipsoids, distance_at_points: Array, points: Array) -> float:
    """Return the intersection over union of a solid and where a field at points (..., 3) is positive."""
    true, found = solid.value(points) > 0, distance_at_points > 0
    return float((true & found).sum() / (true | found).sum())
