"""Weights and training states of a network on disk, in safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from cytocascade.errors import CytoCascadeError
from cytocascade.storage import write_atomically

ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


def save_weights(path: Path, net: nn.Module) -> None:
    """Write all parameters and buffers of a network."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    write_atomically(path, lambda temporary: _save(temporary, tensors, {}))


def load_weights(path: Path, net: nn.Module) -> None:
    """Put the weights that `save_weights` wrote into a network.

    Raises
    ------
    CytoCascadeError
        If the file is missing, damaged, or of another network.
    """
    try:
        net.load_state_dict(load_file(path))
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CytoCascadeError(
            f"the weights cannot be read ({str(error).splitlines()[0]})", path=path, hint="Train the segmenter anew."
        ) from error


def save_state(path: Path, net: nn.Module, optimizer: torch.optim.Optimizer, step: int, loss: float) -> None:
    """Write everything that a training needs to go on."""
    tensors = {f"net/{name}": tensor.detach() for name, tensor in net.state_dict().items()}
    for name, parameter in net.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"adam/{key}/{name}"] = torch.as_tensor(value)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, lambda temporary: _save(temporary, tensors, {"step": str(step), "loss": repr(loss)}))


def load_state(path: Path | None, net: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """Restore what `save_state` wrote; return (steps done, running loss), (0, 0) if there is nothing.

    Raises
    ------
    CytoCascadeError
        If the file is damaged, or the state of another network.
    """
    if path is None or not path.exists():
        return 0, 0.0
    try:
        with safe_open(path, framework="pt") as file:
            keys, metadata = set(file.keys()), file.metadata()
            net.load_state_dict({name: file.get_tensor(f"net/{name}") for name in net.state_dict()})
            for name, parameter in net.named_parameters():
                state: dict[str, Any] = {
                    key: file.get_tensor(f"adam/{key}/{name}").to("cpu" if key == "step" else parameter.device)
                    for key in ADAM_STATE
                    if f"adam/{key}/{name}" in keys
                }
                if state:
                    optimizer.state[parameter] = state
            return int(metadata["step"]), float(metadata["loss"])
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CytoCascadeError(
            f"this is no training state of this network ({str(error).splitlines()[0]})",
            path=path,
            hint="Remove the file to start this training anew.",
        ) from error


def _save(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    save_file(tensors, path, metadata)
    # safetensors makes files that only their owner can read.
    path.chmod(0o644)
