"""What the segmentation experiment found: every run, and what follows from them, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from cytocascade.benefit.arms import ALL_REAL, COPY_PASTE, REAL, REAL_SYNTHETIC, SIMULATOR, ordered, without_amount
from cytocascade.benefit.statistics import Interval, Ratio, difference, gap_closed, interval, relative_difference
from cytocascade.benefit.verdict import verdict
from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.instances import METRICS, InstanceScores, metric_of_totals, pooled_terms
from cytocascade.storage import write_json
from cytocascade.types import Array


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class CurvePoint(_Result):
    """The training of a segmenter at one step."""

    step: int
    """Optimiser steps so far."""
    loss: float
    """Training loss around this step."""
    validation: float | None = None
    """SEG of the few images that are monitored; none where it was not measured."""


class ImageResult(_Result):
    """How well the cells of one image were found."""

    name: str
    """Name of the image."""
    scores: InstanceScores
    """Counts, from which every measure follows."""


class Run(_Result):
    """One segmenter, trained and tested."""

    arm: str
    """What it was trained on; a name of `arms.ARMS`, maybe with an amount as in ``real+synthetic@5``."""
    seed: int
    """Seed of its weights and crops."""
    steps: int
    """Optimiser steps."""
    seconds_training: float
    """Wall-clock seconds of training, flows included."""
    seconds_testing: float
    """Wall-clock seconds of segmenting and scoring all images."""
    training_images: int
    """Images trained on."""
    training_cells: int
    """Cells in them."""
    curve: list[CurvePoint]
    """Loss and monitored score over the steps."""
    images: list[ImageResult]
    """Scored images, in the order of `Experiment.scored_images`."""


class Window(_Result):
    """The part of an image whose cells are the budget."""

    name: str
    """Name of the image."""
    start: list[int]
    """First pixel along each axis."""
    stop: list[int]
    """Pixel after the last along each axis."""


class SegmenterUsed(_Result):
    """What was trained."""

    name: str
    """For example ``cellpose``."""
    version: str
    """Version of the package."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Every option that was set."""


class BaseUsed(_Result):
    """The shipped bundle that the cascade was fitted from."""

    name: str
    """Name of the bundle."""
    hash: str
    """Hash of its files."""
    seen: str
    """In plain words: what it was trained on, and why no test image is in it."""


class Experiment(_Result):
    """What was done."""

    dim: Literal[2, 3]
    """Images or volumes."""
    data: list[str]
    """Names of the folders with the data."""
    budget: str
    """As given: a number of images, or ``20cells``."""
    training_images: list[str]
    """Images of the budget."""
    window: Window | None = None
    """The part of the training image that was used, if not all of it."""
    all_training_images: list[str]
    """Images of the ceiling ``all-real``."""
    validation_images: list[str]
    """Images that settings were chosen on: part of the training images."""
    test_images: list[str]
    """Images that nothing was chosen on."""
    scored_on: Literal["test", "validation"]
    """Which of both the scores are of."""
    arms: list[str]
    """Arms wanted."""
    seeds: list[int]
    """Seeds wanted of every arm."""
    segmenter: SegmenterUsed
    """The segmenter; the same in all arms."""
    steps: int
    """Optimiser steps of every run."""
    real_share: float = Field(ge=0, le=1)
    """Share of the training crops that come from real images in the mixed arms."""
    amounts: dict[str, int]
    """Images made for each arm that has such."""
    base: BaseUsed | None
    """What the cascade was fitted from; none: from scratch."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """Everything else that was set."""
    version: str
    """Version of CytoCascade."""
    machine: str
    """Processor, cores, GPU."""
    date: str
    """Day of the last run, ISO 8601."""

    @property
    def scored_images(self) -> list[str]:
        """Return the names of the images that the scores are of."""
        return self.test_images if self.scored_on == "test" else self.validation_images


class Difference(_Result):
    """One arm against another, paired by image."""

    arm: str
    """The arm."""
    against: str
    """The arm it is compared with."""
    metric: str
    """Name in `METRICS`."""
    absolute: Interval
    """Arm minus the other."""
    relative: Ratio | None
    """Arm / other - 1; none where the other's mean is 0."""
    gap_closed: Ratio | None
    """Share of the way from `real` to `all-real`; none where this does not apply, or there is no gap."""


class MissingRun(_Result):
    """A run that was wanted and is not there."""

    arm: str
    """Its arm."""
    seed: int
    """Its seed."""


