"""Fine-tuning a UNet with its ControlNet: resumable, repeatable, on one device or several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn import functional

from cytocascade.diffusion import checkpoints
from cytocascade.diffusion.training import Batch, Progress
from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import torch_generator
from cytocascade.textures.model import from_network
from cytocascade.textures.stable_diffusion.config import StableDiffusionOptions
from cytocascade.textures.stable_diffusion.light import hint_picture, to_channels, to_picture
from cytocascade.textures.stable_diffusion.networks import ControlledUNet
from cytocascade.textures.stable_diffusion.painter import HINT_SCALE
from cytocascade.textures.stable_diffusion.task import Task

WEIGHT_DECAY = 1e-2
"""Of AdamW, as torch's default."""


class TrainedPart(nn.Module):
    """Those parameters of networks that are trained, under the names that they have there."""

    def __init__(self, networks: ControlledUNet) -> None:
        super().__init__()
        self._networks = [networks]

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield name and value of the trained parameters."""
        return self._networks[0].trained()


def chosen_precision(options: StableDiffusionOptions, device: str) -> str:
    """Return the mixed precision for a device: ``no``, ``bf16`` or ``fp16``."""
    if options.precision != "auto":
        return options.precision
    if torch.device(device).type != "cuda":
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def train_networks(
    task: Task,
    options: StableDiffusionOptions,
    *,
    steps: int,
    seed: int,
    checkpoint: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> bool:
    """Train networks in place; the averaged weights are left in them, on the CPU.

    Every step derives its batches, timesteps and noise from its number, the batch's and the device's, so that a run
    that was interrupted and resumed gives the weights of one that was not.

    Parameters
    ----------
    task : Task
        Networks and data.
    options : StableDiffusionOptions
        Batch, learning rate, precision.
    steps : int
        Optimiser steps.
    seed : int
        Seed of timesteps and noise.
    checkpoint : Path, optional
        File to save the state to now and then, and to resume from if it is there.
    device : str
        ``cpu`` or ``cuda``.
    progress : callable, optional
        Called after every step with (steps done, steps in all, running loss), by the first process.

    Returns
    -------
    bool
        Whether this is the first process: the one that saves.
    """
    accelerator = _accelerator(options, device)
    networks = task.networks
    prepare_for_training(networks, options, chosen_precision(options, device))
    networks.to(accelerator.device)
    if task.vae is not None:
        task.vae.to(accelerator.device).requires_grad_(False)
    part = TrainedPart(networks)
    weights = [value for _, value in networks.trained()]
    optimizer = torch.optim.AdamW(weights, lr=options.learning_rate, weight_decay=WEIGHT_DECAY)
    ema = EMAModel(weights, decay=options.ema, use_ema_warmup=True, power=0.75) if options.ema else None
    start, running = checkpoints.load(checkpoint, part, optimizer, ema)
    model, optimizer_ = accelerator.prepare(networks, optimizer)
    saved = time.monotonic()
    for step in range(start, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, options)
        value = _one_step(task, model, accelerator, options, step, seed)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(weights, 1.0)
        optimizer_.step()
        optimizer_.zero_grad()
        if ema is not None:
            ema.step(weights)
        running = value if step == 0 else running + (value - running) / min(step + 1, 50)
        _refuse_nan(running, options)
        due = time.monotonic() - saved > options.checkpoint_seconds or step + 1 == steps
        if checkpoint is not None and due and accelerator.is_main_process:
            checkpoints.save(checkpoint, part, optimizer, ema, step + 1, running)
            saved = time.monotonic()
        if progress is not None and accelerator.is_main_process:
            progress(step + 1, steps, running)
    accelerator.wait_for_everyone()
    if ema is not None:
        ema.copy_to(weights)
    networks.to("cpu").eval()
    first = bool(accelerator.is_main_process)
    AcceleratorState._reset_state()
    return first


def learning_rate(step: int, steps: int, options: StableDiffusionOptions) -> float:
    """Return the learning rate at `step` (0-based): constant after a linear warm-up."""
    warmup = min(options.warmup, steps // 10)
    return options.learning_rate * min(1.0, (step + 1) / max(1, warmup))


def seconds_per_step(task: Task, options: StableDiffusionOptions, device: str) -> float:
    """Return how long an optimiser step takes, from a forward and backward pass of one batch; nothing is changed."""
    accelerator = _accelerator(options, device)
    prepare_for_training(task.networks, options, chosen_precision(options, device))
    task.networks.to(accelerator.device)
    if task.vae is not None:
        task.vae.to(accelerator.device).requires_grad_(False)
    times = []
    for number in range(2):
        begun = time.monotonic()
        float(_loss(task, task.networks, accelerator, number, (0, "speed", number)).detach())
        loss = _loss(task, task.networks, accelerator, number, (0, "speed", number))
        loss.backward()  # type: ignore[no-untyped-call]
        task.networks.zero_grad(set_to_none=True)
        times.append(time.monotonic() - begun)
    AcceleratorState._reset_state()
    # The pass that was made twice stands for the optimiser.
    return options.accumulation * min(times)


def prepare_for_training(networks: ControlledUNet, options: StableDiffusionOptions, precision: str) -> None:
    """Set gradient checkpointing, and hold in half precision what is not trained."""
    networks.train()
    if options.checkpointing:
        networks.unet.enable_gradient_checkpointing()
        networks.controlnet.enable_gradient_checkpointing()
    if precision != "no":
        half = torch.bfloat16 if precision == "bf16" else torch.float16
        for value in networks.parameters():
            if not value.requires_grad:
                value.data = value.data.to(half)


def _accelerator(options: StableDiffusionOptions, device: str) -> Accelerator:
    # Accelerate keeps one precision per process, but the compact networks are trained with another; so it is made to
    # forget it before and after.
    AcceleratorState._reset_state()
    return Accelerator(cpu=device == "cpu", mixed_precision=chosen_precision(options, device))


def _one_step(
    task: Task, model: nn.Module, accelerator: Accelerator, options: StableDiffusionOptions, step: int, seed: int
) -> float:
    """Add up the gradients of the batches of one step; return their mean loss."""
    total = 0.0
    for micro in range(options.accumulation):
        number = (step * options.accumulation + micro) * accelerator.num_processes + accelerator.process_index
        last = micro + 1 == options.accumulation
        waiting: AbstractContextManager[Any] = nullcontext() if last else accelerator.no_sync(model)
        with waiting:
            loss = _loss(task, model, accelerator, number, (seed, "step", number))
            accelerator.backward(loss / options.accumulation)
        total += float(loss.detach()) / options.accumulation
    return total


def _loss(task: Task, model: nn.Module, accelerator: Accelerator, number: int, keys: tuple[int, str, int]) -> Tensor:
    """Weighted mean squared error of the predicted noise or v."""
    batch, device, config = task.batch_at(number), accelerator.device, task.config
    scheduler = DDPMScheduler.from_config({**config.schedule, "clip_sample": False})
    target, weight = targets(task, batch, device)
    generator = torch_generator(*keys)
    count = len(target)
    noise = torch.randn(target.shape, generator=generator).to(device)
    # One timestep per stratum: the loss of a small batch then varies less.
    strata = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    last = scheduler.config.num_train_timesteps - 1
    timestep = (strata * (last + 1)).long().clamp(0, last).to(device)
    condition = batch.condition.to(device)
    assert condition.image is not None
    assert condition.scalars is not None
    hint = hint_picture(condition.image, condition.scalars, HINT_SCALE * config.latent_size, config.hint)
    noisy = scheduler.add_noise(target, noise, timestep)
    is_epsilon = config.schedule["prediction_type"] == "epsilon"
    wanted = noise if is_epsilon else scheduler.get_velocity(target, noise, timestep)
    pooled = None if task.prompt.pooled is None else task.prompt.pooled.to(device)
    with accelerator.autocast():
        predicted = model(noisy, timestep, hint, task.prompt.tokens.to(device), pooled)
    error = (predicted.float() - wanted).square() * weight
    return torch.sum(error) / weight.sum().clamp(min=1.0)


def targets(task: Task, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return clean samples as the UNet knows them, and the weight of every value, both (B, channels, size, size)."""
    config = task.config
    signal = from_network(batch.target.to(device), task.modality)
    weight = batch.weight.to(device)
    if task.vae is None:
        target = to_channels(signal, task.modality, config.latent_channels)
    else:
        factor = 2 ** (len(task.vae.config.block_out_channels) - 1)
        picture = to_picture(signal, task.modality, factor * config.latent_size)
        with torch.no_grad():
            # The middle of the distribution, not a draw from it: noise is added to it anyway.
            target = task.vae.encode(picture).latent_dist.mode() * task.vae.config.scaling_factor
        weight = functional.adaptive_avg_pool2d(weight, config.latent_size)
    return target, weight.expand_as(target)


def _refuse_nan(loss: float, options: StableDiffusionOptions) -> None:
    if loss != loss:
        raise CytoCascadeError(
            "the training has diverged: its loss is no number",
            hint=f"Lower the learning rate ({options.learning_rate:g}), or use --sd-precision bf16 or no.",
        )
