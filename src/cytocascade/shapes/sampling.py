"""Drawing the views of new cells from their masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cytocascade.diffusion.sampling import Condition, sample, starting_noise
from cytocascade.shapes.bank import cell_scalars
from cytocascade.shapes.canonical import Frame, canonical_mask, frame_of
from cytocascade.shapes.multiview import MultiViewDenoiser
from cytocascade.shapes.statistics import KINDS, Kind, ShapeStatistics
from cytocascade.shapes.views import from_network
from cytocascade.types import FloatArray

VIEW_STEPS = 12
"""Network evaluations per cell."""

CELLS_TOGETHER = 5
"""Cells that go through the network together."""


@dataclass(frozen=True)
class FramedMasks:
    """Masks of cells in their canonical cubes.

    Attributes
    ----------
    mask : Tensor, (n, 64, 64) float32
        Signed distance of the projection along z, in canonical units, positive inside.
    frames : list of Frame
        Where the cubes lie.
    ratios : ndarray, (n,) float32
        Axial ratios that the cells are to have.
    """

    mask: Tensor
    frames: list[Frame]
    ratios: FloatArray


def frame_masks(distance: FloatArray, spacing: float | Sequence[float], ratios: FloatArray) -> FramedMasks:
    """Bring masks into their canonical cubes.

    Parameters
    ----------
    distance : ndarray, (n, H, W) float32
        Signed distances in pixels, positive inside.
    spacing : float, or one per mask
        Micrometres per pixel.
    ratios : ndarray, (n,)
        Wished axial ratios.
    """
    steps = np.broadcast_to(spacing, len(distance)).astype(float)
    frames = [frame_of(one, step, float(ratio)) for one, step, ratio in zip(distance, steps, ratios, strict=True)]
    masks = [canonical_mask(one, step, frame) for one, step, frame in zip(distance, steps, frames)]
    stacked = torch.from_numpy(np.stack(masks)) if masks else torch.zeros((0, 64, 64))
    return FramedMasks(stacked, frames, np.asarray(ratios, dtype=np.float32))


def draw_ratios(
    statistics: ShapeStatistics,
    distance: FloatArray,
    spacing: float | Sequence[float],
    seeds: Sequence[int],
    *,
    size_known: bool,
) -> FloatArray:
    """Draw axial ratios for cells with these masks, (n,) float32; each from its own seed."""
    steps = np.broadcast_to(spacing, len(distance)).astype(float)
    extents = np.array([frame_of(one, step, 1.0).extent for one, step in zip(distance, steps)])
    return statistics.draw(extents, seeds, size_known=size_known)


def sample_views(
    model: MultiViewDenoiser,
    framed: FramedMasks,
    seeds: Sequence[int],
    *,
    kind: Kind = "nucleus",
    size_known: bool = True,
    steps: int = VIEW_STEPS,
    guidance: float = 1.0,
    workers: int = 1,
) -> Tensor:
    """Draw the sixteen views of every cell.

    Parameters
    ----------
    model : MultiViewDenoiser
        Trained network.
    framed : FramedMasks
        The cells seen along z.
    seeds : sequence of int
        One per cell; another seed gives another shape with the same mask.
    kind : {"nucleus", "cell"}
        What the cells are.
    size_known : bool
        Whether spacings are true micrometres.
    steps : int
        Network evaluations.
    guidance : float
        Classifier-free guidance scale on size and axial ratio; 1 is none.
    workers : int
        Threads; without influence on the result.

    Returns
    -------
    Tensor, (n, 16, 3, 32, 32) float32
        Silhouette fields and depths, see `render_views`.
    """
    count = len(framed.frames)
    sizes = torch.tensor([frame.extent for frame in framed.frames], dtype=torch.float32)
    known = torch.full((count,), size_known)
    condition = Condition(
        framed.mask[:, None],
        cell_scalars(sizes, torch.from_numpy(framed.ratios), known),
        torch.full((count,), KINDS.index(kind), dtype=torch.long),
    )
    noise = starting_noise(model, seeds) if count else torch.zeros((0, *model.sample_shape))
    values = sample(model, noise, condition, steps=steps, guidance=guidance, workers=workers, chunk=CELLS_TOGETHER)
    return from_network(values)
