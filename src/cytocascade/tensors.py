"""Tensors on disk, in safetensors, and the state of Adam among them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cytocascade.storage import write_atomically

ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors of any device to a file that everybody can read, atomically."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def write(temporary: Path) -> None:
        save_file(ready, temporary, metadata)
        # safetensors makes files that only their owner can read; a bundle is meant to be shared.
        temporary.chmod(0o644)

    write_atomically(path, write)


def adam_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of Adam for every parameter of a model, as ``adam/KIND/PARAMETER``."""
    return {
        f"adam/{key}/{name}": torch.as_tensor(value)
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_adam(file: Any, keys: Iterable[str], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put back what `adam_tensors` gave, from a file that `safetensors.safe_open` opened."""
    known = set(keys)
    for name, parameter in model.named_parameters():
        state = {
            key: file.get_tensor(f"adam/{key}/{name}").to("cpu" if key == "step" else parameter.device, copy=True)
            for key in ADAM_STATE
            if f"adam/{key}/{name}" in known
        }
        if state:
            optimizer.state[parameter] = state
