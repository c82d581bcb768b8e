"""Weights and training states on disk, in safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.training_utils import EMAModel
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.diffusion.network import Network
from cytocascade.errors import CytoCascadeError
from cytocascade.tensors import adam_tensors, restore_adam, save_tensors

Kind = TypeVar("Kind", bound=Network)


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMAModel | None, step: int, loss: float
) -> None:
    """Write everything that training needs to go on."""
    tensors: dict[str, torch.Tensor] = {f"model/{name}": parameter for name, parameter in model.named_parameters()}
    if ema is not None:
        tensors |= {f"ema/{name}": shadow for (name, _), shadow in zip(model.named_parameters(), ema.shadow_params)}
    tensors |= adam_tensors(model, optimizer)
    metadata = {"step": str(step), "loss": repr(loss), "ema_steps": str(0 if ema is None else ema.optimization_step)}
    save_tensors(path, tensors, metadata)


def load(
    path: Path | None, model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMAModel | None
) -> tuple[int, float]:
    """Restore a state written by `save`; return (steps done, running loss), (0, 0) if there is none.

    Raises
    ------
    CytoCascadeError
        If the file is damaged, or the state of another network.
    """
    if path is None or not path.exists():
        return 0, 0.0
    try:
        return _load(path, model, optimizer, ema)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CytoCascadeError(
            f"this is no training state of this network ({error})",
            path=path,
            hint="Remove the file, or start anew with --no-resume.",
        ) from error


def _load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMAModel | None) -> tuple[int, float]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        keys = set(file.keys())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(file.get_tensor(f"model/{name}"))
            if ema is not None:
                for (name, _), shadow in zip(model.named_parameters(), ema.shadow_params):
                    shadow.copy_(file.get_tensor(f"ema/{name}"))
        restore_adam(file, keys, model, optimizer)
    if ema is not None:
        ema.optimization_step = int(metadata["ema_steps"])
    return int(metadata["step"]), float(metadata["loss"])


def save_denoiser(path: Path, model: Network, *, half: bool = True) -> None:
    """Write a trained network, by default in half precision, with its config in the file's metadata."""
    dtype = torch.float16 if half else torch.float32
    tensors = {name: value.to(dtype) for name, value in model.state_dict().items()}
    save_tensors(path, tensors, {"config": model.config.model_dump_json()})


def load_denoiser(path: Path) -> Denoiser:
    """Read a `Denoiser`; see `load_network`."""
    return load_network(path, DenoiserConfig, Denoiser)


def load_network(path: Path, configuration: type[BaseModel], network: Callable[[Any], Kind]) -> Kind:
    """Read a network written by `save_denoiser`, in single precision and eval mode.

    Parameters
    ----------
    path : Path
        File of the weights.
    configuration : type
        Class of its config.
    network : callable
        Makes the network from its config.

    Raises
    ------
    CytoCascadeError
        If the file is missing, damaged, or not one of ours.
    """
    if not path.exists():
        raise CytoCascadeError("the weights are missing", path=path, hint="Copy the whole bundle folder.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
        model = network(configuration.model_validate(json.loads(metadata["config"])))
        model.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CytoCascadeError(
            f"these are not weights of this version ({error})",
            path=path,
            hint="Copy or fit the bundle again.",
        ) from error
    return model.for_convolutions().eval()
