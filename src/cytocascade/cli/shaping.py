"""``cytocascade shapes``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytocascade.arguments import checked_model, parse_cubes, parse_spacing, parse_voxel
from cytocascade.cli.options import Kind, Overwrite, Prior, Seed, VolumeBundle, Workers
from cytocascade.cli.terminal import app, progress_bar
from cytocascade.errors import CytoCascadeError

if TYPE_CHECKING:
    from cytocascade.volumes.shape_imports import Plan


@app.command()
def shapes(
    out: Annotated[Path, typer.Option(help="Folder of the meshes, volumes and shapes.csv.")],
    masks: Annotated[
        Path | None, typer.Option(help="Label image, or a folder of them: cells seen along z. Without it, new cells.")
    ] = None,
    imported: Annotated[
        Path | None,
        typer.Option("--import", help="SyncDreamer's shapes: .ply, .obj, .png of 16 views, or a folder of such."),
    ] = None,
    bundle: VolumeBundle = "nuclei3d",
    count: Annotated[int, typer.Option(min=1, help="Number of new cells, without --masks.")] = 10,
    per_mask: Annotated[int, typer.Option(min=1, help="Different shapes for every mask.")] = 1,
    format: Annotated[str, typer.Option(help="ply, obj, tif, slices; several with commas.")] = "ply,tif",
    shape_prior: Prior = "multiview",
    kind: Kind = "nucleus",
    axial_ratio: Annotated[float | None, typer.Option(help="Height over width; by default drawn.")] = None,
    diameter: Annotated[float | None, typer.Option(help="--import: largest extent across z, in um.")] = None,
    volume: Annotated[float | None, typer.Option(help="--import: volume, in cubic um.")] = None,
    area: Annotated[float | None, typer.Option(help="--import: area seen along z, in square um.")] = None,
    unit: Annotated[float | None, typer.Option(help="--import: um per unit of the files.")] = None,
    up: Annotated[str, typer.Option(help="--import: what becomes the optical axis: z, y, x, flat or view.")] = "z",
    elevation: Annotated[float, typer.Option(help="--import --up view: elevation of SyncDreamer's input.")] = 30.0,
    spacing: Annotated[
        str | None, typer.Option(help="Micrometres per pixel of the masks; with --import alone, as --voxel.")
    ] = None,
    voxel: Annotated[str | None, typer.Option(help="Micrometres per voxel of the volumes, z,y,x.")] = None,
    save_bank: Annotated[Path | None, typer.Option(help="File to keep the surfaces in, for generate.")] = None,
    seed: Seed = 0,
    workers: Workers = 2,
    overwrite: Overwrite = False,
) -> None:
    """Make 3D shapes from masks, or import some: meshes, volumes, and a table of their measures."""
    from cytocascade.cascade import Cascade
    from cytocascade.volumes.shape_library import ShapeOptions, draw_shape_masks, read_shape_masks, write_shapes

    formats = tuple(part.strip().lower() for part in format.split(",") if part.strip())
    size = {"diameter": diameter, "volume": volume, "area": area, "unit": unit}
    wished = {name: value for name, value in size.items() if value is not None}
    if imported is not None:
        if per_mask > 1 or axial_ratio is not None:
            raise CytoCascadeError("imported shapes stay as they are", hint="Leave --per-mask and --axial-ratio out.")
        if masks is not None and wished:
            raise CytoCascadeError(f"--masks and --{next(iter(wished))} both tell the size", hint="Leave one out.")
        plan = _plan(imported, masks, spacing, {**wished, "up": up, "elevation": elevation}, shape_prior)
        asked = voxel or (spacing if masks is None else None)
        table = _import(out, plan, formats, None if asked is None else parse_cubes(asked), save_bank, overwrite)
        typer.echo(str(table))
        return
    if wished or up != "z":
        raise CytoCascadeError(f"--{next(iter(wished), 'up')} is for imported shapes", hint="Give --import too.")
    options = checked_model(
        ShapeOptions,
        prior=shape_prior,
        per_mask=per_mask,
        kind=kind,
        axial_ratio=axial_ratio,
        formats=formats,
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


def _plan(path: Path, masks: Path | None, spacing: str | None, wishes: dict[str, Any], prior: str) -> Plan:
    """Return what is imported, and how."""
    from cytocascade.shapes.imported import ImportOptions
    from cytocascade.volumes.shape_imports import plan_imports
    from cytocascade.volumes.shape_library import read_shape_masks

    carvings = {"multiview": "neus", "hull": "hull"}
    if prior not in carvings:
        raise CytoCascadeError(
            f"--shape-prior {prior}: imported views become surfaces by NeuS (multiview) or as their hull",
            hint="Give multiview or hull, or leave it out.",
        )
    found = None if masks is None else read_shape_masks(masks, None if spacing is None else parse_spacing(spacing))
    wishes["carving"] = carvings[prior]
    return plan_imports(path, lambda **size: checked_model(ImportOptions, **size, **wishes), found)


def _import(
    out: Path,
    plan: Plan,
    formats: tuple[str, ...],
    voxel: tuple[float, float, float] | None,
    bank: Path | None,
    overwrite: bool,
) -> Path:
    """Import shapes and write them; return their table."""
    from cytocascade.volumes.shape_files import write_surfaces
    from cytocascade.volumes.shape_imports import import_shapes

    with progress_bar() as bar:
        task = bar.add_task("shapes", total=len(plan), remark="")
        return write_surfaces(
            out,
            import_shapes(plan, voxel),
            len(plan),
            formats=formats,
            bank=bank,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
