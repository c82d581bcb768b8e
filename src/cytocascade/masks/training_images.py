"""Pictures of the annotated cells' masks, for diffusers' own training script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cytocascade import __version__
from cytocascade.errors import CytoCascadeError
from cytocascade.images.augment import apply_warp, draw_warp
from cytocascade.images.cells import CROP_MARGIN, CROP_SIZE, SingleCells
from cytocascade.masks.mask_images import to_picture
from cytocascade.seeding import torch_generator
from cytocascade.storage import directory_written_whole, write_json
from cytocascade.types import Array

PICTURES, SETTINGS = "images", "crops.json"
"""What is in the folder: the pictures, and how they were made."""


@dataclass(frozen=True)
class TrainingImages:
    """What was written.

    Attributes
    ----------
    folder : Path
        Folder of the pictures, for ``--train_data_dir``.
    count : int
        Number of pictures.
    size : int
        Their height and width in pixels.
    spacing : float
        Micrometres per pixel of them, for ``--mask-spacing``.
    """

    folder: Path
    count: int
    size: int
    spacing: float


def write_training_images(
    cells: SingleCells, out: Path, *, size: int = CROP_SIZE, copies: int = 1, seed: int = 0, overwrite: bool = False
) -> TrainingImages:
    """Write one or several PNG of every cell's mask: grey, 8 bit, white on black, with soft edges.

    Parameters
    ----------
    cells : SingleCells
        Annotated cells at the canonical scale.
    out : Path
        Folder to write; the pictures lie in ``images``, and ``crops.json`` says how they were made.
    size : int
        Height and width of the pictures, ``--resolution`` of the script.
    copies : int
        Pictures per cell. The first shows it as it lies in its image, the others turned, mirrored, slightly bent and
        scaled: the script itself only mirrors.
    seed : int
        Seed of these deformations.
    overwrite : bool
        Whether `out` may be replaced.

    Raises
    ------
    CytoCascadeError
        If `out` exists, or pictures of this size are too small.
    """
    if size < 16 or size % 8:
        raise CytoCascadeError(
            f"pictures of {size} pixels suit no such network", hint="Give 64, 128 or 256, at least a multiple of 8."
        )
    if out.exists() and not overwrite:
        raise CytoCascadeError("exists already", path=out, hint="Choose another --out, or replace it with --overwrite.")
    spacing = cells.crop_spacing * CROP_SIZE / size
    with directory_written_whole(out) as temporary:
        (temporary / PICTURES).mkdir()
        for number in range(len(cells)):
            for copy, pixels in enumerate(_pictures(cells, number, size, copies, seed)):
                Image.fromarray(pixels).save(temporary / PICTURES / f"{number:06d}_{copy:03d}.png", optimize=True)
        settings = {
            "version": __version__,
            "cells": len(cells),
            "images": [entry.name for entry in cells.calibration],
            "copies": copies,
            "seed": seed,
            "size": size,
            "spacing": spacing,
        }
        write_json(temporary / SETTINGS, settings)
    return TrainingImages(out / PICTURES, len(cells) * copies, size, spacing)


def _pictures(cells: SingleCells, number: int, size: int, copies: int, seed: int) -> Array:
    """Return the pictures of one cell, (copies, size, size) uint8."""
    crop = torch.as_tensor(cells.distance[number])[None, None]
    inner = slice(CROP_MARGIN, CROP_MARGIN + CROP_SIZE)
    found = [crop[:, :, inner, inner]]
    if copies > 1:
        warp = draw_warp(copies - 1, torch_generator(seed, "training images", number), zoom=0.05, bend=0.5)
        turned = apply_warp(crop.expand(copies - 1, -1, -1, -1), warp, CROP_SIZE)
        found.append(turned * warp.zoom[:, None, None, None])
    grey = (to_picture(torch.cat(found), size)[:, 0] + 1) / 2
    return np.asarray((grey * 255).round().numpy(), dtype=np.uint8)
