"""Shapes that another program made, brought into our world: found, repaired, turned, and scaled to micrometres."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import trimesh
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.cameras import ELEVATION
from cytocascade.shapes.canonical import FILL, enclosing_circle
from cytocascade.shapes.carving import Carving, carve_views
from cytocascade.shapes.descriptors import projected_area
from cytocascade.shapes.mesh import FORMATS, mesh_surface, read_mesh, surface_mesh
from cytocascade.shapes.repair import repair_mesh
from cytocascade.shapes.syncdreamer import is_view_folder, read_views
from cytocascade.types import Array, CellSurface

Up = Literal["z", "y", "x", "flat", "view"]

UPS: tuple[Up, ...] = get_args(Up)
"""What becomes the optical axis z. ``z``, ``y``, ``x``: that axis of the file (SyncDreamer's upwards is z). ``flat``:
the body's shortest principal axis, the longest becoming x. ``view``: the line of sight of SyncDreamer's input picture,
so that the cell seen along z is that picture."""

NODES = 64
"""Nodes of an imported surface's grid along each axis."""

NEUS_MESH = "mesh.ply"
"""File in which SyncDreamer's ``train_renderer.py`` leaves the mesh of a run."""

_GIVE = "Give .ply, .obj, or .png of 16 views."
_BY_PRODUCT = re.compile(r"(input|masked)-\d+")


class ImportOptions(BaseModel):
    """How shapes are brought into our world. Exactly one of the first four is needed: other programs know no size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    diameter: float | None = Field(None, gt=0, lt=1e4)
    """Largest extent across z that every cell is scaled to, in micrometres."""
    volume: float | None = Field(None, gt=0, lt=1e12)
    """Volume that every cell is scaled to, in cubic micrometres."""
    area: float | None = Field(None, gt=0, lt=1e8)
    """Area seen along z that every cell is scaled to, in square micrometres: that of its mask."""
    unit: float | None = Field(None, gt=0, lt=1e6)
    """Micrometres per unit of the file."""
    up: Up = "z"
    """What becomes the optical axis."""
    elevation: float = Field(ELEVATION, ge=-90, le=90)
    """Elevation in degrees that SyncDreamer was told of its input picture; for ``up="view"``."""
    carving: Carving = "neus"
    """How views become surfaces."""

    @model_validator(mode="after")
    def _one_size(self) -> ImportOptions:
        if sum(value is not None for value in (self.diameter, self.volume, self.area, self.unit)) != 1:
            raise ValueError("imported shapes know no size: give one of diameter, volume, area and unit, or masks")
        return self


@dataclass(frozen=True)
class ImportedShape:
    """One imported cell.

    Attributes
    ----------
    name : str
        Name of its file, or of its folder.
    surface : CellSurface
        In micrometres; its origin is the middle of the circle around its projection along z, at half its height.
    unit : float
        Micrometres per unit of the file.
    repairs : tuple of str
        What had to be done to the mesh.
    agreement : float or None
        For views: how well the surface's silhouettes agree with them, see `carving.CarvedViews`.
    """

    name: str
    surface: CellSurface
    unit: float
    repairs: tuple[str, ...] = ()
    agreement: float | None = None


def find_shapes(path: Path) -> list[Path]:
    """Return the files and folders that hold one shape each, sorted by name.

    Parameters
    ----------
    path : Path
        A mesh (.ply, .obj), a picture of sixteen views (.png), a folder of sixteen numbered views; or a folder of such,
        or of folders that SyncDreamer's NeuS wrote (``mesh.ply`` in each).

    Raises
    ------
    CytoCascadeError
        If there is nothing, a file is of another type, or two shapes would have the same name.
    """
    if not path.exists():
        raise CytoCascadeError("there is no such file or folder", path=path)
    if is_view_folder(path):
        return [path]
    if path.is_file():
        if path.suffix.lower() not in (*FORMATS, ".png"):
            raise CytoCascadeError(f"shapes are not imported from {path.suffix!r} files", path=path, hint=_GIVE)
        return [path]
    found = sorted(entry for entry in path.iterdir() if not entry.name.startswith(".") and _is_shape(entry))
    found = [entry / NEUS_MESH if (entry / NEUS_MESH).is_file() else entry for entry in found]
    if not found:
        raise CytoCascadeError("the folder holds no shapes", path=path, hint=_GIVE)
    names = [shape_name(entry) for entry in found]
    twice = next((entry for entry, name in zip(found, names) if names.count(name) > 1), None)
    if twice is not None:
        raise CytoCascadeError("another shape has the same name", path=twice, hint="Rename or move one of them.")
    return found


def _is_shape(entry: Path) -> bool:
    if entry.is_dir():
        return (entry / NEUS_MESH).is_file() or is_view_folder(entry)
    picture = entry.suffix.lower() == ".png" and not _BY_PRODUCT.fullmatch(entry.stem)
    return picture or entry.suffix.lower() in FORMATS


def shape_name(path: Path) -> str:
    """Return what a shape is called: its file or folder; the folder of a ``mesh.ply``."""
    if path.is_dir():
        return path.name
    return path.parent.name if path.name == NEUS_MESH and path.parent.name else path.stem


def import_shape(path: Path, options: ImportOptions) -> ImportedShape:
    """Read one shape and bring it into our world.

    Parameters
    ----------
    path : Path
        One of `find_shapes`.
    options : ImportOptions
        Its size and direction.

    Raises
    ------
    CytoCascadeError
        If the file cannot be read, the mesh cannot be repaired, or the views show no one body.
    """
    agreement = None
    if path.suffix.lower() in FORMATS:
        mesh = read_mesh(path)
    else:
        try:
            carved = carve_views(read_views(path), options.carving)
        except CytoCascadeError as error:
            raise CytoCascadeError(error.problem, path=error.path or path, hint=error.hint) from error
        mesh, agreement = surface_mesh(carved.surface), carved.agreement
    repaired = repair_mesh(mesh, path)
    surface, unit = placed_surface(repaired.mesh, options)
    return ImportedShape(shape_name(path), surface, unit, repaired.remarks, agreement)


def placed_surface(mesh: trimesh.Trimesh, options: ImportOptions) -> tuple[CellSurface, float]:
    """Return a closed mesh turned, centred and scaled as wished, and micrometres per unit of the mesh.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        Watertight, in any unit.
    options : ImportOptions
        Its size and direction.

    Returns
    -------
    surface : CellSurface
        On 64 nodes along each axis, with room to be turned about z.
    unit : float
        Micrometres per unit of the mesh.
    """
    turned = trimesh.Trimesh(np.asarray(mesh.vertices) @ rotation(mesh, options).T, mesh.faces, process=False)
    hull = np.asarray(turned.vertices)[ConvexHull(turned.vertices).vertices]
    (x, y), radius = enclosing_circle(hull[:, :2])
    low, high = turned.bounds[:, 2]
    turned.apply_translation((-x, -y, -(low + high) / 2))
    reach = max(radius, float(high - low) / 2) / FILL
    surface = mesh_surface(turned, step=2 * reach / (NODES - 1), nodes=NODES)
    unit = _unit(options, hull[:, :2], float(turned.volume), surface)
    scaled = np.asarray(surface.distance * np.float32(unit), dtype=np.float32)
    return CellSurface(scaled, surface.step * unit, surface.centre), unit


def _unit(options: ImportOptions, outline: Array, volume: float, surface: CellSurface) -> float:
    """Return micrometres per unit."""
    if options.diameter is not None:
        return options.diameter / float(pdist(outline).max())
    if options.volume is not None:
        return float((options.volume / volume) ** (1 / 3))
    if options.area is not None:
        return float((options.area / projected_area(surface)) ** 0.5)
    assert options.unit is not None
    return options.unit


def rotation(mesh: trimesh.Trimesh, options: ImportOptions) -> Array:
    """Return the matrix that turns a mesh as wished, (3, 3): its rows are our x, y and z in the file's axes.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        Watertight; looked at for ``up="flat"`` alone.
    options : ImportOptions
        The direction.
    """
    if options.up == "flat":
        # The moment of inertia is least about the longest axis, and greatest about the shortest.
        axes = np.linalg.eigh(np.asarray(mesh.moment_inertia))[1].T
        return _right_handed(axes[0], axes[2])
    if options.up == "view":
        angle = np.deg2rad(options.elevation)
        right, down = (0.0, 1.0, 0.0), (np.sin(angle), 0.0, -np.cos(angle))
        # The microscope sees x to the right, y downwards, and z away from it.
        return np.stack([right, down, np.cross(right, down)])
    first = "xyz".index(options.up) - 2
    return np.roll(np.eye(3), -first, axis=0) if first else np.eye(3)


def _right_handed(x: Array, z: Array) -> Array:
    """Return axes that run about as the file's do, (3, 3)."""
    x, z = (axis * (1 if axis[np.abs(axis).argmax()] > 0 else -1) for axis in (x, z))
    return np.stack([x, np.cross(z, x), z])
