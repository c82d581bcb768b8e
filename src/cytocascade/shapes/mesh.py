"""Surfaces as triangle meshes, in memory and in files."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.closing import close_body
from cytocascade.storage import write_atomically
from cytocascade.types import Array, BoolArray, CellSurface, FloatArray

FORMATS = (".ply", ".obj")
"""Suffixes of the formats that are read and written."""

_MARGIN = 3
"""Nodes between an imported mesh and the border of its grid."""


def surface_mesh(surface: CellSurface) -> trimesh.Trimesh:
    """Return a surface as a triangle mesh (marching cubes, Lorensen and Cline 1987).

    Parameters
    ----------
    surface : CellSurface

    Returns
    -------
    trimesh.Trimesh
        Closed, watertight, in one piece, normals outwards. Vertices are (x, y, z) in micrometres relative to the cell's
        origin.

    Raises
    ------
    CytoCascadeError
        If the surface is empty, open (it reaches the border of its grid) or in several pieces.
    """
    distance = surface.distance
    if not (distance > 0).any():
        raise CytoCascadeError("the surface is empty", hint="Its signed distance is nowhere positive.")
    border = np.ones(distance.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    if (distance[border] >= 0).any():
        raise CytoCascadeError(
            "the surface is open: it reaches the border of its grid", hint="Use a larger grid or a smaller shape."
        )
    vertices, faces, _, _ = marching_cubes(distance, 0.0, allow_degenerate=False)
    vertices = (vertices - np.asarray(surface.origin)) * surface.step
    mesh = trimesh.Trimesh(vertices[:, ::-1], faces, process=True)
    return checked_mesh(mesh)


def checked_mesh(mesh: trimesh.Trimesh, path: Path | None = None) -> trimesh.Trimesh:
    """Return a mesh with its normals outwards, or complain.

    Raises
    ------
    CytoCascadeError
        If the mesh has no faces, is not watertight, or is in several pieces.
    """
    if len(mesh.faces) == 0:
        raise CytoCascadeError("the mesh has no triangles", path=path)
    if not mesh.is_watertight:
        raise CytoCascadeError("the mesh is not watertight", path=path, hint="Close its holes, for example in MeshLab.")
    pieces = mesh.body_count
    if pieces != 1:
        raise CytoCascadeError(f"the mesh is in {pieces} pieces", path=path, hint="Keep the largest one.")
    if not mesh.is_winding_consistent:
        mesh.fix_normals()
    if mesh.volume < 0:
        mesh.invert()
    return mesh


def write_mesh(path: Path, mesh: trimesh.Trimesh) -> None:
    """Write a mesh as .ply (binary) or .obj, by the suffix of `path`, so that no half file is ever seen.

    Raises
    ------
    CytoCascadeError
        If the suffix is another one.
    """
    data = mesh.export(file_type=_file_type(path))
    content = data.encode("utf-8") if isinstance(data, str) else bytes(data)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def read_mesh(path: Path) -> trimesh.Trimesh:
    """Read a mesh from .ply or .obj; equal vertices are merged.

    Raises
    ------
    CytoCascadeError
        If the file is missing, of another format, cannot be read, or holds no triangles.
    """
    kind = _file_type(path)
    if not path.is_file():
        raise CytoCascadeError("there is no such file", path=path)
    try:
        mesh = trimesh.load_mesh(path, file_type=kind, process=True)
    except Exception as error:  # trimesh raises whatever its parsers meet.
        raise CytoCascadeError(f"cannot be read as a mesh ({error})", path=path) from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        raise CytoCascadeError("the file holds no triangles", path=path)
    return mesh


def _file_type(path: Path) -> str:
    if path.suffix.lower() not in FORMATS:
        raise CytoCascadeError(f"unknown mesh format '{path.suffix}'", path=path, hint=f"Use {' or '.join(FORMATS)}.")
    return path.suffix.lower()[1:]


def mesh_surface(mesh: trimesh.Trimesh, *, step: float, nodes: int | None = None) -> CellSurface:
    """Return the surface of a watertight mesh.

    Inside and outside are told by counting the mesh's crossings below each node, which is right for every closed mesh;
    distances are those to the nearest triangles' planes.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        Vertices (x, y, z) in micrometres relative to the cell's origin.
    step : float
        Micrometres between the nodes of the result.
    nodes : int, optional
        Nodes along each axis of a grid whose middle is the cell's origin; by default as many as the mesh needs, around
        the middle of the mesh.

    Returns
    -------
    CellSurface
        On a cubic grid with room around the mesh; only the largest piece.

    Raises
    ------
    CytoCascadeError
        If the mesh is not watertight, in several pieces, thinner than the step, or reaches beyond the nodes.
    """
    mesh = checked_mesh(mesh.copy())
    low, high = mesh.bounds
    side = int(np.ceil((high - low).max() / step)) + 1 + 2 * _MARGIN if nodes is None else nodes
    # A whole number of steps around the middle of the mesh.
    corner = (np.zeros(3) if nodes is not None else (low + high) / 2) - step * (side - 1) / 2
    if (low <= corner).any() or (high >= corner + step * (side - 1)).any():
        raise CytoCascadeError("the mesh reaches beyond its grid", hint="Use more nodes, or a larger step.")
    inside = _nodes_inside(mesh.triangles, corner, step, side)
    if not inside.any():
        raise CytoCascadeError(f"the mesh is thinner than the step of {step:g} um", hint="Use a smaller step.")
    distance = _distances(mesh, corner, step, side)
    field = np.where(inside, distance, -distance)
    z, y, x = (-corner / step)[::-1]
    return CellSurface(close_body(field.astype(np.float32), step), float(step), (float(z), float(y), float(x)))


def _nodes_inside(triangles: Array, corner: Array, step: float, side: int) -> BoolArray:
    """Return which nodes have an odd number of crossings below them, (Z, Y, X)."""
    # In steps, and moved by next to nothing, so that no edge lies exactly on a column.
    corners = (np.asarray(triangles, dtype=np.float64) - corner) / step + [1.3e-6, 2.7e-6, 0.0]
    low = np.ceil(corners[..., :2].min(axis=1)).astype(int).clip(0, side)
    count = (np.floor(corners[..., :2].max(axis=1)).astype(int).clip(-1, side - 1) - low + 1).clip(0)
    pairs = count.prod(axis=1)
    owner = np.repeat(np.arange(len(corners)), pairs)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    column = low[owner] + np.stack([within // count[owner, 1].clip(1), within % count[owner, 1].clip(1)], axis=1)
    a, b, c = (corners[owner, k] for k in range(3))
    weights = [_cross(p, q, column) for p, q in ((b, c), (c, a), (a, b))]
    hit = ((weights[0] > 0) == (weights[1] > 0)) & ((weights[1] > 0) == (weights[2] > 0))
    total = weights[0] + weights[1] + weights[2]
    hit &= total != 0
    height = (weights[0] * a[:, 2] + weights[1] * b[:, 2] + weights[2] * c[:, 2])[hit] / total[hit]
    crossings = np.zeros((side + 1, side, side), dtype=np.int32)
    node = np.ceil(height).astype(int).clip(0, side)
    np.add.at(crossings, (node, column[hit, 1], column[hit, 0]), 1)
    return np.asarray(crossings.cumsum(axis=0)[:side] % 2 == 1)


def _cross(p: Array, q: Array, at: Array) -> Array:
    return np.asarray((p[:, 0] - at[:, 0]) * (q[:, 1] - at[:, 1]) - (p[:, 1] - at[:, 1]) * (q[:, 0] - at[:, 0]))


def _distances(mesh: trimesh.Trimesh, corner: Array, step: float, side: int) -> FloatArray:
    """Return the unsigned distances of all nodes to the mesh, (Z, Y, X); two steps where it is farther away."""
    points, index = spread_points(np.asarray(mesh.triangles), 0.5 * step)
    normals = np.asarray(mesh.face_normals)[index]
    nodes = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij")[::-1], axis=-1).reshape(-1, 3) * step + corner
    away, nearest = cKDTree(points).query(nodes, distance_upper_bound=2 * step)
    distance = np.full(len(nodes), 2 * step)
    found = np.isfinite(away)
    nodes, away, nearest = nodes[found], away[found], nearest[found]
    along = np.abs(((nodes - points[nearest]) * normals[nearest]).sum(axis=1))
    # Points are spread half a step apart; between them the triangle goes on.
    lateral = np.minimum(away**2 - along**2, (0.5 * step) ** 2).clip(0)
    distance[found] = np.sqrt(away**2 - lateral)
    return distance.reshape(side, side, side).astype(np.float32)


def spread_points(triangles: Array, spacing: float) -> tuple[Array, Array]:
    """Return points that cover triangles at least every `spacing`, and the triangle of each."""
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(axis=1)
    parts = np.ceil(longest / spacing).astype(int).clip(1)
    points, owners = [], []
    for count in np.unique(parts):
        chosen = np.flatnonzero(parts == count)
        shares = (
            np.array([(i, j, count - i - j) for i, j in product(range(count + 1), repeat=2) if i + j <= count]) / count
        )
        points.append(np.einsum("sk,tkc->tsc", shares, triangles[chosen]).reshape(-1, 3))
        owners.append(np.repeat(chosen, len(shares)))
    return np.concatenate(points), np.concatenate(owners)
