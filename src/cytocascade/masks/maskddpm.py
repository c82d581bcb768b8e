"""MaskDDPM: a diffusion model of single-cell masks (Ho et al. 2020; arXiv 2411.11515, stage 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage as ndi
from skimage.measure import label

from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.diffusion.sampling import Condition, sample, starting_noise
from cytocascade.diffusion.training import Batch
from cytocascade.errors import CytoCascadeError
from cytocascade.images.augment import apply_warp, draw_warp
from cytocascade.images.cells import CROP_MARGIN, CROP_SIZE, fineness_of, signed_distance
from cytocascade.images.descriptors import SHAPE_NAMES, wished_size
from cytocascade.masks.adjustment import adjust_mask
from cytocascade.masks.representation import FIELD_SIZE, TRUNCATION, from_field, to_field
from cytocascade.seeding import derive_seed, torch_generator
from cytocascade.types import FloatArray

MASK_DENOISER = DenoiserConfig(size=FIELD_SIZE, scalars=len(SHAPE_NAMES), widths=(48, 96, 128), stem_width=16, layers=1)
"""Shape of the mask network."""

MASK_STEPS = 16
"""Network evaluations per mask."""

PATIENCE = 3
"""Attempts that insist on the wished shape."""

MAX_ATTEMPTS = 10
"""How often a mask is drawn anew before sampling gives up."""


def mask_batches(
    distance: FloatArray,
    shape: FloatArray,
    styles: Sequence[int] | None,
    *,
    batch: int,
    seed: int,
    pick: FloatArray | None = None,
) -> Callable[[int], Batch]:
    """Return the training batches of MaskDDPM as a function of the step.

    Parameters
    ----------
    distance : ndarray, (n, S, S) float32
        Signed distances of real cells, with the margin of `SingleCells`.
    shape : ndarray, (n, 3) float32
        Their `SHAPE_NAMES`.
    styles : sequence of int, optional
        Data-set index of every cell.
    batch : int
        Cells per batch.
    seed : int
        Seed of choice and deformation.
    pick : ndarray, (n,), optional
        Chance of every cell to be picked, up to a factor.
    """
    crops, scalars, style, weights = _tensors(distance[:, None], shape, styles, pick)
    fineness = fineness_of(distance, margin=CROP_MARGIN)

    def batch_at(step: int) -> Batch:
        generator = torch_generator(seed, "masks", step)
        chosen = torch.multinomial(weights, batch, replacement=True, generator=generator)
        warp = draw_warp(batch, generator, zoom=0.05, bend=0.5 * fineness)
        # A magnified cell is as much farther from its outline.
        field = to_field(apply_warp(crops[chosen], warp, CROP_SIZE * fineness) * warp.zoom[:, None, None, None])
        vector = scalars[chosen].clone()
        vector[:, 0] += 4.0 * torch.log(warp.zoom)
        return Batch(field, torch.ones_like(field), Condition(None, vector, style[chosen]))

    return batch_at


def _tensors(
    crops: FloatArray, scalars: FloatArray, styles: Sequence[int] | None, pick: FloatArray | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    style = torch.zeros(len(crops), dtype=torch.long) if styles is None else torch.as_tensor(list(styles))
    weights = torch.ones(len(crops)) if pick is None else torch.as_tensor(pick, dtype=torch.float32)
    return torch.as_tensor(crops), torch.as_tensor(scalars), style, weights


@dataclass(frozen=True)
class SampledMasks:
    """Masks drawn by MaskDDPM.

    Attributes
    ----------
    distance : ndarray, (n, S, S) float32
        Signed distance to the outline in canonical pixels, positive inside; S is 64 or a multiple. The region above
        zero is one component without holes that does not reach the crop's border.
    drawn : int
        How many masks were drawn to get them.
    rejected : int
        How many of those were thrown away.
    """

    distance: FloatArray
    drawn: int
    rejected: int


def sample_masks(
    model: Denoiser,
    seeds: Sequence[int],
    shape: FloatArray | None = None,
    *,
    style: int = 0,
    steps: int = MASK_STEPS,
    workers: int = 1,
) -> SampledMasks:
    """Draw one mask per seed; masks that are no single whole cell are drawn again.

    Parameters
    ----------
    model : Denoiser
        Trained MaskDDPM.
    seeds : sequence of int
        One seed per mask.
    shape : ndarray, (n, 3) float32, optional
        Wished `SHAPE_NAMES`; without it the masks are drawn unconditionally. After `PATIENCE` rejections a
        wish is moved towards an ordinary cell, so the share of rejected masks is worth a look.
    style : int
        Data-set index.
    steps : int
        Network evaluations per mask.
    workers : int
        Threads.

    Raises
    ------
    CytoCascadeError
        If a mask is still rejected after `MAX_ATTEMPTS` attempts: the model is not trained.
    """
    side = max(CROP_SIZE, 2 * model.config.size)
    result = np.zeros((len(seeds), side, side), dtype=np.float32)
    open_ = np.arange(len(seeds))
    drawn = rejected = 0
    for attempt in range(MAX_ATTEMPTS):
        if not len(open_):
            break
        noise = starting_noise(model, [derive_seed(seeds[int(i)], "attempt", attempt) for i in open_])
        # Wishes at the edge of what was learned (specks of a few pixels) may never be met: they give way
        # step by step to those of an ordinary cell, whose descriptors are all nought.
        yielding = 0.6 ** max(0, attempt - PATIENCE + 1)
        scalars = None if shape is None else torch.as_tensor(shape[open_] * yielding, dtype=torch.float32)
        styles = torch.full((len(open_),), style, dtype=torch.long)
        guidance = 1.0 if shape is not None else 0.0
        field = sample(model, noise, Condition(None, scalars, styles), steps=steps, guidance=guidance, workers=workers)
        cleaned = [clean_mask(distance) for distance in from_field(field)]
        failed = []
        for i, distance in zip(open_, cleaned):
            if distance is None:
                failed.append(i)
            elif shape is None:
                result[i] = distance
            else:
                result[i] = adjust_mask(distance, *wished_size(shape[i]))
        drawn, rejected = drawn + len(open_), rejected + len(failed)
        open_ = np.asarray(failed, dtype=int)
    if len(open_):
        raise CytoCascadeError(
            f"{len(open_)} of {len(seeds)} masks were still no whole cells after {MAX_ATTEMPTS} attempts",
            hint="The mask model is not trained enough: fit with more steps, or from the shipped base.",
        )
    return SampledMasks(result, drawn, rejected)


def clean_mask(distance: FloatArray, *, smallest: int = 6, speck: float = 0.02) -> FloatArray | None:
    """Return the signed distance with specks and pin-holes removed, or None if it is no single whole cell.

    Parameters
    ----------
    distance : ndarray, (S, S) float32
        Signed distance in canonical pixels, positive inside.
    smallest : int
        Fewest pixels of a cell.
    speck : float
        Share of the area up to which further components and holes are removed instead of rejected.
    """
    mask = distance > 0
    components = label(mask, connectivity=1)
    areas = np.bincount(components.ravel())[1:]
    if not len(areas) or areas.max() < smallest:
        return None
    main = components == 1 + int(areas.argmax())
    filled = ndi.binary_fill_holes(main)
    area = areas.max()
    if mask.sum() - area > speck * area or filled.sum() - area > speck * area:
        return None
    if filled[[0, -1]].any() or filled[:, [0, -1]].any():
        return None
    near = np.where(filled, np.maximum(distance, 0.05), np.minimum(distance, -0.05))
    # The network's own values are good to a fraction of a pixel near the outline, and truncated far from it.
    sample = 1.0 / fineness_of(distance)
    far = signed_distance(filled, (sample, sample))
    return np.where((np.abs(near) < TRUNCATION / 2) & (np.abs(far) < TRUNCATION), near, far).astype(np.float32)
