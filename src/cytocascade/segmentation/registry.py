"""The kinds of segmenter, by name."""

from __future__ import annotations

import json
from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.segmentation.base import Method, Segmenter
from cytocascade.segmentation.cellpose import SETTINGS_FILE, Cellpose
from cytocascade.storage import hash_files

METHODS: dict[str, Method] = {Cellpose.name: Cellpose()}
"""Add a kind of segmenter here."""


def method_named(name: str) -> Method:
    """Return a kind of segmenter, or raise `CytoCascadeError` that lists the known ones."""
    if name not in METHODS:
        raise CytoCascadeError(f"there is no segmenter {name!r}", hint=f"Choose one of: {', '.join(METHODS)}.")
    return METHODS[name]


def load_segmenter(folder: Path, *, device: str = "cpu") -> Segmenter:
    """Return a trained segmenter from its folder.

    Raises
    ------
    CytoCascadeError
        If the folder holds no segmenter, or a damaged one.
    """
    file = folder / SETTINGS_FILE
    try:
        name = str(json.loads(file.read_bytes())["method"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CytoCascadeError(
            "no trained segmenter is here", path=folder, hint="Give the folder that `cytocascade benefit --keep` wrote."
        ) from error
    if name not in METHODS:
        raise CytoCascadeError(
            f"the segmenter is of the kind {name!r}, which is not known here",
            path=file,
            hint=f"Known are: {', '.join(METHODS)}. A newer version of CytoCascade may know more.",
        )
    return METHODS[name].load(folder, device=device)


def segmenter_hash(folder: Path) -> str:
    """Return the SHA-256 (hex) of a kept segmenter: of its settings and weights."""
    return hash_files(folder, [file for file in folder.iterdir() if file.suffix in (".json", ".safetensors")])
