from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.diffusion.sampling import Condition
from cytocascade.diffusion.training import Batch
from cytocascade.seeding import torch_generator

MakeDenoiser = Callable[..., Denoiser]


@pytest.fixture
def make_denoiser(tiny_config: DenoiserConfig) -> MakeDenoiser:
    def make(seed: int = 0, **changes: object) -> Denoiser:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Denoiser(DenoiserConfig(**{**tiny_config.model_dump(), **changes}))
        return model.to(memory_format=torch.channels_last).eval()

    return make


@pytest.fixture
def blob_batches() -> Callable[[int], Batch]:
    """Batches of 16 x 16 discs, bright inside, that differ in their radius."""
    axis = torch.arange(16) - 7.5
    distance = (axis[:, None] ** 2 + axis[None] ** 2).sqrt()

    def batch_at(step: int) -> Batch:
        radius = 4 + 2 * torch.rand((8, 1, 1, 1), generator=torch_generator(5, step))
        target = (radius - distance).clamp(-1, 1)
        return Batch(target, torch.ones_like(target), Condition(None, (radius[:, :, 0, 0] - 5), None))

    return batch_at
