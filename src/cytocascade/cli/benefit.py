"""``cytocascade benefit`` and ``segment``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytocascade.arguments import checked_model, parse_duration, parse_spacing
from cytocascade.cli.options import Components, Dim, Images, Layout, Masks, Overwrite, Seed, Spacing
from cytocascade.cli.stable_diffusion import with_stable_diffusion
from cytocascade.cli.terminal import app, console, progress_bar, stages

if TYPE_CHECKING:
    from cytocascade.benefit.options import BenefitOptions

Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes of one thread each; without influence on the result. Default: the cores."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")]


@app.command()
@with_stable_diffusion
def benefit(
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder for benefit.json, index.html and all that leads to them.")],
    masks: Masks = None,
    budget: Annotated[
        str, typer.Option(help="Annotated images to learn from: 4, or a window of cells: 20cells.")
    ] = "4",
    arms: Annotated[
        str,
        typer.Option(
            help="What segmenters are trained on: real, real+copypaste, real+simulator, real+synthetic, synthetic, "
            "all-real; real+synthetic@5 makes five times the real area."
        ),
    ] = "real,real+copypaste,real+simulator,real+synthetic,all-real",
    seeds: Annotated[int, typer.Option(min=1, help="Segmenters per arm.")] = 3,
    dim: Dim = 2,
    amount: Annotated[float, typer.Option(help="Area of added images, as a multiple of the real ones.")] = 10.0,
    variety: Annotated[
        float, typer.Option(min=0, max=1, help="How far generated and simulated images reach beyond the real ones.")
    ] = 1.0,
    real_share: Annotated[float, typer.Option(help="Share of the training crops that are real, in mixed arms.")] = 0.5,
    keep_best: Annotated[
        float,
        typer.Option(help="Use only this share of the synthetic images, those a real-trained segmenter agrees with."),
    ] = 1.0,
    split: Annotated[str, typer.Option(help="even, or ordered: test on the last images, for videos.")] = "even",
    test_fraction: Annotated[float, typer.Option(help="Share of the images that is tested on.")] = 0.5,
    tune: Annotated[
        bool, typer.Option("--tune", help="Score on a part of the training images; never look at the test images.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option("--from", help="Bundle to fit from; `scratch` for none; by default nuclei, phase or nuclei3d."),
    ] = None,
    base_seen: Annotated[str, typer.Option(help="For the report: what that bundle was trained on.")] = "",
    fit_budget: Annotated[str, typer.Option(help="Time for fitting the cascade: 90s, 10m.")] = "5m",
    fit_steps: Annotated[int | None, typer.Option(min=1, help="Steps of the fit instead: exactly repeatable.")] = None,
    segmenter: Annotated[str, typer.Option(help="Kind of segmenter: cellpose.")] = "cellpose",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of every segmenter.")] = 300,
    batch: Annotated[int, typer.Option(min=1, help="Crops per step.")] = 8,
    crop: Annotated[int, typer.Option(min=32, help="Side of a crop, in pixels of the rescaled images.")] = 112,
    diameter: Annotated[float, typer.Option(help="Pixels that the cells' mean diameter is rescaled to.")] = 30.0,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    slice_step: Annotated[int, typer.Option(min=1, help="Volumes: pixels between training slices.")] = 4,
    flow_threshold: Annotated[
        float, typer.Option(min=0, help="Images: Cellpose's limit for doubtful cells; larger keeps more, 0 keeps all.")
    ] = 0.4,
    precision: Annotated[
        str, typer.Option(help="fp32, bf16 (emulated by processors that lack it), or auto: bf16 where it is fast.")
    ] = "auto",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the best segmenter, for `cytocascade segment`.")] = False,
    time: Annotated[str | None, typer.Option(help="Begin no further run after this time: 90m, 3h.")] = None,
    workers: Workers = None,
    device: Device = "cpu",
    seed: Seed = 0,
    layout: Layout = "auto",
    spacing: Spacing = None,
    label_components: Components = False,
    overwrite: Overwrite = False,
    stable_diffusion: Any = None,
) -> None:
    """Find out whether synthetic images help: segmenters trained with and without, tested on other images."""
    from cytocascade.benefit.options import BenefitOptions
    from cytocascade.cli.fitting import checked_device
    from cytocascade.segmentation.base import SegmenterOptions

    training = checked_model(
        SegmenterOptions,
        steps=steps, batch=batch, crop=crop, diameter=diameter, learning_rate=learning_rate, slice_step=slice_step,
        flow_threshold=flow_threshold, precision=precision, device=checked_device(device),
    )  # fmt: skip
    options = checked_model(
        BenefitOptions,
        dim=dim, budget=budget, arms=tuple(name.strip() for name in arms.split(",")), seeds=seeds, amount=amount,
        variety=variety, real_share=real_share, keep_best=keep_best, split=split, test_fraction=test_fraction,
        score_on="validation" if tune else "test", base=base or ("nuclei" if dim == 2 else "nuclei3d"),
        fit_seconds=None if fit_steps is not None else parse_duration(fit_budget), fit_steps=fit_steps,
        segmenter=segmenter, training=training, seed=seed, stable_diffusion=stable_diffusion,
    )  # fmt: skip
    limit = None if time is None else parse_duration(time)
    _run(
        options, images, masks, out, spacing=spacing, layout=layout, label_components=label_components,
        choose_base=base is None and dim == 2, base_seen=base_seen, keep=keep,
        workers=_processes(workers, device), time_limit=limit, overwrite=overwrite,
    )  # fmt: skip


def _run(
    options: BenefitOptions,
    images: Path,
    masks: Path | None,
    out: Path,
    *,
    spacing: str | None,
    layout: str,
    label_components: bool,
    choose_base: bool,
    **given: Any,
) -> None:
    from cytocascade.benefit.experiment import run_benefit
    from cytocascade.cli.fitting import read_annotated
    from cytocascade.fitting import usual_base

    dataset = read_annotated(
        images, masks, spacing=spacing, layout=layout, label_components=label_components, dim=options.dim
    )
    if choose_base:
        options = options.model_copy(update={"base": usual_base(dataset)})
    with stages() as report:
        found = run_benefit(list(dataset), out, options, data=[_name_of(images)], progress=report, **given)
    console.print(found.verdict, soft_wrap=True)
    if found.missing:
        console.print(f"{len(found.missing)} runs are still to do: give the same command again to go on.")
    typer.echo(str(out / "index.html"))


def _name_of(images: Path) -> str:
    """Return what a data set is called: its folder, not the one of its images."""
    folder = images.resolve()
    return folder.parent.name if folder.name.lower() in ("images", "image", "imgs", "train") else folder.name


def _processes(workers: int | None, device: str) -> int:
    import os

    if workers is not None:
        return workers
    # One GPU is used best by one training at a time.
    return (
        1
        if device != "cpu"
        else len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )


@app.command()
def segment(
    images: Annotated[list[Path], typer.Argument(help="Images, volumes, or folders of them.")],
    segmenter: Annotated[Path, typer.Option(help="Folder of the segmenter, as `benefit --keep` wrote it.")],
    out: Annotated[Path, typer.Option(help="Folder for the labels, NAME_masks.tif.")],
    spacing: Spacing = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Segment images or volumes with a segmenter that was kept."""
    from cytocascade.cli.fitting import checked_device
    from cytocascade.segmentation.applying import segment_files

    with progress_bar() as bar:
        task = bar.add_task("segment", total=None, remark="")
        reported: list[int] = []

        def report(done: int, total: int, remark: str) -> None:
            reported.append(done)
            bar.update(task, completed=done, total=total, remark=remark)

        labels = segment_files(
            images,
            segmenter,
            out,
            spacing=None if spacing is None else parse_spacing(spacing),
            device=checked_device(device),
            overwrite=overwrite,
            progress=report,
        )
    before = reported[0]
    console.print(f"{len(labels) - before} label images written" + (f", {before} were there." if before else "."))
    typer.echo(str(out))
