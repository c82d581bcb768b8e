"""From annotated slices of stacks, or from 2D images, to a bundle for volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cytocascade.bundle import Bundle, find_bundle, load_bundle
from cytocascade.card import volume_card
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting import FitOptions, FitState, StageProgress, fingerprint_of, fit_images, kept_fit
from cytocascade.images.cells import SingleCells, detect_modality, extract_cells
from cytocascade.images.descriptors import DESCRIPTOR_NAMES, describe_cells
from cytocascade.images.slices import widest_outlines
from cytocascade.images.stacks import StackDataset
from cytocascade.imaging.columns import CellColumns, trace_columns
from cytocascade.imaging.extents import AxialExtent, axial_extents
from cytocascade.imaging.microscope import Microscope, fit_microscope
from cytocascade.imaging.psf import OUT_OF_FOCUS, ConePsf, Psf
from cytocascade.population.arrangement import fit_arrangement
from cytocascade.population.cells import CellStatistics
from cytocascade.population.volume_params import ArrangementName
from cytocascade.shapes.canonical import feret_diameter
from cytocascade.shapes.statistics import Kind, ShapeStatistics
from cytocascade.textures.axial_fit import fit_axial_noise
from cytocascade.textures.axial_noise import AxialNoise
from cytocascade.types import AnnotatedImage, AnnotatedStack, FloatArray
from cytocascade.volumes.calibration import calibrate_grain
from cytocascade.volumes.statistics import VolumeStatistics

DEFAULT_BASE = "nuclei3d"
"""Shipped bundle that shapes are taken from."""

DEFAULT_AXIAL_SIGMA = 0.6
"""Standard deviation of the blur along z in micrometres where there are no stacks: a confocal with NA 0.8 or so."""

DEFAULT_STEP_RATIO = 2.0
"""Step between planes over the pixel where there are only 2D images."""

DEFAULT_PLANES = 32
"""Planes of a volume where there are only 2D images."""

MOST_OFFSET = 0.6
"""Relative height above or below its middle up to which an outline shows a cell about as it looks from above."""

FEWEST_HEIGHTS = 6
"""Cells whose height must be known before the heights are taken from the stacks."""


class VolumeOptions(BaseModel):
    """What is known about the volumes to be generated better than the stacks tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "nucleus"
    """Whether the annotated cells are nuclei or whole cells."""
    arrangement: ArrangementName | None = None
    """How cells are arranged; by default as the stacks show."""
    psf: Psf | None = None
    """The microscope's PSF without its lateral part, which the textures hold already; by default fitted."""
    planes: int | None = Field(None, ge=4)
    """Planes of a generated volume by default; otherwise those of the stacks."""
    step: float | None = Field(None, gt=0)
    """Micrometres between planes where only 2D images are given."""


def fit_volumes(
    dataset: StackDataset,
    out: Path,
    options: FitOptions | None = None,
    *,
    volumes: VolumeOptions | None = None,
    base: Bundle | None = None,
    name: str | None = None,
    resume: bool = True,
    overwrite: bool = False,
    progress: StageProgress | None = None,
) -> Bundle:
    """Fit a cascade for volumes and write it as a bundle.

    Masks, textures, background and camera are learned from the annotated slices (or 2D images) alone. The stacks
    around them tell, without annotation, how tall cells are, how the microscope blurs along z, and how alike
    neighbouring slices are. Shapes come from the multi-view diffusion of the base.

    Parameters
    ----------
    dataset : StackDataset
        From `cytocascade.images.stacks.read_stacks`.
    out, options, name, resume, overwrite, progress
        As for `cytocascade.fitting.fit`.
    volumes : VolumeOptions, optional
        What is known better than the stacks tell.
    base : Bundle, optional
        Bundle to start from, 2D or 3D; shapes of a 2D base are those of ``nuclei3d``. Without it masks and textures
        are trained from scratch.

    Raises
    ------
    CytoCascadeError
        If the slices cannot be learned from, show phase contrast, or `out` exists already.
    """
    options, volumes = options or FitOptions(), volumes or VolumeOptions()
    report = progress or (lambda stage, done, total, remark: None)
    images = dataset.annotated_images()
    _refuse_phase_contrast(images)
    shapes = base if base is not None and base.shapes is not None else load_bundle(find_bundle(DEFAULT_BASE))
    fingerprint = fingerprint_of(
        [*dataset.stacks, *dataset.images], options, base, "volumes", volumes.model_dump_json(), shapes.hash
    )

    def make(state: FitState) -> Bundle:
        flat, cells = fit_images(images, name or out.name, options, state, base=base, report=report)
        return extend(flat, cells, dataset, volumes, shapes, seed=options.seed, report=report)

    return kept_fit(out, fingerprint, make, resume=resume, overwrite=overwrite)


def _refuse_phase_contrast(images: Sequence[AnnotatedImage]) -> None:
    if detect_modality(images) != "fluorescence":
        raise CytoCascadeError(
            "these images look like phase contrast; volumes are for fluorescence, where light adds up",
            hint="Fit them as 2D images, without --dim 3.",
        )


