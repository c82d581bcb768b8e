"""Drawing masks, whatever kind of model they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.images.descriptors import wished_size, wished_solidity
from cytocascade.masks.concavity import adjust_concavity
from cytocascade.masks.maskddpm import MASK_STEPS, SampledMasks, sample_masks
from cytocascade.masks.pipelines import PipelineMasks, sample_pipeline_masks
from cytocascade.types import FloatArray

MaskModel = Denoiser | PipelineMasks
"""MaskDDPM of our own kind, or a pipeline of diffusers."""


def usual_steps(model: MaskModel) -> int:
    """Return how many network evaluations a mask takes unless told otherwise."""
    return model.steps if isinstance(model, PipelineMasks) else MASK_STEPS


def draw_masks(
    model: MaskModel,
    seeds: Sequence[int],
    shape: FloatArray | None = None,
    *,
    style: int = 0,
    steps: int | None = None,
    concave: bool = False,
    workers: int = 1,
) -> SampledMasks:
    """Draw one mask per seed, see `sample_masks` and `sample_pipeline_masks`.

    Parameters
    ----------
    model : MaskModel
        The masks of a bundle.
    seeds : sequence of int
        One seed per mask.
    shape : ndarray, (n, 3) float32, optional
        Wished `SHAPE_NAMES`.
    style : int
        Data-set index; pipelines know none.
    steps : int, optional
        Network evaluations per mask; by default `usual_steps`.
    concave : bool
        Whether masks are made as concave as wished, see `adjust_concavity`; else as the model comes to it.
    workers : int
        Threads; without influence on the result.
    """
    if isinstance(model, PipelineMasks):
        masks = sample_pipeline_masks(model, seeds, shape, steps=steps, workers=workers)
    else:
        masks = sample_masks(model, seeds, shape, style=style, steps=steps or MASK_STEPS, workers=workers)
    if not concave or shape is None or not len(seeds):
        return masks
    adjusted = [
        adjust_concavity(distance, *wished_size(wish), wished_solidity(wish))
        for distance, wish in zip(masks.distance, shape)
    ]
    return replace(masks, distance=np.stack(adjusted))
