"""Training examples of the multi-view diffusion: shapes in their canonical cube, with their masks and views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy import ndimage as ndi
from torch import Tensor

from cytocascade.diffusion.sampling import Condition
from cytocascade.diffusion.training import Batch
from cytocascade.seeding import torch_generator
from cytocascade.shapes.cameras import ORTHOGRAPHIC, VIEWS
from cytocascade.shapes.canonical import (
    MASK_SIZE,
    axial_ratio,
    frame_of,
    ratio_scalar,
    rotate_masks,
    size_scalar,
)
from cytocascade.shapes.distances import redistance
from cytocascade.shapes.solids import Solid
from cytocascade.shapes.views import network_weight, render_views, to_network
from cytocascade.types import FloatArray

NODES = 48
"""Nodes of the canonical grid along each axis."""

SIZE_WITHHELD = 0.3
"""Chance that an example is shown without its size."""


@dataclass(frozen=True)
class ShapeExamples:
    """Examples to learn from.

    Attributes
    ----------
    views : Tensor, (n, 16, 3, 32, 32) float16
        From `render_views`.
    mask : Tensor, (n, 1, 64, 64) float16
        Canonical masks: signed distance of the projection along z.
    size : Tensor, (n,) float32
        Largest lateral extent in micrometres; NaN if unknown.
    ratio : Tensor, (n,) float32
        Axial ratio.
    kind : Tensor of int, (n,)
        0 for nuclei, 1 for whole cells.
    weight : Tensor, (n,) float32
        Chance of being picked, up to a factor.
    """

    views: Tensor
    mask: Tensor
    size: Tensor
    ratio: Tensor
    kind: Tensor
    weight: Tensor

    @classmethod
    def join(cls, parts: list[ShapeExamples]) -> ShapeExamples:
        """Return all examples of several sets."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def canonical_grid(size: int = NODES) -> Tensor:
    """Return the nodes of the cube as points (x, y, z), (size, size, size, 3) with axes (Z, Y, X)."""
    axis = torch.linspace(-1, 1, size)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def in_canonical_cube(
    solid: Solid, *, scan: int = 72, reach: float = 1.35
) -> tuple[FloatArray, FloatArray, float, float]:
    """Bring a solid into its canonical cube.

    Returns
    -------
    distance : ndarray, (48, 48, 48) float32
        Signed distance in canonical units.
    mask : ndarray, (64, 64) float32
        Signed distance of its projection along z, in canonical units.
    ratio : float
        Axial ratio.
    extent : float
        Largest lateral extent, in units of the solid.
    """
    nodes = canonical_grid(scan) * reach
    inside = (solid(nodes) > 0).numpy()
    pieces, count = ndi.label(inside)
    if count > 1:
        inside = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    step = 2 * reach / (scan - 1)
    projection = inside.any(axis=0)
    signed = ndi.distance_transform_edt(projection) - ndi.distance_transform_edt(~projection)
    ratio = axial_ratio(inside)
    frame = frame_of(np.asarray(signed, dtype=np.float32), step, ratio)
    heights = np.flatnonzero(inside.any(axis=(1, 2)))
    middle = torch.tensor([frame.middle[1], frame.middle[0], ((heights[0] + heights[-1]) / 2 - (scan - 1) / 2) * step])
    points = canonical_grid() * frame.unit + middle.float()
    distance = redistance(solid(points).numpy(), 2.0 / (NODES - 1))
    distance[[0, -1]] = np.minimum(distance[[0, -1]], -0.02)
    return distance, projected_mask(distance), ratio, frame.extent


def projected_mask(distance: FloatArray) -> FloatArray:
    """Return the signed distance of the projection along z, (64, 64) float32, of a canonical grid."""
    top = distance.max(axis=0)
    where = (np.arange(MASK_SIZE) + 0.5) / MASK_SIZE * (top.shape[0] - 1)
    fine = ndi.map_coordinates(top, np.stack(np.meshgrid(where, where, indexing="ij")), order=1)
    return redistance(fine.astype(np.float32), 2.0 / MASK_SIZE)


