"""How a cascade is fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import ConfigDict, Field

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
