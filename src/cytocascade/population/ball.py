"""Cells inside a ball, as in embryos and organoids.

Cells placed one by one at random come nowhere near the regularity, nor the density, of an organoid. So the
centres come first: points in an ellipsoid push each other away until their nearest neighbours are as far as
drawn. Then each cell goes, from the middle outwards, as near to its point as it can without overlap, in touch with
a cell placed before if so drawn. Which cell goes where follows from how flat cells lie against the surface. Cells
are rigid here and pressed into shape in nature, so a dense ball comes out a little larger than drawn.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import KDTree

from cytocascade.population.bodies import BodyPlacer
from cytocascade.population.candidates import CellShape
from cytocascade.population.orientation import assign_bodies, unit_vectors
from cytocascade.population.volume_params import BallParams, VolumeParams
from cytocascade.types import Array

_STEPS = 150
_ROUNDS = 10
_WIDER = 1.4


class BallPlacer(BodyPlacer):
    """Places cells at points in a ball."""

    def __init__(
        self, shapes: list[CellShape], shape: tuple[int, int, int], params: VolumeParams, ball: BallParams
    ) -> None:
        super().__init__(shapes, shape, params)
        self.targets, directions = self._targets(ball)
        scores = self.search.generator.standard_normal((len(shapes), len(shapes)))
        masks = [one.mask for one in shapes]
        self.index = assign_bodies(directions, masks, params.spacing, ball.flatness, scores)

    def _index(self, slot: int) -> int:
        return int(self.index[slot])

    def _targets(self, ball: BallParams) -> tuple[Array, Array]:
        """Return the points, (n, 3) in padded voxels, from the middle outwards, and their directions."""
        spacing, count = np.array(self.params.spacing), len(self.shapes)
        volume = sum(one.area for one in self.shapes) * float(spacing.prod())
        radius = (0.75 * volume / ball.packing / math.pi) ** (1 / 3)
        semi = radius * np.array(ball.axes)
        # No cell is to stick out of the ball's bounding box.
        cell = 0.5 * np.median([np.array(one.mask.shape) for one in self.shapes], axis=0) * spacing
        room = np.maximum(semi - cell, 0.02 * semi)
        wanted = np.array(ball.distance[:count]) * (volume / ball.packing / count) ** (1 / 3)
        points = spread_points(ball.reach * semi, room, wanted, self.search.generator)
        middle = 0.5 * (np.array(self.shape) - 1)
        slack = np.maximum(middle - semi / spacing, 0.0)
        order = np.argsort(((points / semi) ** 2).sum(axis=1), kind="stable")
        places = self.margin + middle + 0.5 * slack * np.array(ball.shift) + points[order] / spacing
        return np.asarray(places), unit_vectors(points[order] / semi**2)

    def _find(self, slot: int, shape: CellShape) -> Array | None:
        """Return the corner nearest to the cell's point at which its gap is the drawn one, or else any that is free."""
        wanted, spacing = self.params.gap[slot], np.array(self.params.spacing)
        wanted = None if slot == 0 else wanted
        width = 0.06 * self.params.median_diameter
        fallback: Array | None = None
        for _ in range(_ROUNDS):
            offset = self.search.generator.standard_normal((self.candidates, 3)) * width / spacing
            corner = np.round(self.targets[slot] + offset).astype(np.int64) - shape.centre
            corner = corner[self.search.allowed(corner, shape, False)]
            width *= _WIDER
            if not len(corner):
                continue
            if wanted is None:
                found = self.search.evaluate(shape, corner, None)
            else:
                found = self.search.slide(shape, corner, wanted, False, None)
            away = (((found.corner + shape.centre - self.targets[slot]) * spacing) ** 2).sum(axis=1)
            missed = self._missed(found.gap, wanted)
            for i in np.lexsort((away, missed)):
                if np.isfinite(found.gap[i]) and self._is_free(shape, found.corner[i], False):
                    if not missed[i]:
                        return np.asarray(found.corner[i])
                    fallback = found.corner[i] if fallback is None else fallback
                    break
        return super()._find(slot, shape) if fallback is None else fallback

    def _sides(self, cut: bool) -> tuple[bool, ...]:
        return (False,)

    def _missed(self, gap: Array, wanted: float | None) -> Array:
        """Return which gaps are not the wanted ones; without a wish, cells must only not touch."""
        if wanted is None:
            return np.asarray(gap <= 0)
        off = np.abs(gap - wanted) > 0.75 * min(self.params.spacing)
        return np.asarray(off | ((gap == 0) != (wanted == 0)))


def spread_points(semi: Array, box: Array, wanted: Array, generator: np.random.Generator) -> Array:
    """Return random points in an ellipsoid that keep a distance to each other, if there is room for it.

    Points closer than the mean of their wanted distances push each other apart by half of what is missing, again and
    again, and stay inside.

    Parameters
    ----------
    semi, box : ndarray, (3,)
        Semi-axes of the ellipsoid, and half the sides of a box about its middle; points stay in both.
    wanted : ndarray, (n,)
        Wanted distance of each point to its nearest neighbour.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, (n, 3)
        Relative to the middle of the ellipsoid.
    """
    count = len(wanted)
    direction = generator.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    points = direction * generator.random((count, 1)) ** (1 / 3) * semi
    for _ in range(_STEPS if count > 1 else 0):
        pairs = KDTree(points).query_pairs(float(wanted.max()), output_type="ndarray")
        if not len(pairs):
            break
        a, b = pairs.T
        offset = points[a] - points[b]
        length = np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
        missing = np.maximum(0.5 * (wanted[a] + wanted[b]) - length, 0.0)
        push = (0.25 * missing / length)[:, None] * offset
        move = np.stack([np.bincount(np.r_[a, b], np.r_[push[:, k], -push[:, k]], count) for k in range(3)], axis=1)
        points = points + move
        beyond = np.sqrt(((points / semi) ** 2).sum(axis=1))
        points = np.clip(points / np.maximum(beyond, 1.0)[:, None], -box, box)
        if missing.max() < 1e-3 * wanted.max():
            break
    return np.asarray(points)
