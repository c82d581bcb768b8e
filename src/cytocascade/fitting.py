"""From a few annotated images to a bundle; what was done is kept, so that an interrupted fit goes on."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cytocascade import __version__
from cytocascade.bundle import Bundle, BundleConfig, load_bundle, save_bundle
from cytocascade.calibration import calibrate
from cytocascade.card import bundle_card
from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting_options import FitOptions, StageProgress
from cytocascade.fitting_state import FitState, work_folder
from cytocascade.images.cells import FINE, ZOOMED_EXTENT, SingleCells, detect_modality, extract_cells
from cytocascade.images.descriptors import DESCRIPTOR_NAMES, describe_cells, for_networks
from cytocascade.images.validation import MIN_AREA
from cytocascade.images.zoom import Zoom
from cytocascade.imaging.debris import Debris
from cytocascade.imaging.statistics import fit_imaging, with_gains
from cytocascade.mask_fitting import fit_masks
from cytocascade.masks.pipeline_files import pipeline_hash
from cytocascade.masks.pipelines import PipelineMasks
from cytocascade.network_fitting import fit_network, known_styles
from cytocascade.population import fit_population
from cytocascade.population.cells import CellStatistics
from cytocascade.population.neighbours import fit_neighbours
from cytocascade.textures.fringes import with_aligned_fringes
from cytocascade.textures.model import CALM, Textures
from cytocascade.types import AnnotatedImage, AnnotatedStack, FloatArray

__all__ = ["FitOptions", "FitState", "StageProgress", "fingerprint_of", "fit", "fit_images", "kept_fit", "usual_base"]

LOOKED_AT = 3
"""Images that tell fluorescence from phase contrast, where no base is named."""


def fit(
    images: Sequence[AnnotatedImage],
    out: Path,
    options: FitOptions | None = None,
    *,
    base: Bundle | None = None,
    name: str | None = None,
    resume: bool = True,
    overwrite: bool = False,
    progress: StageProgress | None = None,
) -> Bundle:
    """Fit a cascade to annotated images and write it as a bundle.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        2D images with instance labels.
    out : Path
        Folder of the bundle. If it holds the result of this very fit, that is returned. While the fit runs, its
        state is in the folder of the same name plus ``.fit``.
    options : FitOptions, optional
        Budget or steps, seed, device.
    base : Bundle, optional
        Bundle to start from; without it the networks are trained from scratch.
    name : str, optional
        Name of the bundle; by default that of the folder.
    resume : bool
        Whether to go on with an interrupted fit of the same images and options.
    overwrite : bool
        Whether an existing bundle may be replaced.
    progress : callable, optional
        See `StageProgress`.

    Returns
    -------
    Bundle

    Raises
    ------
    CytoCascadeError
        If the images cannot be learned from, or `out` exists already.
    """
    options = options or FitOptions()
    report = progress or (lambda stage, done, total, remark: None)

    def make(state: FitState) -> Bundle:
        bundle, cells = fit_images(images, name or out.name, options, state, base=base, report=report, magnify=True)
        flecks = 0 if bundle.imaging.debris is None else len(bundle.imaging.debris.flecks)
        return replace(bundle, card=bundle_card(bundle.config, cells, flecks=flecks))

    return kept_fit(out, fingerprint_of(images, options, base), make, resume=resume, overwrite=overwrite)


def kept_fit(
    out: Path, fingerprint: str, make: Callable[[FitState], Bundle], *, resume: bool, overwrite: bool
) -> Bundle:
    """Let `make` fit a bundle, and write it to `out`; go on with an interrupted fit, and recognise a finished one.

    Raises
    ------
    CytoCascadeError
        If `out` exists and holds something else, or an interrupted fit of something else is there.
    """
    work = work_folder(out)
    if out.exists() and not overwrite:
        if _fitted_before(out, fingerprint) and resume:
            shutil.rmtree(work, ignore_errors=True)
            return load_bundle(out)
        raise CytoCascadeError("exists already", path=out, hint="Choose another --out, or replace it with --overwrite.")
    state = FitState.open(work, fingerprint, resume)
    try:
        bundle = make(state)
    except CytoCascadeError:
        if not state.settings["steps"]:
            # Refused before any training: nothing is worth going on with, and mended data must not be refused.
            shutil.rmtree(work, ignore_errors=True)
        raise
    save_bundle(bundle, out)
    shutil.rmtree(work)
    return load_bundle(out)


def fit_images(
    images: Sequence[AnnotatedImage],
    name: str,
    options: FitOptions,
    state: FitState,
    *,
    base: Bundle | None,
    report: StageProgress,
    magnify: bool = False,
) -> tuple[Bundle, SingleCells]:
    """Fit everything that 2D images tell; the bundle has no card yet.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        2D images, or annotated slices of stacks.
    name : str
        Name of the bundle.
    options : FitOptions
        Budget or steps, seed, device.
    state : FitState
        Where finished steps are kept.
    base : Bundle or None
        Bundle to start from.
    report : callable
        See `StageProgress`.
    magnify : bool
        Whether cells may be magnified, each by its own factor, where sizes differ much (our own networks only), and
        debris is looked for: both in phase contrast, and not for volumes. Crops of magnified cells are sampled `FINE`
        times as finely: the largest cells, which are not magnified, have far more detail than they have pixels.
    """
    if options.stable_diffusion is not None:
        from cytocascade.stable_diffusion_fitting import found_base

        report("weights", 0, 1, "looking for the weights of Stable Diffusion")
        report("weights", 1, 1, str(found_base(options.stable_diffusion)))
    report("cells", 0, 1, "cutting out single cells")
    cells = extract_cells(images)
    own_networks = options.stable_diffusion is None and options.masks_from is None
    zoom = None
    if magnify and own_networks and cells.modality == "phase":
        zoom = Zoom.fit(images, cells.crop_spacing, extent=ZOOMED_EXTENT)
    if zoom is not None:
        cells = extract_cells(
            images, crop_spacing=cells.crop_spacing, modality=cells.modality, zoom=zoom, fineness=FINE
        )
    described = describe_cells(cells)
    seen = for_networks(described, cells.zoom, zoom)
    report("cells", 1, 1, f"{len(cells)} whole cells at {cells.crop_spacing:.3g} um per pixel")
    masks = fit_masks(cells, seen, base, options, state, report)
    textures = _fit_textures(cells, seen, base, options, state, report)
    report("statistics", 0, 2, "arrangement of the cells")
    population = fit_population(
        [image.labels for image in images],
        images[0].spacing,
        sparse=any(image.sparse for image in images),
        seed=options.seed,
    )
    if magnify and cells.modality == "fluorescence":
        population = population.model_copy(update={"neighbours_alike": fit_neighbours(images)})
    report("statistics", 1, 2, "background and noise")
    gains = [entry.gain for entry in cells.calibration]
    imaging = with_gains(fit_imaging(images), gains)
    if magnify and cells.modality == "phase":
        imaging = imaging.model_copy(update={"debris": Debris.fit(images, gains)})
    report("statistics", 2, 2, "")
    config = BundleConfig(
        name=name,
        modality=cells.modality,
        spacing=tuple(float(value) for value in images[0].spacing),
        spacing_known=images[0].spacing_known,
        crop_spacing=cells.crop_spacing,
        shape=_typical_shape(images),
        style=known_styles(base),
        training=_training_record(images, cells, options, base, state),
        mask_source=masks.source if isinstance(masks, PipelineMasks) else None,
        zoom=zoom,
        texture_temperature=CALM if magnify and cells.modality == "phase" and isinstance(textures, Denoiser) else 1.0,
    )
    # What mean and contrast of a cell are depends on how light is made.
    alike = base if base is not None and base.config.modality == cells.modality else None
    statistics = CellStatistics.fit(
        DESCRIPTOR_NAMES,
        described,
        base=None if alike is None else alike.cells,
        least_area=MIN_AREA / math.prod(config.scale),
    )
    bundle = Bundle(config, masks, textures, statistics, population, imaging, card="")
    return replace(bundle, config=calibrate(bundle, images, seed=options.seed, progress=report, spots=magnify)), cells


def _fitted_before(out: Path, fingerprint: str) -> bool:
    """Return whether `out` is a bundle that the same images and options led to."""
    try:
        training = json.loads((out / "bundle.json").read_bytes())["training"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(training, dict) and training.get("fingerprint") == fingerprint


def _fit_textures(
    cells: SingleCells,
    described: FloatArray,
    base: Bundle | None,
    options: FitOptions,
    state: FitState,
    report: StageProgress,
) -> Textures:
    if cells.modality == "phase":
        cells = with_aligned_fringes(cells)
    if options.stable_diffusion is None:
        return fit_network("textures", cells, described, base, options, state, report)
    from cytocascade.stable_diffusion_fitting import fit_stable_diffusion

    return fit_stable_diffusion(cells, described, base, options, state, report)


def fingerprint_of(
    images: Sequence[AnnotatedImage | AnnotatedStack], options: FitOptions, base: Bundle | None, *more: object
) -> str:
    """Return the hash of everything that determines the result; `more` is what else does."""
    digest = hashlib.sha256(options.model_dump_json(exclude={"device", "masks_from"}).encode())
    digest.update(f"{__version__} {base.hash if base else ''}".encode())
    if options.masks_from is not None:
        digest.update(f"masks from {pipeline_hash(options.masks_from)}".encode())
    for value in more:
        digest.update(repr(value).encode())
    for image in images:
        annotated = image.annotated if isinstance(image, AnnotatedStack) else ()
        about = (image.name, image.spacing, image.spacing_known, image.sparse, str(image.image.dtype), annotated)
        digest.update(repr(about).encode())
        digest.update(np.ascontiguousarray(image.image).data)
        digest.update(np.ascontiguousarray(image.labels).data)
    return digest.hexdigest()


def usual_base(images: Iterable[AnnotatedImage]) -> str:
    """Return the name of the shipped bundle that a fit of 2D images should start from; the first of them tell."""
    return "phase" if detect_modality(list(islice(images, LOOKED_AT))) == "phase" else "nuclei"


def _typical_shape(images: Sequence[AnnotatedImage]) -> tuple[int, ...]:
    sizes = sorted((image.image.size, image.image.shape) for image in images)
    return tuple(int(side) for side in sizes[len(sizes) // 2][1])


def _training_record(
    images: Sequence[AnnotatedImage],
    cells: SingleCells,
    options: FitOptions,
    base: Bundle | None,
    state: FitState,
) -> dict[str, Any]:
    # Which weights the textures need that are no part of the bundle.
    needed = state.settings.get("stable_diffusion")
    return {
        "images": [image.name for image in images],
        "cells": len(cells),
        "excluded": cells.excluded,
        "calibration": [vars(entry) for entry in cells.calibration],
        "sparse": any(image.sparse for image in images),
        "steps": dict(state.settings["steps"]),
        "fingerprint": state.settings["fingerprint"],
        "options": options.model_dump(mode="json", exclude={"masks_from"}),
        "base": None if base is None else {"name": base.config.name, "hash": base.hash},
        **({} if needed is None else {"stable_diffusion": needed}),
    }
