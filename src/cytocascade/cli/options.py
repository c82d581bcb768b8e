"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Images = Annotated[Path, typer.Option(help="Folder of the images, or of a whole data set.")]
Masks = Annotated[Path | None, typer.Option(help="Folder of the instance masks, if apart.")]
Layout = Annotated[str, typer.Option(help="auto, folder, cellpose, ctc, stardist or ome-zarr.")]
Spacing = Annotated[str | None, typer.Option(help="Micrometres per pixel: 0.25, or y,x; per voxel: z,y,x.")]
Dim = Annotated[int, typer.Option(min=2, max=3, help="2 for images, 3 for volumes.")]
Arrangement = Annotated[str | None, typer.Option(help="Volumes: layer, ball or volume; by default as the stacks show.")]
Kind = Annotated[str, typer.Option(help="nucleus or cell: what the masks are of.")]
Prior = Annotated[str, typer.Option(help="multiview, hull or ellipsoid: how surfaces are made from masks.")]
Sparse = Annotated[bool, typer.Option("--sparse", help="Some cells or images carry no annotation.")]
Components = Annotated[bool, typer.Option("--label-components", help="Binary masks: label their connected components.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads; without influence on the result.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
BundleName = Annotated[str, typer.Option(help="Name of a shipped bundle, or a folder.")]
VolumeBundle = Annotated[str, typer.Option(help="Name of a shipped bundle for volumes, or a folder.")]
