"""The command line: the only place that prints."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cytocascade import __version__
from cytocascade.arguments import parse_duration, parse_range, parse_size, parse_spacing
from cytocascade.errors import CytoCascadeError

if TYPE_CHECKING:
    from cytocascade.images import AnnotatedDataset

app = typer.Typer(
    name="cytocascade",
    help="A handful of annotated cells in, any number of annotated, realistic microscopy images out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console(stderr=True, highlight=False)


def main() -> None:
    """Run the command line; bad input ends with one clear error and exit code 2."""
    # Damaged files are reported by our own errors.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        app()
    except CytoCascadeError as error:
        _complain(str(error))
        sys.exit(2)
    except SystemExit as stop:
        # What typer makes of Ctrl-C, without a word.
        if stop.code == 130:
            _complain("interrupted; give the same command again to continue")
        raise
    except OSError as error:
        _complain(f"{error.filename or 'file'}: {error.strerror or error}")
        sys.exit(2)


def _complain(message: str) -> None:
    console.print("[bold red]Error:[/] ", end="")
    console.print(message, markup=False, soft_wrap=True)


# What several commands take.
Images = Annotated[Path, typer.Option(help="Folder of the images, or of a whole data set.")]
Masks = Annotated[Path | None, typer.Option(help="Folder of the instance masks, if apart.")]
Layout = Annotated[str, typer.Option(help="auto, folder, cellpose, ctc or stardist.")]
Spacing = Annotated[str | None, typer.Option(help="Micrometres per pixel: 0.25, or y,x.")]
Sparse = Annotated[bool, typer.Option("--sparse", help="Some cells or images carry no annotation.")]
Components = Annotated[bool, typer.Option("--label-components", help="Binary masks: label their connected components.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads; without influence on the result.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
BundleName = Annotated[str, typer.Option(help="Name of a shipped bundle, or a folder.")]


@app.command()
def fit(
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write.")],
    masks: Masks = None,
    base: Annotated[str, typer.Option("--from", help="Bundle to start from; `scratch` for none.")] = "nuclei",
    budget: Annotated[str, typer.Option(help="Time to spend: 90s, 10m, 2h.")] = "10m",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps instead of a time: exactly repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted fit.")] = True,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    name: Annotated[str | None, typer.Option(help="Name of the bundle.")] = None,
    layout: Layout = "auto",
    spacing: Spacing = None,
    sparse: Sparse = False,
    label_components: Components = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a cascade to annotated images."""
    seconds = None if steps is not None else parse_duration(budget)
    dataset = _read(images, masks, spacing, sparse, layout, label_components)
    from cytocascade.bundle import find_bundle, load_bundle
    from cytocascade.fitting import FitOptions
    from cytocascade.fitting import fit as fit_bundle

    start = None if base == "scratch" else load_bundle(find_bundle(base))
    options = FitOptions(budget=seconds, steps=steps, seed=seed, device=_checked_device(device))
    with _progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int, remark: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, remark="")
            bar.update(tasks[stage], completed=done, total=total, remark=remark)

        bundle = fit_bundle(
            list(dataset),
            out,
            options,
            base=start,
            name=name,
            resume=resume,
            overwrite=overwrite,
            progress=report,
        )
    training = bundle.config.training
    console.print(f"Fitted on {training['cells']} cells of {len(dataset)} images: {out}")
    typer.echo(str(out))


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder of the data set to write.")],
    bundle: BundleName = "nuclei",
    count: Annotated[int, typer.Option(min=1, help="Number of images.")] = 10,
    format: Annotated[
        str, typer.Option(help="folder, ome-tiff, ctc, cellpose, stardist, coco; several with commas.")
    ] = "folder",
    seed: Seed = 0,
    size: Annotated[str | None, typer.Option(help="Pixels, Y x X: 512x512.")] = None,
    cells: Annotated[str | None, typer.Option(help="Number of cells, or its range: 20:60.")] = None,
    clustering: Annotated[float | None, typer.Option(min=0, max=1, help="Clustering probability.")] = None,
    touching: Annotated[float | None, typer.Option(min=0, max=1, help="Share of touching cells.")] = None,
    overlap: Annotated[float | None, typer.Option(min=0, max=1, help="Share of clustered cells that overlap.")] = None,
    area_scale: Annotated[float, typer.Option(help="Factor on the cells' areas.")] = 1.0,
    brightness_scale: Annotated[float, typer.Option(help="Factor on the cells' light.")] = 1.0,
    guidance: Annotated[float, typer.Option(min=0, help="Guidance of the textures; 1 is none.")] = 1.0,
    test_fraction: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the images for test/ (stardist).")
    ] = 0.0,
    workers: Workers = 2,
    overwrite: Overwrite = False,
) -> None:
    """Generate annotated images; the same command again continues an interrupted run."""
    from cytocascade.cascade import Cascade
    from cytocascade.export import get_exporters
    from cytocascade.generation import GenerationOptions

    names = tuple(exporter.name for exporter in get_exporters(format))
    options = GenerationOptions.checked(
        size=None if size is None else parse_size(size),
        cells=None if cells is None else parse_range(cells),
        p_cluster=clustering,
        touching_rate=touching,
        overlap_rate=overlap,
        area_scale=area_scale,
        brightness_scale=brightness_scale,
        guidance=guidance,
    )
    cascade = Cascade.from_pretrained(bundle)
    with _progress_bar() as bar:
        task = bar.add_task("images", total=count, remark="")
        cascade.write(
            count,
            out,
            formats=names,
            seed=seed,
            options=options,
            test_fraction=test_fraction,
            workers=workers,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print(f"{count} annotated images: {out} (see {out / 'README.md'})")
    typer.echo(str(out))


@app.command()
def replay(
    reference: Annotated[str, typer.Argument(help="MANIFEST#i, for example data/manifest.jsonl#3.")],
    out: Annotated[Path, typer.Option(help="Folder for the image and its mask.")],
    bundle: Annotated[
        str | None, typer.Option(help="Bundle it was made with; by default the one that the manifest names.")
    ] = None,
    workers: Workers = 2,
) -> None:
    """Generate one sample of a data set again, byte for byte."""
    from cytocascade.bundle import shipped_bundles
    from cytocascade.cascade import Cascade
    from cytocascade.export import get_exporters, load_record

    record = load_record(reference)
    name = record["bundle"]["name"]
    if bundle is None and name not in shipped_bundles():
        raise CytoCascadeError(
            f"the sample was made with the bundle {name!r}, which is not a shipped one",
            path=reference,
            hint="Tell where that bundle lies: --bundle DIR",
        )
    sample = Cascade.from_pretrained(bundle or name).replay(reference, workers=workers)
    for path in get_exporters("folder")[0].write(out, sample):
        typer.echo(str(path))


@app.command()
def evaluate(
    real: Annotated[Path, typer.Option(help="Real annotated images, any layout.")],
    synthetic: Annotated[Path, typer.Option(help="Synthetic annotated images.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and index.html.")],
    training: Annotated[
        Path | None, typer.Option(help="The images that the cascade was fitted on, to look for copies.")
    ] = None,
    spacing: Spacing = None,
    sparse: Sparse = False,
    layout: Layout = "auto",
    features: Annotated[str, typer.Option(help="auto, inception, efficientnet or none.")] = "auto",
    seed: Seed = 0,
) -> None:
    """Compare synthetic with real images: figures, floors, pictures."""
    from cytocascade.evaluation import evaluate_folders

    with _progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, fraction: float) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=100, remark="")
            bar.update(tasks[stage], completed=round(100 * fraction))

        evaluate_folders(
            real,
            synthetic,
            out,
            training=training,
            spacing=None if spacing is None else parse_spacing(spacing),
            sparse=sparse,
            layout=layout,
            seed=seed,
            features=features,  # type: ignore[arg-type]
            progress=report,
        )
    typer.echo(str(out / "index.html"))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the data set to write.")] = Path("demo"),
    bundle: BundleName = "nuclei",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    workers: Workers = 2,
    overwrite: Overwrite = False,
) -> None:
    """Generate four small annotated images and a picture of them, to see what comes out."""
    from cytocascade.cascade import Cascade
    from cytocascade.demo import describe_demo, run_demo

    cascade = Cascade.from_pretrained(bundle)
    with _progress_bar() as bar:
        task = bar.add_task("images", total=None, remark="")
        result = run_demo(
            out,
            cascade=cascade,
            seed=seed,
            workers=workers,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    typer.echo(describe_demo(result))


@app.command()
def info(bundle: Annotated[str, typer.Argument(help="Name of a shipped bundle, or a folder.")] = "") -> None:
    """Show the card of a bundle, or list the shipped ones."""
    from cytocascade.bundle import find_bundle, shipped_bundles

    if not bundle:
        typer.echo(f"CytoCascade {__version__}; shipped bundles: {', '.join(shipped_bundles()) or 'none'}")
        return
    typer.echo((find_bundle(bundle) / "README.md").read_text(encoding="utf-8"))


def _checked_device(device: str) -> str:
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise CytoCascadeError(
            f"the device {device!r} cannot be used ({str(error).splitlines()[0]})", hint="Use --device cpu."
        ) from error
    return device


def _read(
    images: Path, masks: Path | None, spacing: str | None, sparse: bool, layout: str, label_components: bool
) -> AnnotatedDataset:
    from cytocascade.images import read_dataset

    dataset = read_dataset(
        images,
        masks,
        spacing=None if spacing is None else parse_spacing(spacing),
        sparse=sparse,
        layout=layout,
        label_components=label_components,
    )
    for warning in dataset.warnings:
        console.print(f"[yellow]Note:[/] {warning}", soft_wrap=True)
    return dataset


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[remark]}"),
        console=console,
    )


if __name__ == "__main__":
    main()
