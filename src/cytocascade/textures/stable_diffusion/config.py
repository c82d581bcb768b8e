"""What is asked of Stable Diffusion, and what a bundle keeps about it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cytocascade.images.cells import CROP_SIZE

Mode = Literal["latent", "pixel"]
"""``latent``: cells go through the VAE; ``pixel``: the VAE is skipped, a grey crop fills the latent channels."""

Trained = Literal["controlnet", "lora", "decoder", "all"]
"""What is trained: the ControlNet always; and LoRA in the UNet's attention, its upward half, or all of it."""

Hint = Literal["wishes", "mask"]
"""``wishes``: brightness, contrast and distance in a channel each; ``mask``: the grey mask in all three."""

Prediction = Literal["auto", "epsilon", "v_prediction"]
Precision = Literal["auto", "no", "bf16", "fp16"]
SamplerName = Literal["ddim", "dpm++", "lcm"]


class Sampling(BaseModel):
    """How textures are sampled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampler: SamplerName = "dpm++"
    """DDIM with eta 0 (Song et al. 2021), DPM-Solver++ 2M (Lu et al. 2022), or LCM (Luo et al. 2023)."""
    steps: int = Field(20, ge=1)
    """Network evaluations per texture."""
    guidance: float = Field(1.0, ge=0)
    """How far the prediction with the hint is driven away from that without; 1 is none, and costs half."""
    strength: float = Field(1.0, ge=0)
    """Factor on what the ControlNet adds to the UNet."""
    decay: float = Field(1.0, gt=0, le=1)
    """That factor falls by this one from each layer to the next shallower one (0.825 in ControlNet's "guess mode")."""


class StableDiffusionOptions(BaseModel):
    """How Stable Diffusion is fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    """Hub id, folder of diffusers, or one ``.safetensors`` file."""
    controlnet: str | None = None
    """ControlNet to start from (the same three); by default a copy of the UNet's downward half."""
    mode: Mode = "latent"
    """Whether the VAE is used."""
    train: Trained = "controlnet"
    """What is trained."""
    hint: Hint = "wishes"
    """What the ControlNet is shown."""
    sampling: Sampling = Sampling()
    """How textures will be sampled."""
    prediction: Prediction = "auto"
    """What the base predicts. Needed for single files of Stable Diffusion 2, which do not tell."""
    latent_size: int = Field(CROP_SIZE, ge=16, le=256)
    """Side of the latent in ``latent`` mode; times 8 it is the side of the picture. 128 is SDXL's own."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps; by default those of the fit, or as many as its budget allows."""
    batch: int = Field(4, ge=1)
    """Cells that go through the networks together, on each device."""
    accumulation: int = Field(1, ge=1)
    """Batches per optimiser step."""
    learning_rate: float = Field(1e-5, gt=0)
    """Learning rate of AdamW, after a linear warm-up."""
    warmup: int = Field(50, ge=0)
    """Steps of that warm-up, at most a tenth of all."""
    lora_rank: int = Field(16, ge=1)
    """Rank of the LoRA matrices."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay of the averaged weights, which are the ones that are kept; 0 for none, which saves memory."""
    precision: Precision = "auto"
    """Mixed precision; ``auto`` is bf16 (or fp16) on a GPU, none on a CPU."""
    checkpointing: bool = False
    """Compute activations again in the backward pass: slower, for less memory."""
    processes: int = Field(1, ge=1)
    """Devices to train on, by ``accelerate launch``."""
    checkpoint_seconds: float = Field(600.0, gt=0)
    """Time between two saved states."""


class BaseRecord(BaseModel):
    """Which weights a bundle needs that it does not hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """As given to the fit: hub id or path."""
    files: dict[str, str]
    """SHA-256 of the weights: by component (``unet``, ``vae``), or of the ``file``."""


class StableDiffusionConfig(BaseModel):
    """What a bundle keeps about its textures, beside the weights that were trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["stable-diffusion"] = "stable-diffusion"
    """Tells these textures from those of the compact network."""
    base: BaseRecord
    """The weights it builds on."""
    mode: Mode
    """Whether the VAE is used."""
    trained: Trained
    """Which weights are kept in the bundle."""
    hint: Hint
    """What the ControlNet is shown."""
    sampling: Sampling
    """How textures are sampled, if nothing else is asked for."""
    latent_channels: int = Field(ge=1)
    """Channels of the UNet's samples."""
    latent_size: int = Field(ge=16)
    """Side of the UNet's samples."""
    lora_rank: int = 0
    """Rank of the LoRA matrices; 0 without."""
    controlnet: dict[str, Any]
    """Config of the ControlNet (diffusers)."""
    schedule: dict[str, Any]
    """Noise schedule of the base (diffusers)."""
    chunk: int = Field(8, ge=1)
    """Textures that go through the networks together: part of what makes results repeatable."""

    @model_validator(mode="after")
    def _pixels_are_canonical(self) -> StableDiffusionConfig:
        if self.mode == "pixel" and self.latent_size != CROP_SIZE:
            raise ValueError(f"in pixel mode the side is {CROP_SIZE}, that of the crop")
        return self
