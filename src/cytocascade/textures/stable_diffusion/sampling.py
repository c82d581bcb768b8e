"""Samplers of Stable Diffusion: noise to sample, deterministically."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, LCMScheduler
from torch import Tensor

from cytocascade.textures.stable_diffusion.config import Sampling

Predict = Callable[[Tensor, Tensor, bool], Tensor]
"""Called with (sample, timestep, whether the hint is shown)."""

_GUIDANCE_OF_LCM = 8.0


def scheduler_for(sampling: Sampling, schedule: dict[str, Any], device: torch.device) -> Any:
    """Return the diffusers scheduler of a sampler, with its timesteps set."""
    # Not all schedulers know all fields of a schedule.
    known = {name: value for name, value in schedule.items() if name != "clip_sample"}
    scheduler: Any
    if sampling.sampler == "ddim":
        scheduler = DDIMScheduler.from_config({**known, "clip_sample": False, "timestep_spacing": "leading"})
    elif sampling.sampler == "dpm++":
        scheduler = DPMSolverMultistepScheduler.from_config(
            {**known, "algorithm_type": "dpmsolver++", "solver_order": 2, "timestep_spacing": "trailing"}
        )
    else:
        scheduler = LCMScheduler.from_config(known)
    scheduler.set_timesteps(sampling.steps, device=device)
    return scheduler


def run_sampler(noise: Tensor, predict: Predict, sampling: Sampling, schedule: dict[str, Any]) -> Tensor:
    """Return the sample that becomes of `noise`.

    Parameters
    ----------
    noise : Tensor, (B, channels, size, size)
        N(0, I).
    predict : callable
        See `Predict`.
    sampling : Sampling
        Sampler, steps, guidance.
    schedule : dict
        Noise schedule of the base.

    Returns
    -------
    Tensor, (B, channels, size, size), float32
        A function of `noise` alone, also for LCM: where that sampler adds new noise, the starting noise is added again,
        rolled by a fraction of its side. So slices whose noise is alike stay alike.
    """
    scheduler = scheduler_for(sampling, schedule, noise.device)
    x = noise * scheduler.init_noise_sigma
    timesteps = scheduler.timesteps
    for number, timestep in enumerate(timesteps):
        predicted = predict(x, timestep, True)
        if sampling.guidance != 1.0 and sampling.sampler != "lcm":
            free = predict(x, timestep, False)
            predicted = free + sampling.guidance * (predicted - free)
        if sampling.sampler != "lcm":
            x = scheduler.step(predicted, timestep, x, return_dict=False)[0]
            continue
        x = scheduler.step(predicted, timestep, x, generator=torch.Generator(x.device).manual_seed(0)).denoised
        if number + 1 < len(timesteps):
            x = scheduler.add_noise(x, _rolled(noise, number + 1), timesteps[number + 1].expand(len(x)))
    done: Tensor = x.float()
    return done


def _rolled(noise: Tensor, number: int) -> Tensor:
    """Return noise that is N(0, I) and hardly correlated with `noise` at any pixel."""
    side = noise.shape[-1]
    shift = (round(side * 0.382 * number) % side, round(side * 0.618 * number) % side)
    return noise.roll(shift, dims=(-2, -1)).flip(1)


def guidance_embedding(guidance: float, width: int, like: Tensor) -> Tensor:
    """Return the sinusoidal embedding of the guidance that LCM's UNet takes, (B, width) (Luo et al. 2023)."""
    strength = torch.full((len(like),), 1000.0 * (guidance - 1.0), device=like.device)
    half = width // 2
    rates = torch.exp(torch.arange(half, device=like.device) * (-torch.log(torch.tensor(10000.0)) / (half - 1)))
    angles = strength[:, None] * rates[None]
    embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
    padded: Tensor = torch.nn.functional.pad(embedding, (0, width - 2 * half))
    return padded.to(like.dtype)


def lcm_guidance(sampling: Sampling) -> float:
    """Return the guidance that LCM's UNet is told: that asked for, or the one usual for LCM."""
    return sampling.guidance if sampling.guidance > 1.0 else _GUIDANCE_OF_LCM
