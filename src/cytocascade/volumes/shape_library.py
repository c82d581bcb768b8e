"""Shapes by themselves: masks of cells in, meshes, volumes and a bank of surfaces out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage as ndi

from cytocascade.bundle import Bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import CROP_SIZE, signed_distance
from cytocascade.images.features import cut_by_frame
from cytocascade.images.pairing import image_files, stem
from cytocascade.images.readers import read_image, read_mask
from cytocascade.masks.drawing import draw_masks
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.shapes.canonical import feret_diameter
from cytocascade.shapes.sampling import VIEW_STEPS, draw_ratios
from cytocascade.shapes.statistics import Kind
from cytocascade.shapes.surfaces import ShapePrior, make_surfaces
from cytocascade.types import Array, CellSurface, FloatArray
from cytocascade.volumes.shape_files import MadeShape, write_surfaces

LARGEST = CROP_SIZE - 12
"""Canonical pixels that the largest extent of a mask is scaled to."""

SMALLEST = 12
"""Fewest pixels of a mask that is given a shape."""

GROUP = 20
"""Cells whose shapes are made together."""


class ShapeOptions(BaseModel):
    """What shapes to make."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prior: ShapePrior = "multiview"
    """How surfaces are made."""
    per_mask: int = Field(1, ge=1)
    """Different shapes for every mask."""
    kind: Kind = "nucleus"
    """What the masks are of."""
    axial_ratio: float | None = Field(None, gt=0.05, lt=3)
    """Height over width; by default drawn from the bundle's statistics."""
    steps: int = Field(VIEW_STEPS, ge=2)
    """Network evaluations per cell."""
    formats: tuple[str, ...] = ("ply", "tif")
    """Files per shape."""
    voxel: tuple[float, float, float] | None = None
    """Micrometres per voxel of the volumes, (z, y, x); by default cubes of the size of the masks' pixels."""


@dataclass(frozen=True)
class ShapeMask:
    """One cell seen along z.

    Attributes
    ----------
    name : str
        Where it is from.
    distance : ndarray, (64, 64) float32
        Signed distance to the outline in pixels of the crop, positive inside.
    spacing : float
        Micrometres per pixel of the crop.
    pixel : float
        Micrometres per pixel of the image that it is from.
    """

    name: str
    distance: FloatArray
    spacing: float
    pixel: float


def read_shape_masks(path: Path, spacing: tuple[float, ...] | None = None) -> list[ShapeMask]:
    """Read the cells of label images, those cut by the frame and tiny ones left out.

    Parameters
    ----------
    path : Path
        A label image (Y, X), or a folder of them.
    spacing : tuple of float, optional
        Micrometres per pixel (y, x), where the files do not tell.

    Raises
    ------
    CytoCascadeError
        If there is no file, a file is no label image, its pixel size is unknown, or no whole cell is left.
    """
    if not path.exists():
        raise CytoCascadeError("there is no such file or folder", path=path)
    files = [path] if path.is_file() else image_files(path)
    if not files:
        raise CytoCascadeError("the folder holds no images", path=path, hint="Give a folder of label images.")
    stems = [stem(file) for file in files]
    twice = next((file for file in files if stems.count(stem(file)) > 1), None)
    if twice is not None:
        raise CytoCascadeError(
            "another label image has the same name, so their shapes could not be told apart",
            path=twice,
            hint="Rename one of them.",
        )
    masks = [mask for file in files for mask in _read(file, spacing)]
    if not masks:
        raise CytoCascadeError(
            f"no cell lies whole in the images and has at least {SMALLEST} pixels",
            path=path,
            hint="Masks need values above 0 where cells are.",
        )
    return masks


def _read(file: Path, spacing: tuple[float, ...] | None) -> Iterator[ShapeMask]:
    labels = read_mask(file)
    if labels.ndim != 2:
        raise CytoCascadeError(
            f"the mask has {labels.ndim} axes; shapes are made from cells seen along z",
            path=file,
            hint="Give (Y, X) label images.",
        )
    known = spacing or read_image(file)[1]
    if known is None:
        raise CytoCascadeError(
            "the image does not state its pixel size", path=file, hint="Give micrometres per pixel by --spacing."
        )
    y, x = known[-2:]
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None or cut_by_frame(box, labels.shape):
            continue
        mask = labels[box] == label
        if mask.sum() >= SMALLEST:
            yield _shape_mask(f"{stem(file)}_{label:04d}", mask, (float(y), float(x)))


