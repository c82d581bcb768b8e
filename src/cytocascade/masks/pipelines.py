"""Masks from diffusers' pipelines: an unconditional model of pictures in the place of MaskDDPM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from pydantic import BaseModel, ConfigDict, Field

from cytocascade.diffusion.sampling import CHUNK, map_single_threaded
from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import CROP_SIZE
from cytocascade.images.descriptors import SHAPE_NAMES, canonical_area, describe_shape, wished_size
from cytocascade.masks.adjustment import adjust_mask
from cytocascade.masks.mask_images import fitting_scale, largest_mask, mask_area, on_crop
from cytocascade.masks.maskddpm import MAX_ATTEMPTS, PATIENCE, SampledMasks
from cytocascade.masks.pipeline_files import MaskPipeline
from cytocascade.seeding import derive_seed, torch_generator
from cytocascade.types import FloatArray

Sampler = Literal["ddpm", "ddim", "dpm"]
"""Ancestral sampling (Ho et al. 2020), DDIM (Song et al. 2021), DPM-Solver++ (Lu et al. 2022)."""

USUAL_STEPS: dict[Sampler, int] = {"ddpm": 1000, "ddim": 50, "dpm": 16}
"""Network evaluations per picture."""

_SCHEDULERS = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler, "dpm": DPMSolverMultistepScheduler}
_DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2, "lower_order_final": True, "timestep_spacing": "trailing"}


class MaskSource(BaseModel):
    """Where the masks of a bundle come from, if not from a network of our own kind, and how they are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: str
    """Name of the folder that was given, or ``fit`` if the pipeline was trained on the annotated cells."""
    sha256: str = ""
    """Hash of the files that were given, see `pipeline_files.pipeline_hash`; empty for one that was trained here."""
    sampler: Sampler = "ddim"
    """How pictures are sampled."""
    eta: float = Field(1.0, ge=0, le=1)
    """DDIM: noise that is added again at every step; 0 is none, 1 as much as in ancestral sampling."""
    candidates: int = Field(4, ge=1)
    """Pictures that are drawn for every cell; the one nearest to the wished shape is taken."""
    scale: float | None = Field(None, gt=0)
    """Canonical pixels per pixel of the pictures; none: unknown, so that pictures tell shapes, not sizes."""


@dataclass(frozen=True)
class PipelineMasks:
    """A pipeline that masks are drawn from.

    Attributes
    ----------
    pipeline : MaskPipeline
        Network and schedule.
    source : MaskSource
        Where it comes from, and how it is sampled.
    """

    pipeline: MaskPipeline
    source: MaskSource

    @property
    def steps(self) -> int:
        """Usual network evaluations per picture."""
        return min(USUAL_STEPS[self.source.sampler], int(self.pipeline.schedule.get("num_train_timesteps", 1000)))


def sample_pipeline_masks(
    model: PipelineMasks,
    seeds: Sequence[int],
    shape: FloatArray | None = None,
    *,
    steps: int | None = None,
    workers: int = 1,
) -> SampledMasks:
    """Draw one mask per seed; pictures that show no whole cell are drawn again.

    The model knows no wishes. So several candidates are drawn for every cell, each is scaled to the wished area, and
    the one is taken whose eccentricity and concavity (and size, if the scale of the pictures is known) are nearest to
    the wish; a small stretch makes up for the rest, as in MaskDDPM (`adjust_mask`).

    Parameters
    ----------
    model : PipelineMasks
        Where pictures come from.
    seeds : sequence of int
        One seed per mask; all noise, that of every step included, derives from it.
    shape : ndarray, (n, 3) float32, optional
        Wished `SHAPE_NAMES`. After `PATIENCE` rejections a cell that is too long for the crop at the wished area is
        made smaller. Without wishes the first whole cell is taken, in its own size if the scale is known, otherwise in
        that of an ordinary cell.
    steps : int, optional
        Network evaluations per picture; by default `PipelineMasks.steps`.
    workers : int
        Threads; without influence on the result.

    Returns
    -------
    SampledMasks
        ``drawn`` counts candidates, ``rejected`` those that show no whole cell.

    Raises
    ------
    CytoCascadeError
        If no candidate of a mask is a whole cell in `MAX_ATTEMPTS` attempts.
    """
    result = np.zeros((len(seeds), CROP_SIZE, CROP_SIZE), dtype=np.float32)
    open_, drawn, rejected = list(range(len(seeds))), 0, 0
    count = 1 if shape is None else model.source.candidates
    for attempt in range(MAX_ATTEMPTS):
        if not open_:
            break
        noise_seeds = [derive_seed(seeds[i], "attempt", attempt, "candidate", k) for i in open_ for k in range(count)]
        pictures = sample_pictures(model, noise_seeds, steps=steps, workers=workers)
        failed = []
        for number, i in enumerate(open_):
            wish = None if shape is None else shape[i]
            own = pictures[number * count : (number + 1) * count]
            found = [_candidate(model, picture, wish, shrink=attempt >= PATIENCE) for picture in own]
            whole = [one for one in found if one is not None]
            rejected += count - len(whole)
            if not whole:
                failed.append(i)
                continue
            chosen = min(whole, key=lambda one: one.off)
            result[i] = chosen.distance if wish is None else adjust_mask(chosen.distance, *wished_size(wish))
        drawn, open_ = drawn + len(noise_seeds), failed
    if open_:
        raise CytoCascadeError(
            f"{len(open_)} of {len(seeds)} masks were still no whole cells after {MAX_ATTEMPTS} attempts",
            hint="The pipeline must make pictures of single whole cells, white on black, that do not reach the border; "
            "train it longer, or give more steps.",
        )
    return SampledMasks(result, drawn, rejected)


