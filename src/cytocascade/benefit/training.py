"""One run of the experiment: a segmenter is trained on the images of an arm and tested on images it never saw."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from cytocascade.benefit.crew import Report
from cytocascade.benefit.material import kept_images, wanted_images
from cytocascade.benefit.options import Arm, BenefitOptions, Source
from cytocascade.benefit.results import CurvePoint, ImageResult, Run
from cytocascade.benefit.selection import best_learned
from cytocascade.benefit.splits import Split, cell_count
from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.instances import InstanceScores, instance_scores, summarise
from cytocascade.seeding import derive_seed
from cytocascade.segmentation.base import Segmenter, TrainingSource
from cytocascade.segmentation.registry import method_named
from cytocascade.segmentation.training_images import mean_diameter
from cytocascade.storage import write_atomically, write_json
from cytocascade.types import AnnotatedImage, Array

MONITORED = 2
"""Images that are segmented now and then during a training, to see that it has converged."""

MONITOR_POINTS = 5


@dataclass(frozen=True)
class Job:
    """One segmenter to train and test."""

    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        """Return the name of the run and of its files."""
        return f"{self.arm.name}-{self.seed}"


@dataclass(frozen=True)
class Laboratory:
    """All that the runs share.

    Attributes
    ----------
    split : Split
        Real images.
    options : BenefitOptions
        How the experiment is done.
    out : Path
        Folder of the experiment.
    keep : bool
        Whether trained segmenters of the first seed are kept.
    replace : bool
        Whether runs with other options are replaced.
    """

    split: Split
    options: BenefitOptions
    out: Path
    keep: bool = False
    replace: bool = False

    @property
    def scored(self) -> tuple[AnnotatedImage, ...]:
        """Return the images that are tested on."""
        return self.split.test if self.options.score_on == "test" else self.split.validation

    @property
    def precision(self) -> str:
        """Return what segmenters are computed in on this machine, ``fp32`` or ``bf16``."""
        return method_named(self.options.segmenter).precision(self.options.training)

    def real_images(self, arm: Arm) -> tuple[AnnotatedImage, ...]:
        """Return the real images that an arm trains on."""
        return {"budget": self.split.budget, "all": self.split.pool, "none": ()}[arm.real]

    def added_count(self, arm: Arm) -> int:
        """Return how many images are made for an arm."""
        if arm.source is None:
            return 0
        return wanted_images(arm.amount or self.options.amount, len(self.split.budget), self.options.max_images)

    def folder_of(self, source: Source) -> Path:
        """Return where the added images of a source are kept."""
        name = source if source == "copypaste" else f"{source}-{self.options.variety:g}"
        return self.out / "added" / name

    def run_file(self, job: Job) -> Path:
        """Return where the result of a run is kept."""
        return self.out / "runs" / f"{job.name}.json"

    def checkpoint(self, job: Job) -> Path:
        """Return where an interrupted training goes on from."""
        return self.out / "runs" / f"{job.name}.checkpoint"

    def diary_file(self, job: Job) -> Path:
        """Return where the curve of a training is kept until its result is."""
        return self.out / "runs" / f"{job.name}.diary"

    def prediction_file(self, job: Job) -> Path:
        """Return where the segmentations of the tested images are kept."""
        return self.out / "predictions" / f"{job.name}.npz"

    def model_folder(self, job: Job) -> Path:
        """Return where the segmenter of a run is kept."""
        return self.out / "segmenters" / job.name


class Diary(BaseModel):
    """What was seen of a training so far; a training that is interrupted and goes on keeps it."""

    model_config = ConfigDict(extra="forbid")

    key: str
    """`run_key` of the training."""
    seconds: float = 0.0
    """Wall-clock seconds of training up to the last entry."""
    curve: list[CurvePoint] = []
    """Loss and monitored score, ascending by step."""

    @classmethod
    def of(cls, file: Path, key: str) -> Self:
        """Return the diary in `file`; an empty one if there is none of this training."""
        try:
            found = cls.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return cls(key=key)
        return found if found.key == key else cls(key=key)

    def with_entry(self, point: CurvePoint, seconds: float) -> Self:
        """Return the diary with another entry, in place of one of the same step."""
        others = [one for one in self.curve if one.step != point.step]
        curve = sorted([*others, point], key=lambda one: one.step)
        return self.model_copy(update={"seconds": seconds, "curve": curve})


def run_job(job: Job, laboratory: Laboratory, fingerprint: str, progress: Report) -> Run:
    """Train and test one segmenter, and keep the result; a run that was kept is returned as it is."""
    kept = kept_run(job, laboratory, fingerprint)
    if kept is not None:
        return kept
    key = run_key(job, laboratory, fingerprint)
    options = laboratory.options
    sources, images = _sources(job.arm, laboratory)
    # One scale for all arms: that of the few cells that a user would have.
    usual = options.training.cell_diameter or mean_diameter(laboratory.split.budget)
    training = options.training.model_copy(update={"cell_diameter": usual})
    watched = _watched(job, laboratory)
    diary = Diary.of(laboratory.diary_file(job), key)
    before, paused, latest = diary.seconds, 0.0, 0.0

    def report(done: int, total: int, loss: float) -> None:
        nonlocal latest
        latest = loss
        progress(job.name, done, total, f"loss {loss:.3f}")

    def monitor(step: int, segmenter: Segmenter) -> None:
        nonlocal diary, paused
        stopped = time.monotonic()
        score = None
        if watched:
            score = summarise([_scored(segmenter, image)[0] for image in watched])["SEG"]
        point = CurvePoint(step=step, loss=latest, validation=score)
        diary = diary.with_entry(point, before + stopped - begun - paused)
        write_json(laboratory.diary_file(job), diary.model_dump(mode="json"))
        paused += time.monotonic() - stopped

    begun = time.monotonic()
    segmenter = method_named(options.segmenter).train(
        sources,
        training,
        seed=derive_seed(options.seed, "segmenter", job.seed),
        cache=laboratory.out / "targets",
        checkpoint=laboratory.checkpoint(job),
        progress=report,
        monitor=monitor,
        monitor_every=max(1, training.steps // MONITOR_POINTS),
    )
    trained = before + time.monotonic() - begun - paused
    begun = time.monotonic()
    results, predicted = [], {}
    for number, image in enumerate(laboratory.scored):
        progress(job.name, training.steps, training.steps, f"testing {number + 1}/{len(laboratory.scored)}")
        scores, labels = _scored(segmenter, image)
        results.append(ImageResult(name=image.name, scores=scores))
        predicted[f"{number}"] = labels
    run = Run(
        arm=job.arm.name,
        seed=job.seed,
        steps=training.steps,
        seconds_training=round(trained, 1),
        seconds_testing=round(time.monotonic() - begun, 1),
        training_images=len(images),
        training_cells=sum(cell_count(image.labels) for image in images),
        curve=diary.curve,
        images=results,
    )
    if job.seed == 0:
        write_atomically(laboratory.prediction_file(job), lambda path: _save_arrays(path, predicted))
        if laboratory.keep:
            segmenter.save(laboratory.model_folder(job))
    write_json(laboratory.run_file(job), {"key": key, "run": run.model_dump(mode="json")})
    for file in (laboratory.checkpoint(job), laboratory.diary_file(job)):
        file.unlink(missing_ok=True)
    return run


def kept_run(job: Job, laboratory: Laboratory, fingerprint: str) -> Run | None:
    """Return the result of a run that was done before with the same data and options, else None."""
    file = laboratory.run_file(job)
    try:
        found = json.loads(file.read_bytes())
        key, run = found["key"], Run.model_validate(found["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if key != run_key(job, laboratory, fingerprint):
        if laboratory.replace:
            return None
        raise CytoCascadeError(
            "the run that is here was made with other images, options or precision",
            path=file,
            hint="Choose another --out, or replace what is there with --overwrite. Segmenters would now be computed in "
            f"{laboratory.precision}; --precision chooses that.",
        )
    return run


def load_predictions(job: Job, laboratory: Laboratory) -> list[Array]:
    """Return the segmentations of the tested images of a first run, in their order; empty if they are not there."""
    try:
        with np.load(laboratory.prediction_file(job), allow_pickle=False) as file:
            return [file[f"{number}"] for number in range(len(laboratory.scored))]
    except (OSError, KeyError, ValueError):
        return []


def run_key(job: Job, laboratory: Laboratory, fingerprint: str) -> str:
    """Return the hash of everything that a run depends on, beside the images and the cascade of `fingerprint`."""
    options = laboratory.options
    training = options.training.model_dump(mode="json", exclude={"device"})
    # Arms that are compared must be computed alike, also where an experiment goes on on another machine: what counts is
    # what the wish comes to. Keys that were recorded call bf16 "auto".
    training["precision"] = "fp32" if laboratory.precision == "fp32" else "auto"
    what = [
        fingerprint,
        job.arm.model_dump(mode="json"),
        job.seed,
        laboratory.added_count(job.arm),
        options.real_share,
        options.keep_best,
        options.score_on,
        options.segmenter,
        training,
    ]
    if job.arm.source in ("simulator", "synthetic"):
        what += [options.base, options.fit_seconds, options.fit_steps, options.variety]
        if options.stable_diffusion is not None:
            what.append(options.stable_diffusion.model_dump(mode="json"))
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _sources(arm: Arm, laboratory: Laboratory) -> tuple[list[TrainingSource], list[AnnotatedImage]]:
    """Return what an arm trains on, and all images of it."""
    real = list(laboratory.real_images(arm))
    added: list[AnnotatedImage] = []
    if arm.source is not None:
        folder = laboratory.folder_of(arm.source)
        added = kept_images(folder, laboratory.added_count(arm), laboratory.split.budget[0])
        if arm.source == "synthetic":
            added = best_learned(added, folder, laboratory.options.keep_best)
    share = laboratory.options.real_share
    if real and added:
        return [TrainingSource(real, share), TrainingSource(added, 1 - share)], [*real, *added]
    return [TrainingSource(real or added, 1.0)], [*real, *added]


def _watched(job: Job, laboratory: Laboratory) -> Sequence[AnnotatedImage]:
    """Return images to follow a training on: of the first seed only, and never images that are trained on."""
    if job.seed > 0 or (job.arm.real == "all" and laboratory.options.score_on == "test"):
        return ()
    return laboratory.split.validation[:MONITORED]


def _scored(segmenter: Segmenter, image: AnnotatedImage) -> tuple[InstanceScores, Array]:
    labels = segmenter.segment(image.image, image.spacing)
    return instance_scores(image.labels, labels), labels


def _save_arrays(path: Path, arrays: dict[str, Array]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
