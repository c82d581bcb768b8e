"""Where the masks of a fit come from: a network of our own kind, a pipeline trained here, or one that is given."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.fitting_options import FitOptions, StageProgress
from cytocascade.fitting_state import FitState
from cytocascade.images.cells import CROP_SIZE, SingleCells
from cytocascade.masks.drawing import MaskModel
from cytocascade.masks.pipeline_files import pipeline_hash, read_pipeline, write_pipeline
from cytocascade.masks.pipeline_training import (
    MaskUNetConfig,
    PipelineNetwork,
    as_pipeline,
    new_network,
    picture_batches,
    trained_here,
)
from cytocascade.masks.pipelines import MaskSource, PipelineMasks, Sampler
from cytocascade.network_fitting import fit_network, train_stage
from cytocascade.seeding import derive_seed

MASK_UNET = MaskUNetConfig()
"""Shape of the pipeline's network that is trained from scratch."""


def fit_masks(
    cells: SingleCells,
    described: np.ndarray[Any, Any],
    base: Bundle | None,
    options: FitOptions,
    state: FitState,
    report: StageProgress,
) -> MaskModel:
    """Return the masks of a fit; the parameters are those of `fit_network`.

    Raises
    ------
    CytoCascadeError
        If `FitOptions.masks_from` is no pipeline that can make masks.
    """
    if options.masks_from is not None:
        return _given(cells, options, state, report)
    if options.mask_backend == "diffusers":
        return _trained(cells, base, options, state, report)
    return fit_network("masks", cells, described, base, options, state, report)


def _given(cells: SingleCells, options: FitOptions, state: FitState, report: StageProgress) -> PipelineMasks:
    folder = options.masks_from
    assert folder is not None
    report("masks", 0, 1, f"taken from {folder.name}")
    pipeline = read_pipeline(folder)
    source = MaskSource(
        origin=folder.resolve().name,
        sha256=pipeline_hash(folder),
        scale=None if options.mask_spacing is None else options.mask_spacing / cells.crop_spacing,
        **_sampling(options, "ddim", 0.0 if pipeline.name == "DDIMPipeline" else 1.0),
    )
    kept = state.folder / "masks"
    write_pipeline(pipeline, kept, half=True)
    report("masks", 1, 1, f"{pipeline.name}, {pipeline.shape[-1]} x {pipeline.shape[-1]} pixels")
    # Half precision is what the bundle keeps, so calibration must see it too.
    return PipelineMasks(read_pipeline(kept), source)


def _trained(
    cells: SingleCells, base: Bundle | None, options: FitOptions, state: FitState, report: StageProgress
) -> PipelineMasks:
    """Train the network of a pipeline, resuming where it was left."""
    finished = state.folder / "masks"
    if not finished.exists():
        start = _base_network(base)
        network = new_network(MASK_UNET, derive_seed(options.seed, "weights")) if start is None else start
        batches = picture_batches(cells.distance, network, batch=options.batch, seed=derive_seed(options.seed, "masks"))
        train_stage("masks", network, lambda steps: batches, options, state, report, scratch=start is None)
        write_pipeline(as_pipeline(network), finished, half=True)
    pipeline = read_pipeline(finished)
    source = MaskSource(origin="fit", scale=CROP_SIZE / pipeline.shape[-1], **_sampling(options, "dpm", 1.0))
    return PipelineMasks(pipeline, source)


def _base_network(base: Bundle | None) -> PipelineNetwork | None:
    """Return a copy of the base's pipeline, if training can go on from it."""
    if base is None or not isinstance(base.masks, PipelineMasks) or not trained_here(base.masks.pipeline):
        return None
    return PipelineNetwork(copy.deepcopy(base.masks.pipeline.unet))


def _sampling(options: FitOptions, sampler: Sampler, eta: float) -> dict[str, Any]:
    return {
        "sampler": options.mask_sampler or sampler,
        "eta": eta if options.mask_eta is None else options.mask_eta,
        "candidates": options.mask_candidates,
    }
