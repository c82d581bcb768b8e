"""Textures of Stable Diffusion in a bundle: one file of safetensors, with its config in the metadata."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from cytocascade.errors import CytoCascadeError
from cytocascade.tensors import save_tensors
from cytocascade.textures.stable_diffusion.config import StableDiffusionConfig
from cytocascade.textures.stable_diffusion.loading import Prompt
from cytocascade.textures.stable_diffusion.painter import Runtime, StableDiffusionPainter


def save_painter(path: Path, painter: StableDiffusionPainter) -> None:
    """Write what was trained and the embedding of the empty prompt, in half precision."""
    write_trained(path, painter.config, painter.weights, painter.prompt)


def write_trained(path: Path, config: StableDiffusionConfig, weights: dict[str, Tensor], prompt: Prompt) -> None:
    """Write the parts of a painter; see `save_painter`."""
    tensors = {f"trained/{name}": value.to(torch.float16) for name, value in weights.items()}
    # A few kilobytes, and everything depends on it: in single precision.
    tensors["prompt/tokens"] = prompt.tokens.float()
    if prompt.pooled is not None:
        tensors["prompt/pooled"] = prompt.pooled.float()
    save_tensors(path, tensors, {"config": config.model_dump_json()})


def load_painter(path: Path, runtime: Runtime | None = None) -> StableDiffusionPainter:
    """Read what `save_painter` wrote.

    Raises
    ------
    CytoCascadeError
        If the file is damaged, or the base is nowhere.
    """
    try:
        with safe_open(path, framework="pt") as file:
            config = StableDiffusionConfig.model_validate_json((file.metadata() or {})["config"])
        tensors = load_file(path)
        prompt = Prompt(tensors["prompt/tokens"], tensors.get("prompt/pooled"))
    except (SafetensorError, KeyError, ValidationError) as error:
        raise CytoCascadeError(
            f"these are not textures of this version ({str(error).splitlines()[0]})",
            path=path,
            hint="Copy or fit the bundle again.",
        ) from error
    weights = {name.removeprefix("trained/"): v for name, v in tensors.items() if name.startswith("trained/")}
    return StableDiffusionPainter(config, weights, prompt, runtime)
