"""Which volumes can be compared, and which of very many are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.types import AnnotatedImage

MAX_VOXELS = 48_000_000
MIN_SLICES = 5
MIN_SIDE = 16
MAX_SINGLE_SLICE = 0.5


def select_volumes(volumes: Iterable[AnnotatedImage], role: str) -> tuple[list[AnnotatedImage], int]:
    """Check and sort the volumes by name; of very many, keep evenly spaced ones (at most `MAX_VOXELS` voxels).

    Parameters
    ----------
    volumes : iterable of AnnotatedImage
        Stacks (Z, Y, X) with instance labels of every slice.
    role : str
        What the set is called in errors: "real", "synthetic", "training".

    Returns
    -------
    tuple
        The volumes kept, and the number given.

    Raises
    ------
    CytoCascadeError
        If there is no volume, or one is not 3D, too thin, of unknown voxel size, not finite, or annotated
        in single slices only.
    """
    given = sorted(volumes, key=lambda volume: volume.name)
    if not given:
        raise CytoCascadeError(f"The {role} set holds no volume.", hint="Give at least one annotated volume.")
    for volume in given:
        check_volume(volume, role)
    total = sum(volume.image.size for volume in given)
    if total > MAX_VOXELS and len(given) > 2:
        count = max(2, int(len(given) * MAX_VOXELS / total))
        places = np.linspace(0, len(given) - 1, count).round().astype(int)
        return [given[i] for i in places], len(given)
    return given, len(given)


def check_volume(volume: AnnotatedImage, role: str) -> None:
    """Refuse a volume that cannot be compared; see `select_volumes`."""
    what = f"{role} volume {volume.name!r}"
    if volume.image.ndim != 3:
        raise CytoCascadeError(
            f"The {role} image {volume.name!r} has {volume.image.ndim} axes, but volumes (Z, Y, X) are compared.",
            hint="Give volumes on both sides, or 2D images on both sides.",
        )
    if volume.image.shape != volume.labels.shape:
        raise CytoCascadeError(
            f"The {what} is {volume.image.shape}, its labels {volume.labels.shape}.",
            hint="Image and labels must have the same number of voxels.",
        )
    depth, *sides = volume.image.shape
    if depth < MIN_SLICES or min(sides) < MIN_SIDE:
        raise CytoCascadeError(
            f"The {what} is {volume.image.shape}; at least {MIN_SLICES} slices of {MIN_SIDE} x {MIN_SIDE} are needed.",
            hint="Give thicker stacks, or compare their slices as 2D images.",
        )
    if not volume.spacing_known:
        raise CytoCascadeError(
            f"The voxel size of the {what} is unknown; in 3D shapes cannot be compared without it.",
            hint="Give micrometres per voxel by --spacing z,y,x (for example 0.5,0.25,0.25).",
        )
    if abs(volume.spacing[1] / volume.spacing[2] - 1) > 0.05:
        raise CytoCascadeError(
            f"The voxels of the {what} are {volume.spacing[1]:g} x {volume.spacing[2]:g} um along y and x.",
            hint="Resample to square pixels; check the order of --spacing: z,y,x.",
        )
    if not np.isfinite(volume.image).all():
        raise CytoCascadeError(f"The {what} holds NaN or infinite values.", hint="Replace them before evaluating.")
    _check_annotation(volume, what, role)


def _check_annotation(volume: AnnotatedImage, what: str, role: str) -> None:
    boxes = [box for box in ndi.find_objects(volume.labels) if box is not None]
    flat = sum(box[0].stop - box[0].start == 1 for box in boxes)
    if boxes and flat > MAX_SINGLE_SLICE * len(boxes):
        raise CytoCascadeError(
            f"In the {what} {flat} of {len(boxes)} labels lie in one slice only: it seems to be annotated in single "
            "slices, not fully.",
            hint="Leave the training images out: copies are then searched for among the real ones."
            if role == "training"
            else "Evaluate fully annotated volumes; give every cell one label through all its slices.",
        )


def require_one_voxel_size(volumes: Iterable[AnnotatedImage], role: str) -> tuple[float, float, float]:
    """Return the voxel size (z, y, x) of a set in micrometres, and refuse a set with several."""
    sizes = {volume.spacing: volume.name for volume in volumes}
    first, *others = sizes
    for other in others:
        if any(abs(a / b - 1) > 0.01 for a, b in zip(first, other)):
            raise CytoCascadeError(
                f"The {role} volumes {sizes[first]!r} and {sizes[other]!r} have voxels of {first} and {other} um.",
                hint="All volumes of a set need one voxel size: resample them.",
            )
    z, y, x = first
    return z, y, x
