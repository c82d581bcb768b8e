"""Shapes on disk: meshes, volumes, slices, a table of their measures, and a bank for `generate`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.export.tiff import write_tiff
from cytocascade.shapes.descriptors import describe_surface
from cytocascade.shapes.mesh import surface_mesh, write_mesh
from cytocascade.shapes.surface_bank import SurfaceBank
from cytocascade.shapes.voxels import voxelise
from cytocascade.storage import write_text
from cytocascade.types import CellSurface

MESH_FORMATS = ("ply", "obj")
"""Formats of meshes."""

VOLUME_FORMAT = "tif"
"""Format of voxelised cells."""

SLICE_FORMAT = "slices"
"""Voxelised cells once more, one file per plane: ``NAME/NAME_z000.tif`` is the lowest."""

FORMATS = (*MESH_FORMATS, VOLUME_FORMAT, SLICE_FORMAT)
"""All that shapes can be written as."""


@dataclass(frozen=True)
class MadeShape:
    """One shape to be written.

    Attributes
    ----------
    name : str
        Its files' name.
    surface : CellSurface
        In micrometres.
    voxel : tuple of float
        Micrometres per voxel of its volume, along (z, y, x).
    notes : dict of str to str
        Further columns of its row in the table; the same ones for all shapes.
    """

    name: str
    surface: CellSurface
    voxel: tuple[float, float, float]
    notes: dict[str, str] = field(default_factory=dict)


def write_surfaces(
    out: Path,
    shapes: Iterable[MadeShape],
    total: int,
    *,
    formats: Sequence[str],
    bank: Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write shapes as they come, and last a table of their measures.

    Parameters
    ----------
    out : Path
        Folder of the files. Shapes whose files are there are written again.
    shapes : iterable of MadeShape
        At least one.
    total : int
        How many there will be.
    formats : sequence of str
        Files per shape, of `FORMATS`.
    bank : Path, optional
        File that keeps the surfaces, for ``generate --shape-bank``.
    overwrite : bool
        Whether a folder with a table of shapes may be written to again.
    progress : callable, optional
        Called with (shapes done, in all).

    Returns
    -------
    Path
        The table, ``shapes.csv``: one row per shape.

    Raises
    ------
    CytoCascadeError
        If a format is not known, or the folder holds a table already; both before a shape is made.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise CytoCascadeError(f"shapes cannot be written as {unknown[0]!r}", hint=f"Formats: {', '.join(FORMATS)}.")
    table = out / "shapes.csv"
    if table.exists() and not overwrite:
        raise CytoCascadeError("shapes are here already", path=out, hint="Choose another --out, or --overwrite.")
    rows, kept = [], []
    for done, shape in enumerate(shapes, start=1):
        _write_one(out / shape.name, shape, formats)
        measures = {key: f"{value:.6g}" for key, value in describe_surface(shape.surface).items()}
        rows.append({"name": shape.name, **measures, **shape.notes})
        if bank is not None:
            kept.append(shape.surface)
        if progress is not None:
            progress(done, total)
    if bank is not None:
        SurfaceBank.save(kept, bank)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(table, text.getvalue())
    return table


def _write_one(path: Path, shape: MadeShape, formats: Sequence[str]) -> None:
    meshes = [name for name in formats if name in MESH_FORMATS]
    if meshes:
        mesh = surface_mesh(shape.surface)
        for name in meshes:
            write_mesh(path.with_name(f"{path.name}.{name}"), mesh)
    if VOLUME_FORMAT not in formats and SLICE_FORMAT not in formats:
        return
    coverage = voxelise(shape.surface, shape.voxel).coverage
    # Of a cell smaller than a voxel at least one is left.
    mask = np.pad(coverage >= min(0.5, float(coverage.max())), 1).astype(np.uint8)
    if VOLUME_FORMAT in formats:
        write_tiff(path.with_name(f"{path.name}.tif"), mask, shape.voxel, True)
    if SLICE_FORMAT in formats:
        # The planes that the cell is in, from its lowest to its highest.
        for number, plane in enumerate(mask[mask.any(axis=(1, 2))]):
            write_tiff(path / f"{path.name}_z{number:03d}.tif", plane, shape.voxel[1:], True)
