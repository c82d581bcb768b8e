"""Fitting Stable Diffusion and its ControlNet to the cells of annotated images."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import torch

from cytocascade.bundle import Bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting_options import FitOptions, StageProgress
from cytocascade.fitting_state import FitState
from cytocascade.images.cells import SingleCells
from cytocascade.images.descriptors import SHAPE_NAMES
from cytocascade.network_fitting import TEXTURE_BUDGET
from cytocascade.seeding import derive_seed
from cytocascade.textures.stable_diffusion.checkpoints import find_base
from cytocascade.textures.stable_diffusion.config import StableDiffusionOptions
from cytocascade.textures.stable_diffusion.job import Job, run_in_processes, write_job
from cytocascade.textures.stable_diffusion.memory import estimate_memory, refuse_too_small
from cytocascade.textures.stable_diffusion.networks import kept_weights
from cytocascade.textures.stable_diffusion.painter import StableDiffusionPainter
from cytocascade.textures.stable_diffusion.runtime import Runtime
from cytocascade.textures.stable_diffusion.storage import load_painter
from cytocascade.textures.stable_diffusion.task import Task, assemble, with_cells
from cytocascade.textures.stable_diffusion.trained_file import write_trained
from cytocascade.textures.stable_diffusion.training import chosen_precision, seconds_per_step, train_networks
from cytocascade.types import FloatArray

STAGE = "textures"


def fit_stable_diffusion(
    cells: SingleCells,
    described: FloatArray,
    base: Bundle | None,
    options: FitOptions,
    state: FitState,
    report: StageProgress,
) -> StableDiffusionPainter:
    """Fine-tune Stable Diffusion, resuming where it was left.

    Parameters
    ----------
    cells : SingleCells
        Cells to learn from.
    described : ndarray, (n, 5) float32
        Their `DESCRIPTOR_NAMES`.
    base : Bundle or None
        Bundle to start from, if its textures were fitted on the same weights.
    options : FitOptions
        With `stable_diffusion` set.
    state : FitState
        Where the number of steps, a checkpoint and what was trained are kept.
    report : callable
        See `StageProgress`.

    Returns
    -------
    StableDiffusionPainter
        As a bundle keeps it, in half precision.

    Raises
    ------
    CytoCascadeError
        If the weights are nowhere, damaged, or too large for the device.
    """
    wished = options.stable_diffusion
    assert wished is not None
    place = found_base(wished)
    runtime = Runtime(base=str(place), device=options.device)
    finished = state.folder / f"{STAGE}.safetensors"
    if not finished.exists():
        _train(place, wished, cells, described[:, len(SHAPE_NAMES) :], base, options, state, finished, report)
    # Half precision is what the bundle keeps, so calibration must see it too.
    return load_painter(finished, runtime)


def found_base(wished: StableDiffusionOptions) -> Path:
    """Return where the weights are; they are fetched from the hub if need be.

    Raises
    ------
    CytoCascadeError
        If they are nowhere, or a package is missing: before anything is trained.
    """
    for package in ("transformers", *(("peft",) if wished.train == "lora" else ())):
        if importlib.util.find_spec(package) is None:
            raise CytoCascadeError(
                f"Stable Diffusion needs the package {package}", hint="pip install 'cytocascade[sd]'"
            )
    # What was named goes before what the environment names.
    return find_base(wished.base, given=wished.base if Path(wished.base).exists() else None, download=True)


def _train(
    place: Path,
    wished: StableDiffusionOptions,
    cells: SingleCells,
    texture: FloatArray,
    base: Bundle | None,
    options: FitOptions,
    state: FitState,
    finished: Path,
    report: StageProgress,
) -> None:
    seed = derive_seed(options.seed, STAGE)
    start = base.textures if base is not None and isinstance(base.textures, StableDiffusionPainter) else None
    report(STAGE, 0, 1, "reading the weights of Stable Diffusion")
    task = assemble(place, wished, cells.modality, seed=seed, start=start)
    _same_base(state, task)
    estimate = estimate_memory(task, wished, chosen_precision(wished, options.device))
    report(STAGE, 0, 1, str(estimate))
    refuse_too_small(estimate, wished, options.device)
    steps = _steps(task, cells, texture, wished, options, state, seed, report)

    def progress(done: int, total: int, loss: float) -> None:
        report(STAGE, done, total, f"loss {loss:.4f}")

    if wished.processes > 1:
        del task
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        folder = state.folder / "job"
        job = Job(
            base=str(place), options=wished, modality=cells.modality, steps=steps, seed=seed, device=options.device
        )
        write_job(folder, job, cells, texture, start)
        run_in_processes(folder, job, progress)
        (folder / "trained.safetensors").rename(finished)
        return
    task = with_cells(task, cells, texture, wished, steps=steps, seed=seed)
    checkpoint = state.folder / f"{STAGE}.checkpoint.safetensors"
    train_networks(
        task, wished, steps=steps, seed=seed, checkpoint=checkpoint, device=options.device, progress=progress
    )
    write_trained(finished, task.config, kept_weights(task.networks), task.prompt)


def _same_base(state: FitState, task: Task) -> None:
    """Remember the base's hashes; refuse to go on with other weights under the same name."""
    # Sorted, as it will be when it is read again.
    record = json.loads(json.dumps(task.config.base.model_dump(mode="json"), sort_keys=True))
    if state.settings.setdefault("stable_diffusion", record)["files"] != record["files"]:
        raise CytoCascadeError(
            "the weights of Stable Diffusion are not those that this fit was begun with",
            path=state.folder,
            hint="Give the same weights to continue it, or --no-resume to start anew.",
        )
    state.save()


def _steps(
    task: Task,
    cells: SingleCells,
    texture: FloatArray,
    wished: StableDiffusionOptions,
    options: FitOptions,
    state: FitState,
    seed: int,
    report: StageProgress,
) -> int:
    """Return the optimiser steps: as asked for, or as many as fit into the budget, measured once."""

    def choose() -> int:
        asked = wished.steps or options.steps
        if asked is not None:
            return asked
        report(STAGE, 0, 1, "measuring the speed")
        trial = with_cells(task, cells, texture, wished, steps=100, seed=seed)
        each = seconds_per_step(trial, wished, options.device)
        return max(1, int(TEXTURE_BUDGET * (options.budget or 600.0) / each))

    return state.steps(STAGE, choose)
