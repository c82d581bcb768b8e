"""Weights and training states of a network on disk, in safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from cytocascade.errors import CytoCascadeError
from cytocascade.tensors import adam_tensors, restore_adam, save_tensors


def save_weights(path: Path, net: nn.Module) -> None:
    """Write all parameters and buffers of a network."""
    save_tensors(path, net.state_dict())


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
            f"the weights cannot be read ({_first_line(error)})", path=path, hint="Train the segmenter anew."
        ) from error


def save_state(
    path: Path, net: nn.Module, optimizer: torch.optim.Optimizer, step: int, loss: float, *, key: str = ""
) -> None:
    """Write everything that a training needs to go on.

    Parameters
    ----------
    path : Path
        File, replaced atomically.
    net, optimizer : torch.nn.Module, torch.optim.Optimizer
        Of the training.
    step : int
        Steps done.
    loss : float
        Running loss.
    key : str
        Names the training: what it learns from, and how.
    """
    tensors = {f"net/{name}": tensor for name, tensor in net.state_dict().items()}
    metadata = {"step": str(step), "loss": repr(loss), "key": key}
    save_tensors(path, tensors | adam_tensors(net, optimizer), metadata)


def load_state(
    path: Path | None, net: nn.Module, optimizer: torch.optim.Optimizer, *, key: str = ""
) -> tuple[int, float]:
    """Restore what `save_state` wrote; return (steps done, running loss).

    (0, 0) if there is nothing, or the state of another training (`key`): that one would not lead to the wished
    result, so the training begins at the start.

    Raises
    ------
    CytoCascadeError
        If the file is damaged, or the state of another network.
    """
    if path is None or not path.exists():
        return 0, 0.0
    try:
        with safe_open(path, framework="pt") as file:
            keys, metadata = set(file.keys()), file.metadata() or {}
            if metadata.get("key") != key:
                return 0, 0.0
            net.load_state_dict({name: file.get_tensor(f"net/{name}") for name in net.state_dict()})
            restore_adam(file, keys, net, optimizer)
            return int(metadata["step"]), float(metadata["loss"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CytoCascadeError(
            f"this is no training state of this network ({_first_line(error)})",
            path=path,
            hint="Remove the file to start this training anew.",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
