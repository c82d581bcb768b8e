"""The cells of a volume: their surfaces, their voxels, and the texture of their slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cytocascade.bundle import Bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions
from cytocascade.images.cells import CROP_SIZE
from cytocascade.images.descriptors import SHAPE_NAMES
from cytocascade.masks.drawing import draw_masks
from cytocascade.population.volume_field import PaintedCell, VolumeCell
from cytocascade.preparation import cell_descriptors
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.shapes.sampling import draw_ratios
from cytocascade.shapes.surface_bank import SurfaceBank
from cytocascade.shapes.surfaces import make_surfaces
from cytocascade.shapes.voxels import slice_distances, voxelise
from cytocascade.textures.axial_noise import AxialNoise
from cytocascade.textures.model import fade, grain, sampled_by, without_holes
from cytocascade.textures.slices import sample_slice_textures
from cytocascade.types import CellSurface, FloatArray

FOCUSED_RIM = 6.0
"""How far outside its outline a slice of a cell shines at most, in canonical pixels; wider light is out of focus, and
the optics add it."""

CELLS_AT_ONCE = 40
"""Cells whose views or textures are in memory together; part of what makes results repeatable."""


@dataclass(frozen=True)
class MadeSurfaces:
    """Surfaces of new cells.

    Attributes
    ----------
    surfaces : list of CellSurface
        One per cell.
    ratios : ndarray, (n,) float32
        Axial ratios they were made with; NaN if they come from a bank.
    drawn, rejected : int
        Masks drawn, and masks thrown away.
    """

    surfaces: list[CellSurface]
    ratios: FloatArray
    drawn: int
    rejected: int


def new_surfaces(
    bundle: Bundle, params: dict[str, Any], options: GenerationOptions, seeds: Sequence[int], workers: int
) -> MadeSurfaces:
    """Make the surfaces of new cells, or take them from a bank."""
    if options.shape_bank is not None:
        bank = load_bank(options.shape_bank, bundle)
        if bank.hash != params["shape_bank"]:
            raise CytoCascadeError(
                "the shapes in this file are not those that the volume was drawn for",
                path=options.shape_bank,
                hint="Put the file back that was used at first.",
            )
        surfaces = [bank.draw(derive_seed(seed, "bank")) for seed in seeds]
        return MadeSurfaces(surfaces, np.full(len(seeds), np.nan, dtype=np.float32), 0, 0)
    network, volume = bundle.volume_parts()
    config = bundle.config
    shapes = cell_descriptors(params)[:, : len(SHAPE_NAMES)]
    mask_seeds = [derive_seed(seed, "mask") for seed in seeds]
    masks = draw_masks(bundle.masks, mask_seeds, shapes, style=config.style, steps=options.mask_steps, workers=workers)
    shape_seeds = [derive_seed(seed, "shape") for seed in seeds]
    known = config.spacing_known
    ratios = draw_ratios(volume.shapes, masks.distance, config.crop_spacing, shape_seeds, size_known=known)
    ratios = _wished_ratios(ratios, options, shape_seeds)
    surfaces = []
    for start in range(0, len(seeds), CELLS_AT_ONCE):
        some = slice(start, start + CELLS_AT_ONCE)
        surfaces += make_surfaces(
            options.shape_prior,
            network,
            masks.distance[some],
            config.crop_spacing,
            ratios[some],
            shape_seeds[some],
            kind=volume.shapes.kind,
            size_known=known,
            steps=options.shape_steps,
            workers=workers,
        )
    return MadeSurfaces(surfaces, ratios, masks.drawn, masks.rejected)


def load_bank(path: str | Path, bundle: Bundle) -> SurfaceBank:
    """Read a bank of shapes whose cells a bundle can paint.

    Raises
    ------
    CytoCascadeError
        If the file is no bank, or a cell in it is wider than the crops that textures are painted in.
    """
    bank = SurfaceBank.load(path)
    widest = CROP_SIZE * bundle.config.crop_spacing
    for number, surface in enumerate(bank.surfaces):
        rows, columns = np.nonzero((surface.distance > 0).any(axis=0))
        _, y, x = surface.origin
        width = 2 * surface.step * float(np.hypot(rows - y, columns - x).max())
        if width > widest:
            raise CytoCascadeError(
                f"shape {number} is {width:.3g} um wide; the bundle {bundle.config.name!r} paints cells of up to "
                f"{widest:.3g} um",
                path=path,
                hint="Make the shapes smaller, or take a bundle that was fitted to cells of their size.",
            )
    return bank


def _wished_ratios(ratios: FloatArray, options: GenerationOptions, seeds: Sequence[int]) -> FloatArray:
    if options.axial_ratio is None:
        return ratios
    if isinstance(options.axial_ratio, float):
        return np.full_like(ratios, options.axial_ratio)
    low, high = options.axial_ratio
    drawn = [numpy_generator(seed, "wished ratio").uniform(low, high) for seed in seeds]
    return np.asarray(drawn, dtype=np.float32)


def on_voxels(surface: CellSurface, spacing: tuple[float, float, float]) -> VolumeCell:
    """Return the cell's mask on the volume's voxels; at least one voxel is left of it."""
    # The middle of the canonical crop lies between four pixels. So do these voxels, and at equal spacing textures need
    # no interpolation, which would blur them.
    voxels = voxelise(surface, spacing, shift=(0.0, spacing[1] / 2, spacing[2] / 2))
    mask = voxels.coverage >= min(0.5, float(voxels.coverage.max()))
    pieces, count = ndi.label(mask)
    if count > 1:
        # A thin bridge may fall between the voxels.
        mask = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    box = ndi.find_objects(mask.astype(np.uint8))[0]
    z, y, x = (first + side.start * step for first, side, step in zip(voxels.corner, box, spacing))
    return VolumeCell(mask[box], (z, y, x))


def paint_slices(
    bundle: Bundle,
    params: dict[str, Any],
    options: GenerationOptions,
    surfaces: Sequence[CellSurface],
    cells: Sequence[VolumeCell],
    seeds: Sequence[int],
    used: Sequence[int],
    workers: int,
) -> dict[int, PaintedCell]:
    """Paint the slices of the cells that are seen."""
    config, step = bundle.config, float(params["spacing"][0])
    texture = cell_descriptors(params)[:, len(SHAPE_NAMES) :]
    painted = {}
    for start in range(0, len(used), CELLS_AT_ONCE):
        some = list(used[start : start + CELLS_AT_ONCE])
        heights = [cells[i].corner[0] + step * np.arange(len(cells[i].mask)) for i in some]
        distance = [
            slice_distances(surfaces[i], height, crop_spacing=config.crop_spacing) for i, height in zip(some, heights)
        ]
        owner = np.repeat(np.arange(len(some)), [len(height) for height in heights])
        signal = sample_slice_textures(
            sampled_by(bundle.textures, options.texture_sampler),
            np.concatenate(distance),
            np.concatenate(heights),
            owner,
            texture[some],
            [derive_seed(seeds[i], "texture") for i in some],
            noise=texture_noise(bundle, options),
            modality=config.modality,
            style=config.style,
            steps=options.texture_steps,
            guidance=options.guidance,
            contrast=config.texture_contrast,
            align=params.get("aligned", False),
            workers=workers,
        )
        for number, i in enumerate(some):
            outline = distance[number]
            shown = without_holes(signal[owner == number], outline) * fade(outline, min(config.rim, FOCUSED_RIM))
            painted[i] = PaintedCell(shown, outline, grain(outline))
    return painted


def texture_noise(bundle: Bundle, options: GenerationOptions) -> AxialNoise:
    """Return how alike slices are: as wished, or as fitted."""
    if options.texture_rho is not None:
        return AxialNoise(rho=options.texture_rho)
    if options.texture_length is not None:
        return AxialNoise(length=options.texture_length)
    return bundle.volume_parts()[1].texture_noise
