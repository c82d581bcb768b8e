"""The one sampler of all diffusion stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from cytocascade.diffusion.network import Network
from cytocascade.diffusion.schedule import sampling_schedule
from cytocascade.seeding import torch_generator

CHUNK = 25
"""Samples that go through the network together. Part of what makes results repeatable: never derived
from the number of workers or the memory at hand."""

T = TypeVar("T")
R = TypeVar("R")


class Sampled(Protocol):
    """What knows the shape of its samples."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch."""
        ...


@dataclass(frozen=True)
class Condition:
    """What a batch of samples is conditioned on; every field is optional.

    Attributes
    ----------
    image : Tensor, (B, condition_channels, size, size)
        Condition image.
    scalars : Tensor, (B, scalars)
        Condition vector.
    style : Tensor of int, (B,)
        Data-set index.
    views : Tensor of int, (B, M)
        Views to predict, where a sample is several views; all by default.
    """

    image: Tensor | None = None
    scalars: Tensor | None = None
    style: Tensor | None = None
    views: Tensor | None = None

    def part(self, chosen: slice) -> Condition:
        """Return the condition of the samples in `chosen`."""
        return Condition(**{name: value[chosen] for name, value in self.given().items()})

    def to(self, device: torch.device) -> Condition:
        """Return the condition on `device`."""
        return Condition(**{name: value.to(device) for name, value in self.given().items()})

    def given(self) -> dict[str, Tensor]:
        """Return the fields that are given, under the names by which a `Network` takes them."""
        return {name: value for name, value in vars(self).items() if value is not None}


def starting_noise(model: Sampled, seeds: Sequence[int]) -> Tensor:
    """Return N(0, I) noise, (B, channels, size, size), each sample from its own seed."""
    shape = model.sample_shape
    return torch.stack([torch.randn(shape, generator=torch_generator(seed, "noise")) for seed in seeds])


@torch.inference_mode()
def sample(
    model: Network,
    noise: Tensor,
    condition: Condition | None = None,
    *,
    steps: int,
    guidance: float = 1.0,
    workers: int = 1,
    chunk: int = CHUNK,
) -> Tensor:
    """Turn noise into samples, deterministically.

    Parameters
    ----------
    model : Network
        Trained network, in eval mode.
    noise : Tensor, (B, channels, size, size)
        N(0, I), from `starting_noise`.
    condition : Condition, optional
        For the same B samples.
    steps : int
        Network evaluations per sample.
    guidance : float
        Classifier-free guidance scale (Ho & Salimans 2022); 1 is none and costs half of any other.
    workers : int
        Threads. On the CPU every chunk is computed by one thread, so the result does not depend on it.
    chunk : int
        Samples that go through the network together; part of what makes results repeatable.

    Returns
    -------
    Tensor, (B, channels, size, size), float32, on the CPU
    """
    condition = Condition() if condition is None else condition
    chunks = [slice(start, start + chunk) for start in range(0, len(noise), chunk)]

    def run(chosen: slice) -> Tensor:
        return _sample_chunk(model, noise[chosen], condition.part(chosen), steps, guidance)

    if not chunks:
        return noise
    if next(model.parameters()).device.type != "cpu":
        return torch.cat([run(part) for part in chunks])
    return torch.cat(map_single_threaded(run, chunks, workers))


def map_single_threaded(function: Callable[[T], R], items: Sequence[T], workers: int) -> list[R]:
    """Map `function` over `items` in `workers` threads, torch using one core in each.

    Torch's results can depend on how many cores share one operation; they do not depend on how many
    operations run side by side.
    """
    with single_threaded_torch():
        if workers <= 1 or len(items) <= 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(function, items))


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Let every torch operation inside the block run on one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _sample_chunk(model: Network, noise: Tensor, condition: Condition, steps: int, guidance: float) -> Tensor:
    # Inference mode is per thread, so it is entered again here.
    with torch.inference_mode():
        parameter = next(model.parameters())
        x = noise.to(parameter.device, torch.float32)
        condition = condition.to(parameter.device)
        scheduler = sampling_schedule(model.noise_shift)
        scheduler.set_timesteps(steps, device=parameter.device)
        withheld = torch.ones(len(x), dtype=torch.bool, device=x.device)
        for timestep in scheduler.timesteps:
            given = condition.given()
            velocity = model(x, timestep, **given) if guidance != 0.0 else model(x, timestep, **given, dropped=withheld)
            if guidance not in (0.0, 1.0):
                free = model(x, timestep, **given, dropped=withheld)
                velocity = free + guidance * (velocity - free)
            x = scheduler.step(velocity, timestep, x).prev_sample
        return x.float().cpu()
