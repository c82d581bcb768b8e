"""Training on several devices: a job in a folder, which ``accelerate launch`` runs in as many processes.

``accelerate launch --num_processes 4 -m cytocascade.textures.stable_diffusion.job FOLDER`` runs or continues one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file
from torch import as_tensor

from cytocascade.diffusion.training import Progress
from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import Modality, SingleCells
from cytocascade.storage import write_json, write_text
from cytocascade.tensors import save_tensors
from cytocascade.textures.stable_diffusion.config import StableDiffusionOptions
from cytocascade.textures.stable_diffusion.networks import kept_weights
from cytocascade.textures.stable_diffusion.painter import StableDiffusionPainter
from cytocascade.textures.stable_diffusion.runtime import Runtime
from cytocascade.textures.stable_diffusion.storage import load_painter
from cytocascade.textures.stable_diffusion.task import assemble, with_cells
from cytocascade.textures.stable_diffusion.trained_file import write_trained
from cytocascade.textures.stable_diffusion.training import train_networks
from cytocascade.types import FloatArray

_LOOK_AGAIN = 1.0


class Job(BaseModel):
    """What processes must know to train together; ``job.json``."""

    model_config = ConfigDict(extra="forbid")

    base: str
    """Folder or file of the base."""
    options: StableDiffusionOptions
    """How it is fitted."""
    modality: Modality
    """Of the cells."""
    steps: int
    """Optimiser steps."""
    seed: int
    """Seed of everything random."""
    device: str
    """``cpu`` or ``cuda``."""


def write_job(
    folder: Path, job: Job, cells: SingleCells, texture: FloatArray, start: StableDiffusionPainter | None
) -> None:
    """Write a job and its cells, with their `TEXTURE_NAMES` (n, 2), to a folder."""
    arrays = {"signal": cells.signal, "distance": cells.distance, "known": cells.known, "texture": texture}
    save_tensors(folder / "cells.safetensors", {name: as_tensor(values) for name, values in arrays.items()})
    if start is not None:
        start.save(folder / "start.safetensors")
    write_text(folder / "job.json", job.model_dump_json(indent=1) + "\n")


def run_in_processes(folder: Path, job: Job, progress: Progress | None) -> None:
    """Let ``accelerate launch`` train a job that `write_job` wrote, and wait for it.

    Raises
    ------
    CytoCascadeError
        If a process fails; the end of what it said is in the message.
    """
    log, state = folder / "log.txt", folder / "progress.json"
    state.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(_command(folder, job), stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(_LOOK_AGAIN)
                _tell(state, progress)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    _tell(state, progress)
    if process.returncode or not (folder / "trained.safetensors").exists():
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise CytoCascadeError(
            f"the training on {job.options.processes} devices failed: {lines[-1] if lines else 'no output'}",
            path=log,
            hint="The file holds what the processes said. The same command goes on from the last saved state.",
        )


def _command(folder: Path, job: Job) -> list[str]:
    target = ["-m", "cytocascade.textures.stable_diffusion.job", str(folder)]
    count = str(job.options.processes)
    if job.device == "cpu":
        # On a CPU accelerate starts one process only, unless there is MPI.
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", count, *target]
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", count),
        *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
        *target,
    ]


def _tell(state: Path, progress: Progress | None) -> None:
    if progress is None or not state.exists():
        return
    found: dict[str, Any] = json.loads(state.read_bytes())
    progress(found["done"], found["total"], found["loss"])


def run(folder: Path) -> None:
    """Train the job of a folder, as one of its processes; the first one writes ``trained.safetensors``."""
    job = Job.model_validate_json((folder / "job.json").read_bytes())
    together = PartialState(cpu=job.device == "cpu").num_processes
    if together != job.options.processes:
        raise CytoCascadeError(
            f"the job is for {job.options.processes} processes, not for {together}",
            path=folder,
            hint=f"Start it by accelerate launch --num_processes {job.options.processes}.",
        )
    arrays = {name: value.numpy() for name, value in load_file(folder / "cells.safetensors").items()}
    texture = arrays.pop("texture")
    nothing = np.zeros(len(texture), dtype=np.float32)
    cells = SingleCells(
        **arrays, level=nothing, image=nothing, zoom=nothing + 1, features={}, crop_spacing=1.0, modality=job.modality,
        calibration=(), excluded={},
    )  # fmt: skip
    base, begun = Path(job.base), folder / "start.safetensors"
    start = load_painter(begun, Runtime(base=job.base, device="cpu")) if begun.exists() else None
    task = assemble(base, job.options, job.modality, seed=job.seed, start=start)
    task = with_cells(task, cells, texture, job.options, steps=job.steps, seed=job.seed)
    state = folder / "progress.json"
    first = train_networks(
        task,
        job.options,
        steps=job.steps,
        seed=job.seed,
        checkpoint=folder / "checkpoint.safetensors",
        device=job.device,
        progress=lambda done, total, loss: write_json(state, {"done": done, "total": total, "loss": loss}),
    )
    if first:
        write_trained(folder / "trained.safetensors", task.config, kept_weights(task.networks), task.prompt)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
