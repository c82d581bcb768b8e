"""``cytocascade crops`` and ``export-masks``: to diffusers' training script, and to its pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytocascade.cli.fitting import read_annotated, read_stack_dataset
from cytocascade.cli.options import Components, Dim, Images, Layout, Masks, Overwrite, Seed, Spacing, Sparse
from cytocascade.cli.terminal import app, console


@app.command()
def crops(
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    masks: Masks = None,
    dim: Dim = 2,
    size: Annotated[int, typer.Option(min=16, help="Pixels along a side: --resolution of the script.")] = 64,
    copies: Annotated[int, typer.Option(min=1, help="Pictures per cell: as it is, then turned and bent.")] = 1,
    seed: Seed = 0,
    layout: Layout = "auto",
    spacing: Spacing = None,
    sparse: Sparse = False,
    label_components: Components = False,
    overwrite: Overwrite = False,
) -> None:
    """Write pictures of the annotated cells' masks, to train masks with diffusers' train_unconditional.py."""
    if dim == 2:
        found = list(
            read_annotated(
                images, masks, spacing=spacing, sparse=sparse, layout=layout, label_components=label_components
            )
        )
    else:
        found = read_stack_dataset(images, masks, spacing, sparse, layout, label_components, None).annotated_images()
    from cytocascade.images.cells import extract_cells
    from cytocascade.masks.training_images import write_training_images

    written = write_training_images(extract_cells(found), out, size=size, copies=copies, seed=seed, overwrite=overwrite)
    console.print(
        f"{written.count} pictures of {size} x {size} pixels, {written.spacing:.6g} um each.\n"
        f"Train with --train_data_dir {written.folder} --resolution {size}, "
        f"then fit with --masks-from DIR --mask-spacing {written.spacing:.6g}",
        soft_wrap=True,
    )
    typer.echo(str(written.folder))


@app.command()
def export_masks(
    bundle: Annotated[str, typer.Argument(help="Name of a shipped bundle, or a folder.")],
    out: Annotated[Path, typer.Argument(help="Folder to write, for DDPMPipeline.from_pretrained.")],
    overwrite: Overwrite = False,
) -> None:
    """Write the masks of a bundle, fitted with --mask-backend diffusers or --masks-from, for diffusers."""
    from cytocascade.cascade import Cascade

    typer.echo(str(Cascade.from_pretrained(bundle).export_masks(out, overwrite=overwrite)))
