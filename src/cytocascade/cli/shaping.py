"""``cytocascade shapes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytocascade.arguments import checked_model, parse_spacing, parse_voxel
from cytocascade.cli.options import Kind, Overwrite, Prior, Seed, VolumeBundle, Workers
from cytocascade.cli.terminal import app, progress_bar


@app.command()
def shapes(
    out: Annotated[Path, typer.Option(help="Folder of the meshes, volumes and shapes.csv.")],
    masks: Annotated[
        Path | None, typer.Option(help="Label image, or a folder of them: cells seen along z. Without it, new cells.")
    ] = None,
    bundle: VolumeBundle = "nuclei3d",
    count: Annotated[int, typer.Option(min=1, help="Number of new cells, without --masks.")] = 10,
    per_mask: Annotated[int, typer.Option(min=1, help="Different shapes for every mask.")] = 1,
    format: Annotated[str, typer.Option(help="ply, obj, tif; several with commas.")] = "ply,tif",
    shape_prior: Prior = "multiview",
    kind: Kind = "nucleus",
    axial_ratio: Annotated[float | None, typer.Option(help="Height over width; by default drawn.")] = None,
    spacing: Annotated[str | None, typer.Option(help="Micrometres per pixel of the masks.")] = None,
    voxel: Annotated[str | None, typer.Option(help="Micrometres per voxel of the volumes, z,y,x.")] = None,
    save_bank: Annotated[Path | None, typer.Option(help="File to keep the surfaces in, for generate.")] = None,
    seed: Seed = 0,
    workers: Workers = 2,
    overwrite: Overwrite = False,
) -> None:
    """Make 3D shapes from masks: meshes, volumes, and a table of their measures."""
    from cytocascade.cascade import Cascade
    from cytocascade.volumes.shape_library import ShapeOptions, draw_shape_masks, read_shape_masks, write_shapes

    options = checked_model(
        ShapeOptions,
        prior=shape_prior,
        per_mask=per_mask,
        kind=kind,
        axial_ratio=axial_ratio,
        formats=tuple(part.strip().lower() for part in format.split(",") if part.strip()),
        voxel=None if voxel is None else parse_voxel(voxel),
    )
    found = None if masks is None else read_shape_masks(masks, None if spacing is None else parse_spacing(spacing))
    loaded = Cascade.from_pretrained(bundle).bundle
    cells = found if found is not None else draw_shape_masks(loaded, count, seed, workers=workers)
    with progress_bar() as bar:
        task = bar.add_task("shapes", total=len(cells) * per_mask, remark="")
        table = write_shapes(
            out,
            loaded,
            cells,
            options,
            seed=seed,
            bank=save_bank,
            workers=workers,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    typer.echo(str(table))
