"""Reading textures of Stable Diffusion from a bundle."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion.config import StableDiffusionConfig
from cytocascade.textures.stable_diffusion.painter import StableDiffusionPainter
from cytocascade.textures.stable_diffusion.prompt import Prompt
from cytocascade.textures.stable_diffusion.runtime import Runtime


def load_painter(path: Path, runtime: Runtime | None = None) -> StableDiffusionPainter:
    """Read what `StableDiffusionPainter.save` wrote.

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
