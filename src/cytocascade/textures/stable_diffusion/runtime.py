"""Where and how Stable Diffusion paints."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Runtime:
    """Where and how textures are painted; no part of the bundle.

    Attributes
    ----------
    base : str, optional
        Where the base lies: folder, file, or a folder in which it lies under its name.
    device : str
        Torch device; ``auto`` is the GPU if there is one.
    compiled : bool
        Whether `torch.compile` makes the networks faster; worth its minutes for large data sets on a GPU.
    lcm_lora : str, optional
        LoRA that makes the base sample in a few steps (Luo et al. 2023): folder, file or hub id.
    """

    base: str | None = None
    device: str = "auto"
    compiled: bool = False
    lcm_lora: str | None = None

    def chosen_device(self) -> torch.device:
        """Return the torch device."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)
