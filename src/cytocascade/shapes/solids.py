"""Closed shapes to learn from: real ones, deformed a little, and smooth random ones as rough as the real ones.

A solid is an implicit function: points (x, y, z) in, values out that are positive inside. Deforming a solid is moving
the points before it sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation
from torch import Tensor

from cytocascade.shapes.views import sample_grid
from cytocascade.types import BoolArray, FloatArray

Solid = Callable[[Tensor], Tensor]
"""From points (..., 3) to values (...) that are positive inside."""

WAVES = 48
"""Random waves that a rough surface is made of."""


@dataclass(frozen=True)
class Roughness:
    """How the surfaces of cells deviate from ellipsoids: a Gaussian process on the sphere of directions.

    Attributes
    ----------
    amplitude : float
        Standard deviation of the logarithm of the radius.
    length : float
        Length over which it is correlated, on the unit sphere.
    """

    amplitude: float
    length: float


def voxel_solid(mask: BoolArray) -> Solid:
    """Return the solid of an isotropic voxel mask, (D, D, D) with axes (Z, Y, X), spanning [-1, 1]^3.

    The signed distance is smoothed over a voxel, so that the steps of the voxels are not learned.
    """
    signed = ndi.distance_transform_edt(mask) - ndi.distance_transform_edt(~mask)
    signed = ndi.gaussian_filter(np.asarray(signed, dtype=np.float32), 1.0)
    grid = torch.from_numpy(signed * (2.0 / mask.shape[0]))[None]
    # The nodes of `sample_grid` lie at the ends of the axis, those of voxels half a voxel inside.
    inset = mask.shape[0] / (mask.shape[0] - 1)
    return lambda points: sample_grid(grid, points * inset)[0]


def draw_blob(generator: np.random.Generator, roughness: Roughness) -> dict[str, Any]:
    """Draw a random smooth closed shape: an ellipsoid whose radius wavers (random Fourier features)."""
    lateral = float(np.exp(-np.abs(generator.normal(0.0, 0.35))))
    axial = float(np.exp(generator.uniform(np.log(0.22), np.log(1.5))))
    strength = roughness.amplitude * float(np.exp(generator.normal(0.0, 0.35)))
    return {
        "axes": [1.0, lateral, axial],
        "waves": (generator.normal(size=(WAVES, 3)) / roughness.length).tolist(),
        "phases": generator.uniform(0, 2 * np.pi, WAVES).tolist(),
        "amplitude": strength * float(np.sqrt(2.0 / WAVES)),
    }


def blob_solid(params: dict[str, Any]) -> Solid:
    """Return the solid that `draw_blob` drew, with a largest radius of about 0.8."""
    axes = 0.8 * torch.tensor(params["axes"], dtype=torch.float32)
    waves, phases = (torch.tensor(params[name], dtype=torch.float32) for name in ("waves", "phases"))

    def solid(points: Tensor) -> Tensor:
        scaled = points / axes
        norm = scaled.norm(dim=-1).clamp(min=1e-4)
        wavering = torch.cos((scaled / norm[..., None]) @ waves.T + phases).sum(dim=-1)
        return cast(Tensor, torch.exp(params["amplitude"] * wavering) - norm)

    return solid


def draw_deformation(generator: np.random.Generator, *, strength: float = 1.0) -> dict[str, Any]:
    """Draw a turn about z, a slight tilt, stretches, and a smooth bending.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of randomness.
    strength : float
        Factor on everything but the turn.
    """
    return {
        "turn": float(generator.uniform(0, 2 * np.pi)),
        "mirror": bool(generator.random() < 0.5),
        "tilt": (strength * np.deg2rad(4.0) * generator.normal(size=2)).tolist(),
        "stretch": np.exp(strength * generator.normal(size=3) * [0.08, 0.08, 0.12]).tolist(),
        "waves": generator.normal(size=(6, 3), scale=2.2).tolist(),
        "shifts": (strength * 0.014 * generator.normal(size=(6, 3))).tolist(),
        "phases": generator.uniform(0, 2 * np.pi, 6).tolist(),
    }


def deformed(solid: Solid, params: dict[str, Any]) -> Solid:
    """Return `solid` deformed as drawn."""
    turn = Rotation.from_euler("z", params["turn"]) * Rotation.from_euler("xy", params["tilt"])
    matrix = torch.tensor(turn.as_matrix(), dtype=torch.float32)
    stretch = torch.tensor(params["stretch"], dtype=torch.float32)
    flip = torch.tensor([1.0, -1.0 if params["mirror"] else 1.0, 1.0])
    waves, shifts, phases = (torch.tensor(params[name], dtype=torch.float32) for name in ("waves", "shifts", "phases"))

    def moved(points: Tensor) -> Tensor:
        # The inverse motion, applied to the points.
        local = (points @ matrix) / stretch * flip
        return solid(local + torch.sin(local @ waves.T + phases) @ shifts)

    return moved


def fit_roughness(masks: Sequence[BoolArray], *, directions: int = 400) -> Roughness:
    """Measure how real shapes deviate from ellipsoids.

    Parameters
    ----------
    masks : sequence of ndarray of bool, (D, D, D)
        Isotropic voxel masks; those whose radius is not unique in some direction are described by the outermost.
    directions : int
        Directions in which the radius is measured.
    """
    unit = _fibonacci_sphere(directions)
    angles = np.arccos(np.clip(unit @ unit.T, -1, 1))
    near = (angles > 0.25) & (angles < 0.45)
    variances, products = [], []
    for mask in masks:
        logs = _log_radii(mask, unit)
        logs = logs - logs.mean()
        # What an ellipsoid (a quadratic form of the direction) does not explain.
        quadratic = np.stack([unit[:, i] * unit[:, j] for i in range(3) for j in range(i, 3)], axis=1)
        weights, *_ = np.linalg.lstsq(quadratic, np.exp(-2 * logs), rcond=None)
        residual = logs + 0.5 * np.log(np.clip(quadratic @ weights, 0.05, None))
        residual -= residual.mean()
        variances.append(residual.var())
        products.append((residual[:, None] * residual[None])[near].mean())
    share = float(np.clip(np.mean(products) / np.mean(variances), 0.05, 0.95))
    # A squared-exponential kernel of the chord has that correlation at that distance.
    chord = 2 * np.sin(0.35 / 2)
    return Roughness(float(np.sqrt(np.median(variances))), float(chord / np.sqrt(-2 * np.log(share))))


def _log_radii(mask: BoolArray, unit: FloatArray) -> FloatArray:
    centre = np.argwhere(mask).mean(axis=0)
    radii = np.arange(0.5, max(mask.shape), 0.25)
    where = centre[:, None, None] + unit.T[::-1, :, None] * radii
    inside = ndi.map_coordinates(mask.astype(np.float32), where, order=1) > 0.5
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    return np.asarray(np.log(radii[last]), dtype=np.float64)


def _fibonacci_sphere(count: int) -> FloatArray:
    """Return directions (x, y, z) spread evenly over the sphere, (count, 3)."""
    index = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    return np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1)
