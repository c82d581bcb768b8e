"""How a cascade is fitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from cytocascade.masks.pipelines import Sampler
from cytocascade.recorded import LeftOutUnset, Recorded
from cytocascade.textures.stable_diffusion.config import StableDiffusionOptions

StageProgress = Callable[[str, int, int, str], None]
"""Called with (stage, done, in all, remark)."""


class FitOptions(Recorded):
    """How a cascade is fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: float | None = Field(600.0, gt=0)
    """Seconds to spend; the number of steps is then chosen by the measured speed, once."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps of each network, instead of a budget: the bundle can then be repeated exactly."""
    batch: int = Field(32, ge=1)
    """Cells per step."""
    learning_rate: float | None = Field(None, gt=0)
    """Peak learning rate; by default 2e-4 from a base and 5e-4 from scratch."""
    seed: int = 0
    """Seed of everything random."""
    device: str = "cpu"
    """Torch device of the training."""
    stable_diffusion: Annotated[StableDiffusionOptions | None, LeftOutUnset()] = None
    """Paint textures with Stable Diffusion and a ControlNet, instead of the compact network."""
    mask_backend: Annotated[Literal["compact", "diffusers"], LeftOutUnset()] = "compact"
    """Whether masks are learned by our own conditional network, or by a pipeline that diffusers can load."""
    masks_from: Annotated[Path | None, LeftOutUnset()] = None
    """Folder of a trained `DDPMPipeline` or `DDIMPipeline` of diffusers to take masks from, instead of training any."""
    mask_spacing: Annotated[float | None, LeftOutUnset()] = Field(None, gt=0)
    """Micrometres per pixel of its pictures; without it they tell shapes, not sizes."""
    mask_sampler: Annotated[Sampler | None, LeftOutUnset()] = None
    """How a pipeline is sampled; by default DDIM if it was given, and DPM-Solver++ if it is trained here."""
    mask_eta: Annotated[float | None, LeftOutUnset()] = Field(None, ge=0, le=1)
    """Noise that DDIM adds again at every step; by default 1 (as in the paper's code), and 0 for a `DDIMPipeline`."""
    mask_candidates: Annotated[int, LeftOutUnset()] = Field(4, ge=1)
    """Pictures that a pipeline draws for every cell; the nearest to the wished shape is taken."""

    @model_validator(mode="after")
    def _one_source_of_masks(self) -> Self:
        if self.masks_from is not None and self.mask_backend == "diffusers":
            raise ValueError("masks_from takes a trained pipeline, mask_backend trains one: give one of them")
        if self.masks_from is None and self.mask_spacing is not None:
            raise ValueError("mask_spacing belongs to the pipeline that masks_from gives")
        given = {"mask_sampler", "mask_eta", "mask_candidates"} & set(self.model_dump(exclude_none=True))
        if self.masks_from is None and self.mask_backend == "compact" and given:
            raise ValueError(f"{min(given)} is for pipelines of diffusers: give masks_from, or mask_backend diffusers")
        return self