def _shape_mask(name: str, mask: Array, spacing: tuple[float, float]) -> ShapeMask:
    pad = 4
    padded = np.pad(mask, pad)
    distance = signed_distance(padded, spacing)
    step = feret_diameter(np.argwhere(mask) * np.asarray(spacing) / min(spacing)) * min(spacing) / LARGEST
    axis = np.arange(CROP_SIZE) - (CROP_SIZE - 1) / 2
    where = np.stack(np.meshgrid(*[axis * step / size for size in spacing], indexing="ij"))
    where += ((np.asarray(padded.shape) - 1) / 2)[:, None, None]
    # Beyond the box the distance goes on as it falls at its border.
    inside = np.clip(where, 0, (np.asarray(padded.shape) - 1)[:, None, None])
    beyond = np.sqrt((((where - inside) * np.asarray(spacing)[:, None, None]) ** 2).sum(axis=0))
    crop = ndi.map_coordinates(distance, inside, order=1) - beyond
    return ShapeMask(name, np.asarray(crop / step, dtype=np.float32), float(step), float(min(spacing)))


def draw_shape_masks(bundle: Bundle, count: int, seed: int, *, workers: int = 1) -> list[ShapeMask]:
    """Draw the masks of new cells from a bundle."""
    config = bundle.config
    area = bundle.volume.area_factor if bundle.volume is not None else 1.0
    descriptors = bundle.cells.draw(count, numpy_generator(seed, "shapes", "cells"), area_scale=area)
    seeds = [derive_seed(seed, "shapes", "mask", number) for number in range(count)]
    masks = draw_masks(bundle.masks, seeds, descriptors[:, :3], style=config.style, workers=workers)
    spacing = config.crop_spacing
    return [
        ShapeMask(f"cell_{number:06d}", one, spacing, float(config.spacing[-1]))
        for number, one in enumerate(masks.distance)
    ]


def make_shapes(
    bundle: Bundle,
    masks: Sequence[ShapeMask],
    options: ShapeOptions | None = None,
    *,
    seed: int = 0,
    workers: int = 1,
) -> Iterator[tuple[str, CellSurface]]:
    """Make surfaces for masks, one after the other.

    Parameters
    ----------
    bundle : Bundle
        A bundle for volumes.
    masks : sequence of ShapeMask
        Cells seen along z.
    options : ShapeOptions, optional
        What to make.
    seed : int
        A shape depends on it, on the bundle, on the mask, and on the position of the mask.
    workers : int
        Threads; without influence on the result.

    Yields
    ------
    tuple of str and CellSurface
        Name and surface, in micrometres.
    """
    options = options or ShapeOptions()
    network, volume = bundle.volume_parts()
    statistics = volume.shapes if volume.shapes.kind == options.kind else volume.prior(options.kind)
    wanted = [(mask, number, copy) for number, mask in enumerate(masks) for copy in range(options.per_mask)]
    for start in range(0, len(wanted), GROUP):
        some = wanted[start : start + GROUP]
        seeds = [derive_seed(seed, "shapes", number, copy) for _, number, copy in some]
        distance = np.stack([mask.distance for mask, _, _ in some])
        spacing = [mask.spacing for mask, _, _ in some]
        ratios = draw_ratios(statistics, distance, spacing, seeds, size_known=True)
        if options.axial_ratio is not None:
            ratios = np.full_like(ratios, options.axial_ratio)
        surfaces = make_surfaces(
            options.prior, network, distance, spacing, ratios, seeds,
            kind=options.kind, steps=options.steps, workers=workers,
        )  # fmt: skip
        for (mask, _, copy), surface in zip(some, surfaces):
            yield (mask.name if options.per_mask == 1 else f"{mask.name}_{copy:02d}"), surface


def write_shapes(
    out: Path,
    bundle: Bundle,
    masks: Sequence[ShapeMask],
    options: ShapeOptions | None = None,
    *,
    seed: int = 0,
    bank: Path | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make shapes and write meshes, volumes and a table of their measures.

    Parameters
    ----------
    out : Path
        Folder of the files. Shapes whose files are there are made again, to the same bytes.
    bundle, masks, options, seed, workers
        See `make_shapes`.
    bank : Path, optional
        File that keeps the surfaces, for ``generate --shape-bank``.
    overwrite : bool
        Whether a folder with a table of shapes may be written to again.
    progress : callable, optional
        Called with (shapes done, in all).

    Returns
    -------
    Path
        The table, ``shapes.csv``: one row per shape.
    """
    options = options or ShapeOptions()
    pixel_of = {mask.name: mask.pixel for mask in masks}

    def made() -> Iterator[MadeShape]:
        for name, surface in make_shapes(bundle, masks, options, seed=seed, workers=workers):
            pixel = pixel_of[name if options.per_mask == 1 else name.rpartition("_")[0]]
            yield MadeShape(name, surface, options.voxel or (pixel, pixel, pixel))

    return write_surfaces(
        out,
        made(),
        len(masks) * options.per_mask,
        formats=options.formats,
        bank=bank,
        overwrite=overwrite,
        progress=progress,
    )
