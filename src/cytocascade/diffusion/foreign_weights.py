"""Weights that other programs wrote: safetensors are read, pickles are refused with the command that converts them."""

from __future__ import annotations

import shlex
from pathlib import Path

from cytocascade.errors import CytoCascadeError

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""Suffixes of files that can run any code when they are opened."""

_CONVERT = (
    "import sys, torch, safetensors.torch as s; w = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    "w = w.get('state_dict', w); "
    "s.save_file({k: v.clone().contiguous() for k, v in w.items() if torch.is_tensor(v)}, sys.argv[2])"
)


def conversion_command(path: Path) -> str:
    """Return the shell command that writes the weights of a pickle beside it as safetensors.

    It lets torch read tensors only (``weights_only``), so that it does not run what else the file may hold.
    """
    return f'python -c "{_CONVERT}" {shlex.quote(str(path))} {shlex.quote(str(path.with_suffix(".safetensors")))}'


def refuse_pickle(path: Path) -> None:
    """Raise `CytoCascadeError` with the conversion command if `path` is named as a pickle is."""
    if path.suffix.lower() in PICKLES:
        raise CytoCascadeError(
            f"{path.suffix} files are pickles, which can run any code when they are opened",
            path=path,
            hint=f"If you trust it, convert it, and give the safetensors instead:\n{conversion_command(path)}",
        )


def weight_file(folder: Path, stem: str = "diffusion_pytorch_model") -> Path:
    """Return the weights of one part of a diffusers folder.

    Parameters
    ----------
    folder : Path
        For example ``PIPELINE/unet``.
    stem : str
        Name that diffusers gives them.

    Raises
    ------
    CytoCascadeError
        If there are none, or only pickles of them; the error holds the command that converts those.
    """
    file = folder / f"{stem}.safetensors"
    if file.is_file():
        return file
    for pickle in (folder / f"{stem}{suffix}" for suffix in PICKLES):
        if pickle.is_file():
            refuse_pickle(pickle)
    raise CytoCascadeError(
        f"the weights are missing: {file.name}",
        path=folder,
        hint="Copy the whole folder. If the name has a variant (fp16), or there are several parts, load the folder "
        "with diffusers and save it with save_pretrained(FOLDER, safe_serialization=True).",
    )
