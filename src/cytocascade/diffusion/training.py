"""The one training loop of all diffusion stages: short, resumable, repeatable."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from cytocascade.diffusion import checkpoints
from cytocascade.diffusion.network import Network
from cytocascade.diffusion.sampling import Condition
from cytocascade.diffusion.schedule import TRAIN_STEPS, training_schedule
from cytocascade.seeding import torch_generator


class TrainingConfig(BaseModel):
    """How a denoiser is trained."""

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(1000, ge=1)
    """Optimiser steps."""
    batch: int = Field(32, ge=1)
    """Samples per step."""
    learning_rate: float = Field(4e-4, gt=0)
    """Peak learning rate of AdamW."""
    warmup: int = Field(50, ge=0)
    """Steps of linear warm-up; a cosine decay to a twentieth follows."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay of the averaged weights, which are the ones that are kept."""
    drop_condition: float = Field(0.1, ge=0, le=1)
    """Chance of withholding vector and style, for classifier-free guidance."""
    checkpoint_seconds: float = Field(60.0, gt=0)
    """Time between two checkpoints."""
    mixed_precision: str = Field("no", pattern="^(no|fp16|bf16)$")
    """Of accelerate; "no" is fastest on a CPU."""


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes
    ----------
    target : Tensor, (B, channels, size, size)
        Clean samples, roughly of unit variance.
    weight : Tensor, (B, channels, size, size)
        Weight of every pixel in the loss, in [0, 1].
    condition : Condition
        For the same samples.
    """

    target: Tensor
    weight: Tensor
    condition: Condition


Progress = Callable[[int, int, float], None]
"""Called with (steps done, steps in all, running loss)."""


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Return the learning rate at `step` (0-based)."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    done = step / max(1, config.steps)
    cosine = 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi))))
    return config.learning_rate * warm * (0.05 + 0.95 * cosine)


Trained = TypeVar("Trained", bound=Network)


def train(
    model: Trained,
    batch_at: Callable[[int], Batch],
    config: TrainingConfig,
    *,
    seed: int,
    checkpoint: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Trained:
    """Train `model` and return it with the averaged weights, in eval mode.

    Every step draws from generators derived from `seed` and the step's number, so that a run that was
    interrupted and resumed gives the weights of one that was not.

    Parameters
    ----------
    model : Network
        Network to train, in place.
    batch_at : callable
        Gives the batch of a step, and the same one whenever it is asked again.
    config : TrainingConfig
        Steps, batch size, learning rate.
    seed : int
        Seed of timesteps and noise.
    checkpoint : Path, optional
        File to save the state to now and then, and to resume from if it is there.
    device : str
        Torch device.
    progress : callable, optional
        Called after every step.
    """
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=config.mixed_precision)
    model.to(accelerator.device)
    model.for_convolutions().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=1e-3)
    ema = EMAModel(model.parameters(), decay=config.ema, use_ema_warmup=True, power=0.75)
    start, running = checkpoints.load(checkpoint, model, optimizer, ema)
    model_, optimizer_ = accelerator.prepare(model, optimizer)
    schedule, saved = training_schedule(model.noise_shift), time.monotonic()
    for step in range(start, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        loss = _loss(model_, batch_at(step), schedule, step, seed, config, accelerator)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model_.parameters(), 1.0)
        optimizer_.step()
        optimizer_.zero_grad()
        ema.step(model.parameters())
        value = float(loss.detach())
        running = value if step == 0 else running + (value - running) / min(step + 1, 50)
        if checkpoint is not None and time.monotonic() - saved > config.checkpoint_seconds:
            checkpoints.save(checkpoint, model, optimizer, ema, step + 1, running)
            saved = time.monotonic()
        if progress is not None:
            progress(step + 1, config.steps, running)
    if checkpoint is not None:
        checkpoints.save(checkpoint, model, optimizer, ema, config.steps, running)
    ema.copy_to(model.parameters())
    return model.to("cpu").eval()


def _loss(
    model: torch.nn.Module,
    batch: Batch,
    schedule: DDPMScheduler,
    step: int,
    seed: int,
    config: TrainingConfig,
    accelerator: Accelerator,
) -> Tensor:
    """Weighted mean squared error of the predicted v."""
    generator = torch_generator(seed, "step", step)
    count = len(batch.target)
    noise = torch.randn(batch.target.shape, generator=generator)
    # One timestep per stratum: the loss of a small batch then varies less.
    strata = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    timestep = (strata * TRAIN_STEPS).long().clamp(0, TRAIN_STEPS - 1)
    dropped = torch.rand(count, generator=generator) < config.drop_condition
    device = accelerator.device
    target, noise, timestep = batch.target.to(device), noise.to(device), timestep.to(device)
    condition = batch.condition.to(device)
    noisy = schedule.add_noise(target, noise, timestep)
    velocity = schedule.get_velocity(target, noise, timestep)
    with accelerator.autocast():
        predicted = model(noisy, timestep, **condition.given(), dropped=dropped.to(device))
    weight = batch.weight.to(device)
    error = (predicted.float() - velocity).square() * weight
    return torch.sum(error) / weight.sum().clamp(min=1.0)
