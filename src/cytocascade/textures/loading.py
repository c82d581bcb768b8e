"""Textures of a bundle, whichever way they are painted."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from cytocascade.diffusion.checkpoints import load_denoiser
from cytocascade.textures.model import Textures, painter_of
from cytocascade.textures.stable_diffusion.runtime import Runtime


def save_textures(path: Path, textures: Textures) -> None:
    """Write what was trained, with its config in the file's metadata."""
    painter_of(textures).save(path)


def load_textures(path: Path, runtime: Runtime | None = None) -> Textures:
    """Read what `save_textures` wrote.

    Parameters
    ----------
    path : Path
        File of the bundle.
    runtime : Runtime, optional
        Where and how Stable Diffusion paints; without meaning for the compact network.

    Raises
    ------
    CytoCascadeError
        If the file is missing or damaged, or needs weights that are nowhere.
    """
    if not _needs_base(path):
        return load_denoiser(path)
    from cytocascade.textures.stable_diffusion.storage import load_painter

    return load_painter(path, runtime)


def _needs_base(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {}).get("config", "{}"))
    except (SafetensorError, OSError, ValueError):
        # `load_denoiser` tells what is wrong.
        return False
    return isinstance(found, dict) and found.get("backend") == "stable-diffusion"