class Benefit(_Result):
    """The experiment, its runs, and what follows from them."""

    experiment: Experiment
    """What was done."""
    arms: dict[str, dict[str, Interval]]
    """Per arm and metric, the mean over seeds with its 95 % interval."""
    differences: list[Difference]
    """Every arm against ``real``, and ``real+synthetic`` in every amount against both baselines."""
    runs: list[Run]
    """Every run, by arm and seed."""
    missing: list[MissingRun]
    """Wanted runs that are not there (yet)."""
    verdict: str
    """The answer in plain words."""

    @classmethod
    def of(cls, experiment: Experiment, runs: Iterable[Run], *, seed: int = 0) -> Self:
        """Compute means, intervals, differences and verdict from runs.

        Parameters
        ----------
        experiment : Experiment
            What was done.
        runs : iterable of Run
            In any order; arms and seeds may be missing.
        seed : int
            Seed of the bootstrap.

        Raises
        ------
        CytoCascadeError
            If there are two runs of one arm and seed, or a run was not scored on the experiment's images.
        """
        known = list(runs)
        order = ordered([*experiment.arms, *(run.arm for run in known)])
        known.sort(key=lambda run: (order.index(run.arm), run.seed))
        _check(experiment, known)
        scores = {arm: [[one.scores for one in run.images] for run in known if run.arm == arm] for arm in order}
        scores = {arm: found for arm, found in scores.items() if found}
        there = {(run.arm, run.seed) for run in known}
        result = cls(
            experiment=experiment,
            arms={arm: {m.name: interval(found, m.name, seed=seed) for m in METRICS} for arm, found in scores.items()},
            differences=_differences(scores, seed),
            runs=known,
            missing=[
                MissingRun(arm=arm, seed=one)
                for arm in ordered(experiment.arms)
                for one in experiment.seeds
                if (arm, one) not in there
            ],
            verdict="",
        )
        return result.model_copy(update={"verdict": verdict(result)})

    @property
    def order(self) -> list[str]:
        """Return the arms that have runs, in the order of the pages (JSON sorts them by name)."""
        return ordered(self.arms)

    @property
    def headline(self) -> str:
        """Return the arm that the verdict is about: ``real+synthetic``, or the largest amount of it there is."""
        amounts = [arm for arm in self.order if without_amount(arm) == REAL_SYNTHETIC]
        return amounts[-1] if amounts and REAL_SYNTHETIC not in amounts else REAL_SYNTHETIC

    def runs_of(self, arm: str) -> list[Run]:
        """Return the runs of an arm."""
        return [run for run in self.runs if run.arm == arm]

    def difference(self, arm: str, against: str, metric: str = "SEG") -> Difference | None:
        """Return one comparison, or none if an arm of it has no runs."""
        wanted = (arm, against, metric)
        return next((one for one in self.differences if (one.arm, one.against, one.metric) == wanted), None)

    def per_image(self, arm: str, metric: str = "SEG") -> Array:
        """Return a measure of every scored image, mean over the arm's seeds; (images,) float64."""
        values = [
            metric_of_totals(metric, pooled_terms([one.scores for one in run.images])) for run in self.runs_of(arm)
        ]
        return np.asarray(np.mean(values, axis=0))

    def gains(self) -> dict[str, float]:
        """Return by how much SEG of every image is higher with `headline` than with real alone, by name.

        Empty if one of both has no runs.
        """
        if self.headline not in self.arms or REAL not in self.arms:
            return {}
        gains = self.per_image(self.headline) - self.per_image(REAL)
        return {name: float(gain) for name, gain in zip(self.experiment.scored_images, gains)}

    def telling_images(self) -> dict[str, str]:
        """Return the images that gain least, as usual and most: name -> ``worst``, ``median``, ``best``, in this order.

        Fewer if there are fewer images, none without `gains`.
        """
        order = sorted(self.gains().items(), key=lambda item: item[1])
        if not order:
            return {}
        places = {len(order) // 2: "median", 0: "worst", len(order) - 1: "best"}
        return {order[place][0]: places[place] for place in sorted(places)}


def write_benefit(path: Path, benefit: Benefit) -> None:
    """Write ``benefit.json`` atomically."""
    write_json(path, benefit.model_dump(mode="json"))


def read_benefit(path: Path) -> Benefit:
    """Read ``benefit.json``; `CytoCascadeError` if it is missing or damaged."""
    try:
        return Benefit.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise CytoCascadeError(
            "There is no result of a segmentation experiment.", path=path, hint="`cytocascade benefit` writes one."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CytoCascadeError(
            f"This is no result of an experiment of this version of CytoCascade: {where}: {first['msg']}",
            path=path,
            hint="Run `cytocascade benefit` again, or use the version that wrote it.",
        ) from error


def _check(experiment: Experiment, runs: Sequence[Run]) -> None:
    seen = set()
    for run in runs:
        if (run.arm, run.seed) in seen:
            raise CytoCascadeError(f"There are two runs of '{run.arm}' with seed {run.seed}.", hint="Keep one of them.")
        seen.add((run.arm, run.seed))
        if [image.name for image in run.images] != experiment.scored_images:
            raise CytoCascadeError(
                f"The run of '{run.arm}' with seed {run.seed} was not scored on the {experiment.scored_on} images of "
                "this experiment.",
                hint="Score all of them, in the experiment's order; begin anew in another --out if the data changed.",
            )


def _differences(scores: dict[str, list[list[InstanceScores]]], seed: int) -> list[Difference]:
    pairs = [(arm, REAL) for arm in scores if arm != REAL]
    pairs += [
        (arm, baseline)
        for arm in scores
        for baseline in (COPY_PASTE, SIMULATOR)
        if without_amount(arm) == REAL_SYNTHETIC
    ]
    return [
        Difference(
            arm=arm,
            against=against,
            metric=metric.name,
            absolute=difference(scores[against], scores[arm], metric.name, seed=seed),
            relative=relative_difference(scores[against], scores[arm], metric.name, seed=seed),
            gap_closed=gap_closed(scores[REAL], scores[arm], scores[ALL_REAL], metric.name, seed=seed)
            if against == REAL and arm != ALL_REAL and ALL_REAL in scores
            else None,
        )
        for arm, against in pairs
        if arm in scores and against in scores
        for metric in METRICS
    ]
