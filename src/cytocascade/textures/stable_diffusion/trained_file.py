"""Textures of Stable Diffusion in a bundle: one file of safetensors, with its config in the metadata."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cytocascade.tensors import save_tensors
from cytocascade.textures.stable_diffusion.config import StableDiffusionConfig
from cytocascade.textures.stable_diffusion.prompt import Prompt


def write_trained(path: Path, config: StableDiffusionConfig, weights: dict[str, Tensor], prompt: Prompt) -> None:
    """Write what was trained, in half precision, and the embedding of the empty prompt.

    Parameters
    ----------
    path : Path
        File of the bundle.
    config : StableDiffusionConfig
        Goes into the metadata.
    weights : dict of str to Tensor
        From `networks.kept_weights`.
    prompt : Prompt
        Embedding of the empty prompt.
    """
    tensors = {f"trained/{name}": value.to(torch.float16) for name, value in weights.items()}
    # A few kilobytes, and everything depends on it: in single precision.
    tensors["prompt/tokens"] = prompt.tokens.float()
    if prompt.pooled is not None:
        tensors["prompt/pooled"] = prompt.pooled.float()
    save_tensors(path, tensors, {"config": config.model_dump_json()})
