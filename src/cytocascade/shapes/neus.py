"""NeuS on dense grids: from the views of cells to their surfaces, many cells at once.

After Wang et al., arXiv 2106.10689, with its rendering weights (`rendering`), mask loss, Eikonal loss and learned s;
depths of the first and last surface stand in for colour. Instead of a network the values at the nodes of a grid are
optimised. The cameras, orthographic or at a distance, are fixed, so every step reads the grids of all cells along the
same, drawn rays by one sparse product (`rays`). Signed distances are positive INSIDE, contrary to NeuS's f.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor
from torch.nn import functional

from cytocascade.diffusion.sampling import CHUNK, map_single_threaded
from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.cameras import ORTHOGRAPHIC, VIEWS, from_above, ring
from cytocascade.shapes.closing import close_body, mask_at_nodes, match_projection, without_tips
from cytocascade.shapes.distances import redistance
from cytocascade.shapes.fusion import Content, fuse_views
from cytocascade.shapes.rays import RayDraw, draw_rays, ray_matrix, read_grids
from cytocascade.shapes.rendering import render_rays
from cytocascade.types import FloatArray

Init = Literal["views", "rounded", "sphere"]


@dataclass(frozen=True)
class NeusSettings:
    """How surfaces are optimised; the defaults are for views of 32 x 32 pixels.

    Attributes
    ----------
    iterations : int
        Steps of Adam.
    nodes : int
        Nodes of the optimised grid along each axis. As fine as the views' pixels: a finer one knows no more.
    rays : int
        Rays per step, drawn from the pixels of all views.
    mask_rays : int
        Further rays per step, drawn from the pixels of the mask.
    samples : int
        Samples along a ray.
    reach : float
        Samples lie between minus and plus this depth, in canonical units.
    learning_rate : float
        Of the values at the nodes, at the first step; it falls to a tenth.
    mask_weight, depth_weight, eikonal_weight, smooth_weight : float
        Weights of the losses beside the cross-entropy of the views' silhouettes: cross-entropy of the mask; absolute
        error of the depths; (|grad d| - 1)^2; squared Laplacian times the step. The mask weighs little here, because
        where it contradicts the views the grid would grow rims; `match_projection` enforces it afterwards.
    sharpness, largest_sharpness : float
        NeuS's s at the start, and at most: a density thinner than the samples' distance hides between them.
    content : {"silhouettes", "front", "both"}
        What of the views is used.
    seed : int
        Seed of the rays, which are the same for all cells.
    camera_distance : float
        Distance of the views' cameras from the origin, in canonical units; infinite if they are orthographic. The mask
        is always seen by the microscope.
    """

    iterations: int = 80
    nodes: int = 32
    rays: int = 768
    mask_rays: int = 256
    samples: int = 40
    reach: float = 1.05
    learning_rate: float = 0.01
    mask_weight: float = 0.05
    depth_weight: float = 4.0
    eikonal_weight: float = 0.1
    smooth_weight: float = 0.1
    sharpness: float = 40.0
    largest_sharpness: float = 80.0
    content: Content = "both"
    seed: int = 0
    camera_distance: float = ORTHOGRAPHIC


def reconstruct(
    views: Tensor,
    mask: Tensor | None,
    *,
    grid: int = 48,
    init: Init = "views",
    settings: NeusSettings | None = None,
    workers: int = 1,
) -> Tensor:
    """Return the surfaces of cells of which the views are known.

    Every surface is closed, in one piece, without cavities, and its projection along z is the mask where one is given;
    the mask has the last word where the views contradict it.

    Parameters
    ----------
    views : Tensor, (B, 16, 3, V, V) float32
        Silhouette field and depths of the first and last surface, see `views.render_views`.
    mask : Tensor, (B, M, M) float32, or None
        Signed distance of the projection along z, in canonical units, positive inside; None if nobody looked along z.
    grid : int
        Nodes of the result along each axis.
    init : {"views", "rounded", "sphere"}
        Start from what the views say (`fuse_views`); or from that without its tips, where silhouettes alone and no mask
        are given (`closing.without_tips`); or from a sphere as NeuS does (then 150 iterations at a learning rate of
        0.03 are needed).
    settings : NeusSettings, optional
        How surfaces are optimised.
    workers : int
        Threads. Each chunk of cells is computed by one thread, so the result does not depend on it.

    Returns
    -------
    Tensor, (B, grid, grid, grid) float32, on the CPU
        Signed distance in canonical units, positive inside, at the nodes of [-1, 1]^3, axes (Z, Y, X).

    Raises
    ------
    CytoCascadeError
        If the shapes do not fit together, values are not finite, a mask is empty, or without a mask no body is in all
        silhouettes of a cell.
    """
    settings = NeusSettings() if settings is None else settings
    _check(views, mask)
    views, mask = views.detach().float().cpu(), None if mask is None else mask.detach().float().cpu()
    chunks = [slice(start, start + CHUNK) for start in range(0, len(views), CHUNK)]

    def run(chosen: slice) -> Tensor:
        # Gradients are switched per thread; the caller may have them off.
        with torch.inference_mode(False), torch.enable_grad():
            masks = None if mask is None else mask[chosen].clone()
            return _reconstruct_chunk(views[chosen].clone(), masks, grid, init, settings)

    if not chunks:
        return views.new_zeros((0, grid, grid, grid))
    return torch.cat(map_single_threaded(run, chunks, workers))


def _check(views: Tensor, mask: Tensor | None) -> None:
    if views.ndim != 5 or views.shape[1:3] != (VIEWS, 3) or views.shape[3] != views.shape[4]:
        raise CytoCascadeError(f"views have shape {tuple(views.shape)}, not (cells, {VIEWS}, 3, size, size)")
    if not torch.isfinite(views).all():
        raise CytoCascadeError("views hold values that are not finite")
    if mask is None:
        return
    if mask.ndim != 3 or mask.shape[1] != mask.shape[2] or len(mask) != len(views):
        raise CytoCascadeError(
            f"masks have shape {tuple(mask.shape)}, not ({len(views)}, size, size)", hint="Give one mask per cell."
        )
    if not torch.isfinite(mask).all():
        raise CytoCascadeError("masks hold values that are not finite")
    empty = [index for index, one in enumerate(mask) if not bool((one > 0).any())]
    if empty:
        raise CytoCascadeError(f"the masks of cells {empty} are empty", hint="Leave these cells out.")


def _reconstruct_chunk(views: Tensor, mask: Tensor | None, grid: int, init: Init, settings: NeusSettings) -> Tensor:
    rough = optimise(starting_grids(views, mask, init, settings), views, mask, settings)
    fine = _resampled(rough, grid).numpy()
    if mask is None:
        return torch.stack([torch.from_numpy(close_body(one, 2.0 / (grid - 1))) for one in fine])
    return torch.stack([torch.from_numpy(_finished(*pair)) for pair in zip(fine, mask.numpy())])


def starting_grids(views: Tensor, mask: Tensor | None, init: Init, settings: NeusSettings) -> Tensor:
    """Return the grids that the optimisation starts from, (B, n, n, n) float32."""
    size = settings.nodes
    step = 2.0 / (size - 1)
    if init == "sphere":
        axis = torch.linspace(-1, 1, size)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        return (0.6 - (z**2 + y**2 + x**2).sqrt()).expand(len(views), -1, -1, -1).clone()
    said = fuse_views(views, size, content=settings.content, camera_distance=settings.camera_distance).numpy()
    if mask is None:
        bare = [index for index, one in enumerate(said) if not (one > 0).any()]
        if bare:
            raise CytoCascadeError(f"no body lies within all views of cells {bare}", hint="Check the views' order.")
        trim = without_tips if init == "rounded" else redistance
        return torch.stack([torch.from_numpy(trim(one, step)) for one in said])
    grids = []
    for fused, one in zip(said, mask.numpy()):
        carved = np.minimum(fused, mask_at_nodes(one, size))
        # Views of nothing, or none that agree: start from the mask's own extrusion.
        start = carved if (carved > 0).any() else _inflated(mask_at_nodes(one, size))
        grids.append(torch.from_numpy(redistance(start, step)))
    return torch.stack(grids)


def _inflated(mask: FloatArray) -> FloatArray:
    """Return a body as thick as its mask is wide, (n, n, n), from the mask at the nodes."""
    height = np.abs(np.linspace(-1, 1, len(mask), dtype=np.float32))
    return np.asarray(np.minimum(mask, mask.max() - height[:, None, None]), dtype=np.float32)


def optimise(start: Tensor, views: Tensor, mask: Tensor | None, settings: NeusSettings) -> Tensor:
    """Fit grids to views and masks by NeuS's losses.

    Parameters
    ----------
    start : Tensor, (B, n, n, n) float32
        Signed distance, positive inside.
    views, mask : Tensor
        As for `reconstruct`.
    settings : NeusSettings

    Returns
    -------
    Tensor, (B, n, n, n) float32
        Signed distance as far as the Eikonal loss makes it one.
    """
    cells, size = len(start), start.shape[-1]
    # Cells last: they are the contiguous columns of the sparse product.
    values = start.reshape(cells, -1).T.contiguous().requires_grad_()
    log_sharpness = torch.full((cells,), math.log(settings.sharpness), requires_grad=True)
    groups = [{"params": [values], "lr": settings.learning_rate}, {"params": [log_sharpness], "lr": 0.02}]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))
    fall = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.1 ** (1 / settings.iterations))
    seen = views.permute(1, 3, 4, 2, 0).contiguous()
    above = views.new_zeros((1, 1, cells)) if mask is None else mask.permute(1, 2, 0).contiguous()
    counts, pixels = (settings.rays, 0 if mask is None else settings.mask_rays), (views.shape[-1], len(above))
    for step in range(settings.iterations):
        rays = draw_rays(settings.seed, step, counts=counts, pixels=pixels)
        sharpness = log_sharpness.exp().clamp(max=settings.largest_sharpness)
        loss = _ray_loss(values, sharpness, rays, seen, above, settings) + _grid_loss(values, size, settings)
        optimiser.zero_grad()
        # Cells share nothing, so the sum is each one's own loss.
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        fall.step()
    return values.detach().T.reshape(start.shape).contiguous()


def _ray_loss(
    values: Tensor, sharpness: Tensor, rays: RayDraw, seen: Tensor, above: Tensor, settings: NeusSettings
) -> Tensor:
    """Return the loss of silhouettes and depths of every cell, (B,)."""
    pixel, fine = 2.0 / seen.shape[1], 2.0 / above.shape[0]
    axes = torch.cat([ring(), from_above()[None]]).numpy()
    camera = np.concatenate([rays.camera, np.full(len(rays.above), VIEWS)])
    centres = np.concatenate([(rays.pixel[:, ::-1] + 0.5) * pixel - 1, (rays.above[:, ::-1] + 0.5) * fine - 1])
    depths = torch.linspace(-settings.reach, settings.reach, settings.samples)
    size = round(len(values) ** (1 / 3))
    far = np.where(camera == VIEWS, ORTHOGRAPHIC, settings.camera_distance)
    matrix = ray_matrix(axes[camera], centres.astype(np.float32), depths.numpy(), size, far)
    along = read_grids(values, matrix).reshape(len(camera), settings.samples, -1)
    opacity, front, back = render_rays(along, sharpness, depths)
    target = seen[rays.camera, rays.pixel[:, 0], rays.pixel[:, 1]]
    # The share of the pixel that the cell covers.
    covered = torch.cat([target[:, 0] / pixel, above[rays.above[:, 0], rays.above[:, 1]] / fine]) + 0.5
    entropy = functional.binary_cross_entropy(opacity.clamp(1e-5, 1 - 1e-5), covered.clamp(0, 1), reduction="none")
    count = len(rays.camera)
    loss = entropy[:count].mean(dim=0)
    if len(rays.above):
        loss = loss + settings.mask_weight * entropy[count:].mean(dim=0)
    if settings.content == "silhouettes":
        return loss
    error = (front[:count] - target[:, 1]).abs()
    if settings.content == "both":
        error = error + (back[:count] - target[:, 2]).abs()
    # Towards the edge of the silhouette depths run steep and mean less.
    certain = (target[:, 0] / pixel).clamp(0, 1)
    return loss + settings.depth_weight * (certain * error).mean(dim=0)


def _grid_loss(values: Tensor, size: int, settings: NeusSettings) -> Tensor:
    """Return the Eikonal and smoothness losses of every cell, (B,)."""
    step = 2.0 / (size - 1)
    grid = values.reshape(size, size, size, -1)
    corner = grid[:-1, :-1, :-1]
    squared = (
        (grid[1:, :-1, :-1] - corner) ** 2 + (grid[:-1, 1:, :-1] - corner) ** 2 + (grid[:-1, :-1, 1:] - corner) ** 2
    )
    slope = (squared / step**2 + 1e-8).sqrt()
    inner = grid[1:-1, 1:-1, 1:-1]
    around = grid[2:, 1:-1, 1:-1] + grid[:-2, 1:-1, 1:-1] + grid[1:-1, 2:, 1:-1] + grid[1:-1, :-2, 1:-1]
    curvature = (around + grid[1:-1, 1:-1, 2:] + grid[1:-1, 1:-1, :-2] - 6 * inner) / step
    eikonal, smooth = (slope - 1).square().mean(dim=(0, 1, 2)), curvature.square().mean(dim=(0, 1, 2))
    return settings.eikonal_weight * eikonal + settings.smooth_weight * smooth


def _resampled(grids: Tensor, size: int) -> Tensor:
    """Return grids (B, n, n, n) on `size` nodes by cubic splines, which leave no facets."""
    old, new = (np.linspace(-1, 1, count) for count in (grids.shape[-1], size))
    spline = torch.from_numpy(CubicSpline(old, np.eye(len(old)))(new).astype(np.float32))
    for _ in range(3):
        # One axis after another: each product brings the next one to the end.
        grids = (grids @ spline.T).movedim(-1, 1)
    return grids.contiguous()


def _finished(field: FloatArray, mask: FloatArray) -> FloatArray:
    """Return the closed body of one cell, matched to its mask."""
    step = 2.0 / (len(field) - 1)
    wanted = mask_at_nodes(mask, len(field))
    body = field if (field > 0).any() else _inflated(wanted)
    return close_body(match_projection(close_body(body, step), wanted), step)