@dataclass(frozen=True)
class _Candidate:
    distance: FloatArray
    off: float


def _candidate(
    model: PipelineMasks, picture: FloatArray, wish: FloatArray | None, *, shrink: bool
) -> _Candidate | None:
    """Return the mask in a picture, scaled as wished, and how far its shape is from the wish; None if it is no cell."""
    size, known = len(picture), model.source.scale
    outline = largest_mask(picture)
    if outline is None:
        return None
    own = mask_area(outline, size)
    log_area = 0.0 if wish is None else float(wish[0])
    scale = float(np.sqrt(canonical_area(np.asarray(log_area)) / own))
    if wish is None and known is not None:
        scale = known
    if shrink:
        scale = min(scale, fitting_scale(outline, size))
    distance = on_crop(outline, size, scale)
    if distance is None:
        return None
    if wish is None:
        return _Candidate(distance, 0.0)
    off = (describe_shape(distance > 0) - wish).astype(np.float64)
    # The area is as wished by now; what counts is how large the cell was drawn.
    off[SHAPE_NAMES.index("log_area")] = 0.0 if known is None else 4.0 * np.log(known / scale)
    return _Candidate(distance, float(np.square(off).sum()))


def sample_pictures(
    model: PipelineMasks, seeds: Sequence[int], *, steps: int | None = None, workers: int = 1
) -> FloatArray:
    """Return one picture per seed, (n, size, size) float32 in [0, 1]; colours are averaged."""
    count = model.steps if steps is None else steps
    trained = int(model.pipeline.schedule.get("num_train_timesteps", 1000))
    if count > trained:
        raise CytoCascadeError(
            f"{count} steps per mask are more than the {trained} that the pipeline was trained with",
            hint="Give fewer mask steps.",
        )
    # As much memory as usual chunks need. What is computed together depends on the model alone.
    chunk = max(1, CHUNK * CROP_SIZE**2 // model.pipeline.shape[-1] ** 2)
    parts = [list(seeds[start : start + chunk]) for start in range(0, len(seeds), chunk)]
    found = map_single_threaded(lambda part: _sample_chunk(model, part, count), parts, workers)
    return np.concatenate(found) if found else np.zeros((0, *model.pipeline.shape[1:]), dtype=np.float32)


def _sample_chunk(model: PipelineMasks, seeds: Sequence[int], steps: int) -> FloatArray:
    pipeline, source = model.pipeline, model.source
    # Inference mode is per thread, so it is entered here.
    with torch.inference_mode():
        generators = [torch_generator(seed, "noise") for seed in seeds]
        x = torch.stack([torch.randn(pipeline.shape, generator=generator) for generator in generators])
        scheduler = _scheduler(pipeline.schedule, source.sampler)
        scheduler.set_timesteps(steps)
        more: dict[str, Any] = {"eta": source.eta} if source.sampler == "ddim" else {}
        if source.sampler != "dpm":
            more["generator"] = generators
        for timestep in scheduler.timesteps:
            x = scheduler.step(pipeline.unet(x, timestep).sample, timestep, x, **more).prev_sample
        grey = (x / 2 + 0.5).clamp(0, 1).mean(dim=1)
        return np.asarray(grey.float().numpy(), dtype=np.float32)


def _scheduler(schedule: dict[str, Any], sampler: Sampler) -> Any:
    return _SCHEDULERS[sampler].from_config(schedule, **(_DPM if sampler == "dpm" else {}))
