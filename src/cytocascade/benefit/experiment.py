"""The experiment from images to verdict; every finished piece is kept, so that an interrupted one goes on."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from cytocascade import __version__
from cytocascade.benefit.crew import Report, in_processes
from cytocascade.benefit.material import Maker, image_files, kept_images, make_and_keep
from cytocascade.benefit.options import Arm, BenefitOptions, Budget, Source
from cytocascade.benefit.report import write_report
from cytocascade.benefit.results import BaseUsed, Benefit, Experiment, Run, SegmenterUsed, Window, write_benefit
from cytocascade.benefit.selection import AGREEMENT_FILE, write_agreement
from cytocascade.benefit.splits import Split, split_images
from cytocascade.benefit.training import Job, Laboratory, run_job, run_key
from cytocascade.bundle import Bundle, find_bundle, load_bundle
from cytocascade.diffusion.sampling import single_threaded_torch
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting import FitOptions, fingerprint_of, fit
from cytocascade.fitting_state import work_folder
from cytocascade.images.stacks import StackDataset
from cytocascade.seeding import derive_seed
from cytocascade.segmentation.registry import load_segmenter, method_named
from cytocascade.storage import write_json
from cytocascade.types import AnnotatedImage, AnnotatedStack
from cytocascade.volumes.fitting import fit_volumes

RESULT_FILE = "benefit.json"
KEPT_SEGMENTER = "segmenter"


def run_benefit(
    images: Sequence[AnnotatedImage],
    out: Path,
    options: BenefitOptions | None = None,
    *,
    data: Sequence[str] = (),
    base_seen: str = "",
    keep: bool = False,
    workers: int = 1,
    time_limit: float | None = None,
    overwrite: bool = False,
    progress: Report | None = None,
) -> Benefit:
    """Find out whether synthetic images help to segment the images at hand.

    A cascade is fitted on the budget alone; every arm trains segmenters with the same number of steps and the same
    augmentation; all are tested on the same images, which neither cascade nor segmenters have seen. What is finished is
    kept in `out`; the same call goes on where it was left. Arms and seeds can be added later.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Completely annotated 2D images or volumes, in the order of their names (of time, for videos).
    out : Path
        Folder for ``benefit.json``, ``index.html`` and all that leads to them.
    options : BenefitOptions, optional
        Budget, arms, seeds, split, segmenter.
    data : sequence of str
        Names of the data's folders, for the record.
    base_seen : str
        What the base bundle was trained on and why it has not seen the test images, for the record.
    keep : bool
        Whether the best arm's segmenter is kept, in ``out/segmenter``.
    workers : int
        Processes of one thread each; without influence on the result.
    time_limit : float, optional
        Seconds after which no further run is begun.
    overwrite : bool
        Whether another experiment that is in `out`, or runs with other options, are replaced.
    progress : callable, optional
        Called with (what is worked on, done, in all, remark).

    Returns
    -------
    Benefit
        With the runs that are done; ``Benefit.missing`` tells the others.

    Raises
    ------
    CytoCascadeError
        If there are too few images or incomplete annotations, an option is not possible, or `out` holds another
        experiment.
    """
    begun = time.monotonic()
    options, report = options or BenefitOptions(), progress or (lambda what, done, total, remark: None)
    arms, budget, method = options.parsed_arms(), Budget.parsed(options.budget), method_named(options.segmenter)
    version = method.version()
    base = None if options.base == "scratch" else load_bundle(find_bundle(options.base))
    _refuse_sparse(images)
    split = split_images(
        images,
        budget,
        ordered=options.split == "ordered",
        test_fraction=options.test_fraction,
        seed=options.seed,
        validate=options.score_on == "validation",
    )
    fitting = FitOptions(
        budget=options.fit_seconds,
        steps=options.fit_steps,
        seed=options.seed,
        device=options.training.device,
        stable_diffusion=options.stable_diffusion,
    )
    fingerprint = fingerprint_of(images, FitOptions(), None, _what_is_fixed(options), version)
    _claim(out, fingerprint, overwrite=overwrite)
    laboratory = Laboratory(split, options, out, keep=keep, replace=overwrite)
    jobs = [Job(arm, seed) for seed in range(options.seeds) for arm in arms]
    _prepare(laboratory, arms, base, fitting, workers=workers, report=report)
    experiment = _record(laboratory, base, data=data, base_seen=base_seen, version=version)
    longest = 0.0

    def may_start() -> bool:
        return time_limit is None or time.monotonic() - begun + longest < time_limit

    runs: list[Run] = []
    tasks = [(job,) for job in jobs]
    shared = (laboratory, fingerprint)
    report("runs", 0, len(tasks), "")
    for run in in_processes(tasks, run_job, shared, workers=workers, report=report, may_start=may_start):
        runs.append(run)
        longest = max(longest, run.seconds_training + run.seconds_testing)
        report("runs", len(runs), len(tasks), f"{run.arm}, seed {run.seed}")
        write_benefit(out / RESULT_FILE, Benefit.of(experiment, runs, seed=options.seed))
    benefit = Benefit.of(experiment, runs, seed=options.seed)
    write_benefit(out / RESULT_FILE, benefit)
    if runs:
        write_report(benefit, laboratory, arms)
    if keep and not benefit.missing:
        _keep_best(benefit, laboratory, arms, fingerprint, report)
    return benefit


def _refuse_sparse(images: Sequence[AnnotatedImage]) -> None:
    sparse = [image.name for image in images if image.sparse]
    if sparse:
        raise CytoCascadeError(
            f"{len(sparse)} images are not annotated completely ({', '.join(sparse[:5])}): cells rightly found in them "
            "would count as invented",
            hint="Leave these images out.",
        )


def _what_is_fixed(options: BenefitOptions) -> str:
    """Return what cannot change within one folder, beside the images; arms, seeds and amounts can."""
    what = {"dim", "budget", "split", "test_fraction", "score_on", "seed"}
    return json.dumps(options.model_dump(mode="json", include=what), sort_keys=True)


def _claim(out: Path, fingerprint: str, *, overwrite: bool) -> None:
    """Make `out` the folder of this experiment."""
    file = out / "experiment.json"
    known: object = None
    if file.exists():
        try:
            known = json.loads(file.read_bytes())["fingerprint"]
        except (ValueError, KeyError, TypeError):
            known = "damaged"
    if known == fingerprint:
        return
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            raise CytoCascadeError(
                "something else is here"
                if known is None
                else "another experiment is here: its images, budget, split, seed or version differ",
                path=out,
                hint="Choose another --out, or replace it with --overwrite.",
            )
        if known is None:
            raise CytoCascadeError(
                "this folder holds other files than those of an experiment", path=out, hint="Choose another --out."
            )
        shutil.rmtree(out)
    write_json(file, {"fingerprint": fingerprint})


def _prepare(
    laboratory: Laboratory,
    arms: Sequence[Arm],
    base: Bundle | None,
    fitting: FitOptions,
    *,
    workers: int,
    report: Report,
) -> None:
    """Fit the cascade and make the added images, as far as arms need them."""
    wanted: dict[Source, int] = {}
    for arm in arms:
        if arm.source is not None:
            wanted[arm.source] = max(wanted.get(arm.source, 0), laboratory.added_count(arm))
    if not wanted:
        return
    bundle = laboratory.out / "cascade"
    if set(wanted) != {"copypaste"}:
        _fit_cascade(laboratory, bundle, base, fitting, report)
    options = laboratory.options
    maker = Maker(laboratory.split.budget, bundle, derive_seed(options.seed, "added"), options.variety)
    for source, count in wanted.items():
        folder = laboratory.folder_of(source)
        lacking = [index for index in range(count) if not image_files(folder, index)[1].exists()]
        report(source, count - len(lacking), count, "")
        if lacking and source == "simulator":
            report(source, count - len(lacking), count, "measuring the real images")
            with single_threaded_torch():
                _ = maker.simulator
        done = count - len(lacking)
        for _ in in_processes(
            [(index,) for index in lacking], _make, (maker, source, folder), workers=workers, report=report
        ):
            done += 1
            report(source, done, count, "")
    if "synthetic" in wanted and options.keep_best < 1:
        _rank(laboratory, wanted["synthetic"], report)


def _make(index: int, maker: Maker, source: Source, folder: Path, report: Report) -> int:
    make_and_keep(maker, source, index, folder)
    return index


def _fit_cascade(
    laboratory: Laboratory, folder: Path, base: Bundle | None, fitting: FitOptions, report: Report
) -> None:
    """Fit the cascade on the budget; one that was fitted, or begun, with other options is replaced if runs are."""
    budget = laboratory.split.budget
    if laboratory.options.dim == 2:
        make = partial(fit, list(budget), folder, fitting, base=base, progress=report)
    else:
        stacks = tuple(
            AnnotatedStack(
                image=image.image,
                labels=image.labels,
                annotated=tuple(range(len(image.image))),
                spacing=(image.spacing[0], image.spacing[1], image.spacing[2]),
                name=image.name,
                spacing_known=image.spacing_known,
            )
            for image in budget
        )
        dataset = StackDataset(stacks=stacks, images=(), layout="memory", root=laboratory.out, files=())
        make = partial(fit_volumes, dataset, folder, fitting, base=base, progress=report)
    try:
        make()
    except CytoCascadeError as error:
        # A fit, or an interrupted one beside it, is in the way; all else that is wrong would be wrong again.
        if error.path not in (folder, work_folder(folder)):
            raise
        if not laboratory.replace:
            hint = "Choose another --out, or replace what was fitted here with --overwrite."
            raise CytoCascadeError(error.problem, path=error.path, hint=hint) from error
        # First what it made: an interruption must not leave images of one cascade beside another.
        for source in ("simulator", "synthetic"):
            for made in (laboratory.out / "added").glob(f"{source}-*"):
                shutil.rmtree(made)
        make(resume=False, overwrite=True)


def _rank(laboratory: Laboratory, count: int, report: Report) -> None:
    """Measure how well a segmenter of the real images finds the labels of the synthetic ones."""
    folder = laboratory.folder_of("synthetic")
    try:
        known = len(json.loads((folder / AGREEMENT_FILE).read_bytes()))
    except (OSError, ValueError):
        known = 0
    if known >= count:
        return
    judge = laboratory.out / "judge"
    plain = laboratory.options.model_copy(update={"keep_best": 1.0})
    job = Job(Arm.parsed("real"), 0)
    if not judge.exists():
        lab = Laboratory(laboratory.split, plain, judge.with_name("judging"), keep=True)
        with single_threaded_torch():
            run_job(job, lab, "judge", report)
        shutil.move(lab.model_folder(job), judge)
        shutil.rmtree(lab.out)
    report("ranking", 0, count, "")
    images = kept_images(folder, count, laboratory.split.budget[0])
    with single_threaded_torch():
        write_agreement(images, load_segmenter(judge), folder)
    report("ranking", count, count, "")


def _record(
    laboratory: Laboratory, base: Bundle | None, *, data: Sequence[str], base_seen: str, version: str
) -> Experiment:
    options, split = laboratory.options, laboratory.split
    training = options.training.model_dump(mode="json")
    training["precision"] = laboratory.precision
    others = {"split", "test_fraction", "fit_seconds", "fit_steps", "keep_best", "seed", "amount", "variety"}
    others |= {"stable_diffusion"}
    rest = options.model_dump(mode="json", include=others)
    arms = options.parsed_arms()
    return Experiment(
        dim=3 if options.dim == 3 else 2,
        data=list(data),
        budget=options.budget,
        training_images=[image.name for image in split.budget],
        window=_window(split),
        all_training_images=[image.name for image in split.pool],
        validation_images=[image.name for image in split.validation],
        test_images=[image.name for image in split.test],
        scored_on=options.score_on,
        arms=list(options.arms),
        seeds=list(range(options.seeds)),
        segmenter=SegmenterUsed(name=options.segmenter, version=version, options=training),
        steps=options.training.steps,
        real_share=options.real_share,
        amounts={arm.name: laboratory.added_count(arm) for arm in arms if arm.source is not None},
        base=None
        if base is None
        else BaseUsed(name=base.config.name, hash=base.hash, seen=base_seen or _training_of(base)),
        settings=rest,
        version=__version__,
        machine=machine(),
        date=datetime.date.today().isoformat(),
    )


def _training_of(base: Bundle) -> str:
    names = base.config.training.get("images", [])
    return f"trained on {len(names)} images (see its card); whether a test image is among them was not checked"


def _window(split: Split) -> Window | None:
    """Return the window that the last image of the budget was cut to, if it was."""
    name = split.budget[-1].name
    if not name.endswith("]"):
        return None
    whole, _, place = name[:-1].rpartition("[")
    sides = [[int(value) for value in side.split(":")] for side in place.split(",")]
    return Window(name=whole, start=[side[0] for side in sides], stop=[side[1] for side in sides])


def machine() -> str:
    """Return processor, cores and GPU of this machine, for the record."""
    words = f"{platform.machine()}, {os.cpu_count()} cores"
    return f"{words}, {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else words


def _keep_best(benefit: Benefit, laboratory: Laboratory, arms: Sequence[Arm], fingerprint: str, report: Report) -> None:
    """Keep the segmenter of the best arm's first seed, and only that."""
    best = Job(max(arms, key=lambda arm: benefit.arms[arm.name]["SEG"].mean), 0)
    target, record = laboratory.out / KEPT_SEGMENTER, laboratory.out / "kept.json"
    wanted = {"arm": best.arm.name, "key": run_key(best, laboratory, fingerprint)}
    if target.exists() and record.exists() and json.loads(record.read_bytes()) == wanted:
        return
    if not laboratory.model_folder(best).exists():
        # Trained before keeping was asked for: the same training gives the same segmenter.
        laboratory.run_file(best).unlink()
        with single_threaded_torch():
            run_job(best, laboratory, fingerprint, report)
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(laboratory.model_folder(best), target)
    shutil.rmtree(laboratory.model_folder(best).parent)
    write_json(record, wanted)
