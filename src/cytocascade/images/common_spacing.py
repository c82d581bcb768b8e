"""One pixel size for all images of a data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from cytocascade.errors import CytoCascadeError

SPACING_TOLERANCE = 0.01
"""Relative difference up to which two pixel sizes are one."""


def check_given_spacing(spacing: Sequence[float], dim: int) -> None:
    """Refuse a spacing that has not `dim` positive values."""
    axes = "(z, y, x)" if dim == 3 else "(y, x)"
    if len(spacing) != dim:
        raise CytoCascadeError(
            f"spacing has {len(spacing)} values, {dim} are needed {axes}",
            hint="Give micrometres per pixel for every axis by --spacing.",
        )
    if not all(math.isfinite(size) and size > 0 for size in spacing):
        raise CytoCascadeError(
            f"spacing {tuple(spacing)} is not positive", hint="Give micrometres per pixel by --spacing."
        )


def common_spacing(stated: Sequence[tuple[Path, tuple[float, ...] | None]]) -> tuple[float, ...] | None:
    """Return the pixel size that all images state (the first one's), or None if none states any.

    Parameters
    ----------
    stated : sequence of (Path, tuple of float or None)
        The images' files, and micrometres per pixel along each axis where a file states them.

    Raises
    ------
    CytoCascadeError
        If sizes differ by more than `SPACING_TOLERANCE`, or only some files state one.
    """
    first_path, first = next(((path, sizes) for path, sizes in stated if sizes is not None), (None, None))
    if first_path is None or first is None:
        return None
    for path, sizes in stated:
        if sizes is None:
            states = "states no pixel size"
        elif any(abs(a - b) > SPACING_TOLERANCE * b for a, b in zip(sizes, first)):
            states = f"has pixels of {micrometres(sizes)}"
        else:
            continue
        raise CytoCascadeError(
            f"the image {states}, but {first_path.name} has pixels of {micrometres(first)}",
            path=path,
            hint="All images need one pixel size: resample them, or if they only say it wrongly, give the "
            "true one by --spacing.",
        )
    return first


def micrometres(spacing: Sequence[float]) -> str:
    """Return a pixel size as text."""
    return " x ".join(f"{size:g}" for size in spacing) + " um"
