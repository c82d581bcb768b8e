"""``cytocascade generate``, ``replay`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytocascade.arguments import parse_range, parse_ratio, parse_size, parse_voxel
from cytocascade.cli.options import Arrangement, BundleName, Overwrite, Prior, Seed, Workers
from cytocascade.cli.stable_diffusion import SdBase, SdCompile, SdDevice, SdLcmLora, runtime_of
from cytocascade.cli.terminal import app, console, progress_bar
from cytocascade.errors import CytoCascadeError


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder of the data set to write.")],
    bundle: Annotated[
        str | None, typer.Option(help="Name of a shipped bundle, or a folder; nuclei or nuclei3d by default.")
    ] = None,
    dim: Annotated[int | None, typer.Option(min=2, max=3, help="2 for images, 3 for volumes: as the bundle.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of images.")] = 10,
    format: Annotated[
        str,
        typer.Option(help="folder, ome-tiff, ome-zarr, ctc, cellpose, stardist, nnunet, coco; several with commas."),
    ] = "folder",
    seed: Seed = 0,
    size: Annotated[str | None, typer.Option(help="Pixels, Y x X: 512x512; voxels, Z x Y x X: 48x256x256.")] = None,
    spacing: Annotated[str | None, typer.Option(help="Volumes: micrometres per voxel, z,y,x.")] = None,
    cells: Annotated[str | None, typer.Option(help="Number of cells, or its range: 20:60.")] = None,
    clustering: Annotated[float | None, typer.Option(min=0, max=1, help="Clustering probability.")] = None,
    touching: Annotated[float | None, typer.Option(min=0, max=1, help="Share of touching cells.")] = None,
    overlap: Annotated[float | None, typer.Option(min=0, max=1, help="Share of clustered cells that overlap.")] = None,
    area_scale: Annotated[float, typer.Option(help="Factor on the cells' areas.")] = 1.0,
    brightness_scale: Annotated[float, typer.Option(help="Factor on the cells' light.")] = 1.0,
    variety: Annotated[
        float, typer.Option(min=0, max=1, help="How far images reach beyond the fitted ones, for training segmenters.")
    ] = 0.0,
    guidance: Annotated[float, typer.Option(min=0, help="Guidance of the textures; 1 is none.")] = 1.0,
    mask_steps: Annotated[
        int | None, typer.Option(min=2, help="Network evaluations per mask; by default as usual for the bundle.")
    ] = None,
    test_fraction: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share held out for tests (stardist, cellpose, nnunet).")
    ] = 0.0,
    slice_step: Annotated[
        int | None, typer.Option(min=1, help="Volumes as cellpose: pixels from one slice to the next.")
    ] = None,
    arrangement: Arrangement = None,
    packing: Annotated[float | None, typer.Option(help="Volumes: part of a ball that its cells fill.")] = None,
    shape_prior: Prior = "multiview",
    shape_bank: Annotated[
        Path | None, typer.Option(help="Volumes: take surfaces from a file of `cytocascade shapes --save-bank`.")
    ] = None,
    axial_ratio: Annotated[
        str | None, typer.Option(help="Volumes: height of the cells over their width: 0.5, or 0.4:0.6.")
    ] = None,
    texture_rho: Annotated[
        float | None, typer.Option(help="Volumes: slices share noise as in arXiv 2411.11515, whatever their distance.")
    ] = None,
    texture_length: Annotated[
        float | None, typer.Option(help="Volumes: length along z, in um, over which textures decorrelate.")
    ] = None,
    texture_sampler: Annotated[
        str | None,
        typer.Option(rich_help_panel="Stable Diffusion", help="paper, ddim, dpm++ or lcm; dpm++@10: in 10 steps."),
    ] = None,
    sd_base: SdBase = None,
    sd_device: SdDevice = "auto",
    sd_compile: SdCompile = False,
    sd_lcm_lora: SdLcmLora = None,
    workers: Workers = 2,
    overwrite: Overwrite = False,
) -> None:
    """Generate annotated images; the same command again continues an interrupted run."""
    from cytocascade.cascade import Cascade
    from cytocascade.export import get_exporters
    from cytocascade.generation_options import GenerationOptions
    from cytocascade.volumes.cells import load_bank

    names = tuple(exporter.name for exporter in get_exporters(format))
    runtime = runtime_of(sd_base, sd_device, sd_compile, sd_lcm_lora)
    cascade = Cascade.from_pretrained(bundle or ("nuclei3d" if dim == 3 else "nuclei"), runtime)
    made = cascade.bundle.config.dim
    if dim not in (None, made):
        raise CytoCascadeError(
            f"--dim {dim}: the bundle {cascade.bundle.config.name!r} generates {'volumes' if made == 3 else 'images'}",
            hint="Give another --bundle, or leave --dim out.",
        )
    options = GenerationOptions.checked(
        size=None if size is None else parse_size(size),
        cells=None if cells is None else parse_range(cells),
        p_cluster=clustering,
        touching_rate=touching,
        overlap_rate=overlap,
        area_scale=area_scale,
        brightness_scale=brightness_scale,
        variety=variety,
        guidance=guidance,
        mask_steps=mask_steps,
        spacing=None if spacing is None else parse_voxel(spacing),
        arrangement=arrangement,
        packing=packing,
        shape_prior=shape_prior,
        shape_bank=None if shape_bank is None else str(shape_bank),
        axial_ratio=None if axial_ratio is None else parse_ratio(axial_ratio),
        texture_rho=texture_rho,
        texture_length=texture_length,
        texture_sampler=texture_sampler,
    )
    if shape_bank is not None:
        # A wrong file is told before a data set is begun.
        load_bank(shape_bank, cascade.bundle)
    with progress_bar() as bar:
        task = bar.add_task("images", total=count, remark="")
        cascade.write(
            count,
            out,
            formats=names,
            seed=seed,
            options=options,
            test_fraction=test_fraction,
            slice_step=slice_step,
            workers=workers,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    what = "volumes" if made == 3 else "images"
    console.print(f"{count} annotated {what}: {out} (see {out / 'README.md'})")
    typer.echo(str(out))


@app.command()
def replay(
    reference: Annotated[str, typer.Argument(help="MANIFEST#i, for example data/manifest.jsonl#3.")],
    out: Annotated[Path, typer.Option(help="Folder for the image and its mask.")],
    bundle: Annotated[
        str | None, typer.Option(help="Bundle it was made with; by default the one that the manifest names.")
    ] = None,
    sd_base: SdBase = None,
    sd_device: SdDevice = "auto",
    sd_lcm_lora: SdLcmLora = None,
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
    runtime = runtime_of(sd_base, sd_device, False, sd_lcm_lora)
    sample = Cascade.from_pretrained(bundle or name, runtime).replay(reference, workers=workers)
    for path in get_exporters("folder")[0].write(out, sample):
        typer.echo(str(path))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the data set to write.")] = Path("demo"),
    bundle: BundleName = "nuclei",
    volume_bundle: Annotated[str, typer.Option(help="Bundle of the volume; `none` for no volume.")] = "nuclei3d",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    workers: Workers = 2,
    overwrite: Overwrite = False,
) -> None:
    """Generate four small annotated images, one small volume, and a picture of each, to see what comes out."""
    from cytocascade.cascade import Cascade
    from cytocascade.demo import describe_demo, run_demo, run_volume_demo

    cascade = Cascade.from_pretrained(bundle)
    with progress_bar() as bar:
        task = bar.add_task("images", total=None, remark="")
        result = run_demo(
            out,
            cascade=cascade,
            seed=seed,
            workers=workers,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        if volume_bundle != "none":
            more = bar.add_task("volume", total=None, remark="")
            result = run_volume_demo(
                result,
                cascade=Cascade.from_pretrained(volume_bundle),
                seed=seed,
                workers=workers,
                overwrite=overwrite,
                progress=lambda done, total: bar.update(more, completed=done, total=total),
            )
    typer.echo(describe_demo(result))
