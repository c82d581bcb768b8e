"""Drawing masks, whatever kind of model they come from."""

from __future__ import annotations

from collections.abc import Sequence

from cytocascade.diffusion.denoiser import Denoiser
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
    workers : int
        Threads; without influence on the result.
    """
    if isinstance(model, PipelineMasks):
        return sample_pipeline_masks(model, seeds, shape, steps=steps, workers=workers)
    return sample_masks(model, seeds, shape, style=style, steps=steps or MASK_STEPS, workers=workers)