def example(
    solid: Solid,
    *,
    micrometres: float = float("nan"),
    kind: int = 0,
    weight: float = 1.0,
    camera_distance: float = ORTHOGRAPHIC,
) -> ShapeExamples:
    """Return the example of one solid.

    `micrometres` is the length of the solid's unit, NaN if unknown; `camera_distance` that of the network's cameras.
    """
    distance, mask, ratio, extent = in_canonical_cube(solid)
    return ShapeExamples(
        views=render_views(torch.from_numpy(distance)[None], camera_distance=camera_distance).half(),
        mask=torch.from_numpy(mask)[None, None].half(),
        size=torch.tensor([extent * micrometres]),
        ratio=torch.tensor([ratio]),
        kind=torch.tensor([kind]),
        weight=torch.tensor([weight]),
    )


def cell_scalars(size: Tensor, ratio: Tensor, known: Tensor) -> Tensor:
    """Return what the network is told of cells, (n, 4): size, whether that is known, axial ratio, and a constant.

    Sizes are withheld where `known` is false.
    """
    told = known & torch.isfinite(size)
    safe = torch.where(told, size, torch.ones_like(size))
    scalar = torch.from_numpy(size_scalar(safe.numpy())).float() * told
    tallness = torch.from_numpy(ratio_scalar(ratio.numpy())).float()
    return torch.stack([scalar, told.float(), tallness, torch.ones_like(size)], dim=1)


def shape_batches(examples: ShapeExamples, *, batch: int, painted: int, seed: int) -> Callable[[int], Batch]:
    """Return the training batches of the multi-view diffusion as a function of the step.

    Cells are turned about z by whole camera steps, which permutes their views, and mirrored.

    Parameters
    ----------
    examples : ShapeExamples
        What to learn from.
    batch : int
        Cells per batch.
    painted : int
        Views per cell that the loss is taken over; all sixteen are seen.
    seed : int
        Seed of choice and motion.
    """

    def batch_at(step: int) -> Batch:
        generator = torch_generator(seed, "shapes", step)
        chosen = torch.multinomial(examples.weight, batch, replacement=True, generator=generator)
        turns = torch.randint(VIEWS, (batch,), generator=generator)
        mirrored = torch.rand(batch, generator=generator) < 0.5
        known = torch.rand(batch, generator=generator) >= SIZE_WITHHELD
        painted_views = torch.stack([torch.randperm(VIEWS, generator=generator)[:painted] for _ in range(batch)])
        views = turn_views(examples.views[chosen].float(), turns, mirrored)
        mask = rotate_masks(examples.mask[chosen].float(), turns * (2 * torch.pi / VIEWS), mirrored)
        picked = torch.zeros(batch, VIEWS).scatter_(1, painted_views, 1.0)
        weight = network_weight(views) * picked[:, :, None, None, None]
        scalars = cell_scalars(examples.size[chosen], examples.ratio[chosen], known)
        condition = Condition(mask, scalars, examples.kind[chosen], painted_views)
        return Batch(to_network(views), weight, condition)

    return batch_at


def turn_views(views: Tensor, turns: Tensor, mirrored: Tensor) -> Tensor:
    """Return the views of cells that were mirrored in y and then turned about z by camera steps.

    Parameters
    ----------
    views : Tensor, (B, 16, 3, 32, 32)
        Views of the cells as they are.
    turns : Tensor of int, (B,)
        Steps of 22.5 degrees, from x towards y.
    mirrored : Tensor of bool, (B,)
        Whether y is mirrored first: camera k then sees what camera -k saw, left and right exchanged.
    """
    index = torch.arange(VIEWS)[None]
    # The turned cell shows camera k what the cell showed camera k - turns.
    source = (index - turns[:, None]) % VIEWS
    source = torch.where(mirrored[:, None], (-source) % VIEWS, source)
    moved = views.gather(1, source[:, :, None, None, None].expand(-1, -1, *views.shape[2:]))
    return torch.where(mirrored[:, None, None, None, None], moved.flip(-1), moved)