def extend(
    flat: Bundle,
    cells: SingleCells,
    dataset: StackDataset,
    wishes: VolumeOptions,
    shapes: Bundle,
    *,
    seed: int,
    report: StageProgress,
) -> Bundle:
    """Return a bundle for volumes: `flat`, fitted to the slices, and what the stacks around them tell."""
    network, known = shapes.volume_parts()
    stacks = dataset.stacks
    report("volume", 0, 5, "light along z")
    columns = trace_columns(stacks) if stacks and all(len(stack.image) >= 3 for stack in stacks) else []
    microscope = _microscope(stacks, flat, columns, wishes)
    report("volume", 1, 5, "heights of the cells")
    extents = axial_extents(stacks, columns, max_offset=np.inf) if columns else []
    central = [extent for extent in extents if extent.offset <= MOST_OFFSET]
    statistics = _heights(stacks, central, known.prior(wishes.kind), wishes.kind)
    report("volume", 2, 5, "textures along z")
    noise = _texture_noise(stacks, flat, seed)
    report("volume", 3, 5, "arrangement of the cells")
    height = float(np.median([extent.axial for extent in extents])) if extents else _typical_height(flat, statistics)
    arrangement = fit_arrangement(stacks, kind=wishes.arrangement, cell_height=height, seed=seed)
    volume = VolumeStatistics(
        arrangement=arrangement,
        microscope=microscope,
        shapes=statistics,
        priors=known.priors,
        texture_noise=noise,
        area_factor=_area_factor(central),
        stacks=len(stacks),
    )
    spacing, shape = _grid(flat, stacks, wishes, height)
    config = flat.config.model_copy(update={"dim": 3, "spacing": spacing, "shape": shape})
    described = _seen_from_above(dataset, cells, central) if stacks else None
    statistics_of_cells = flat.cells if described is None else CellStatistics.fit(DESCRIPTOR_NAMES, described)
    bundle = replace(flat, config=config, cells=statistics_of_cells, shapes=network, volume=volume)
    report("volume", 4, 5, "noise along z")
    bundle = calibrate_grain(bundle, stacks, seed=seed)
    report("volume", 5, 5, arrangement.kind)
    return replace(bundle, card=volume_card(config, cells, volume))


def _seen_from_above(dataset: StackDataset, cells: SingleCells, central: Sequence[AxialExtent]) -> FloatArray | None:
    """Return the descriptors of the cells at their widest, (n, 5); None if too few are whole there.

    Slices through the caps of cells would be taken for small cells.
    """
    stacks = list(dataset.stacks)
    if len(central) >= FEWEST_HEIGHTS:
        for number, stack in enumerate(stacks):
            shown = [extent.label for extent in central if extent.stack == stack.name]
            stacks[number] = replace(stack, labels=np.where(np.isin(stack.labels, shown), stack.labels, 0))
    images = [*widest_outlines([stack for stack in stacks if stack.labels.any()]), *dataset.images]
    try:
        widest = extract_cells(images, crop_spacing=cells.crop_spacing, modality=cells.modality)
    except CytoCascadeError:
        return None
    return describe_cells(widest)


def _microscope(
    stacks: Sequence[AnnotatedStack], flat: Bundle, columns: Sequence[CellColumns], wishes: VolumeOptions
) -> Microscope:
    usual = wishes.psf or ConePsf(axial=DEFAULT_AXIAL_SIGMA, spread=OUT_OF_FOCUS)
    if not stacks:
        return Microscope(psf=usual)
    try:
        return fit_microscope(stacks, flat.imaging, psf=wishes.psf, columns=columns or None)
    except CytoCascadeError:
        # Too few cells show their top or bottom.
        return fit_microscope(stacks, flat.imaging, psf=usual, columns=columns or None)


def _heights(
    stacks: Sequence[AnnotatedStack], central: Sequence[AxialExtent], prior: ShapeStatistics, kind: Kind
) -> ShapeStatistics:
    """Return how tall cells are, as the stacks show without annotation; the prior's where they tell too little."""
    found = {stack.name: stack for stack in stacks}
    widths, ratios = [], []
    for extent in central:
        stack = found[extent.stack]
        outline = np.argwhere(stack.labels[extent.plane] == extent.label)
        width = feret_diameter(outline) * float(np.mean(stack.spacing[1:]))
        widths.append(round(width, 4))
        ratios.append(round(extent.axial / width, 5))
    if len(ratios) < FEWEST_HEIGHTS:
        return prior.model_copy(update={"kind": kind, "measured": False})
    return ShapeStatistics(kind=kind, extents=widths, ratios=ratios, measured=True)


def _area_factor(central: Sequence[AxialExtent]) -> float:
    """Return how much larger projections are than the annotated outlines that cells are seen from above by.

    Cells are taken for ellipsoids whose sides are upright up to half their height, as those of flat nuclei are.
    """
    return float(1 / np.mean([1 - extent.offset**4 for extent in central])) if central else 1.0


def _texture_noise(stacks: Sequence[AnnotatedStack], flat: Bundle, seed: int) -> AxialNoise:
    """Return how alike the noise of slices must be.

    The optics leave the structure within cells as the textures have it (`imaging.optics.keep_structure`), so textures
    must be as alike as the real ones are, blur included.
    """
    config = flat.config
    noise, _ = fit_axial_noise(
        stacks, flat.textures, modality=config.modality, style=config.style, axial_sigma=0.0, seed=seed
    )
    return noise


def _typical_height(flat: Bundle, statistics: ShapeStatistics) -> float:
    diameter = flat.population.median_diameter
    return float(np.median(statistics.draw(np.full(99, diameter), range(99), size_known=flat.config.spacing_known))) * (
        diameter
    )


def _grid(
    flat: Bundle, stacks: Sequence[AnnotatedStack], wishes: VolumeOptions, height: float
) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
    """Return the default voxels of generated volumes."""
    y, x = flat.config.spacing
    rows, columns = flat.config.shape
    if stacks:
        step = stacks[0].spacing[0]
        planes = wishes.planes or int(np.median([len(stack.image) for stack in stacks]))
    else:
        step = wishes.step or DEFAULT_STEP_RATIO * y
        planes = wishes.planes or max(DEFAULT_PLANES // 2, int(np.ceil(2.2 * height / step)))
    return (float(step), float(y), float(x)), (planes, rows, columns)
