"""Meshes as they come from other programs, made into one closed body each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from scipy import ndimage as ndi
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.closing import close_body
from cytocascade.shapes.distances import redistance
from cytocascade.shapes.mesh import checked_mesh, spread_points, surface_mesh
from cytocascade.types import Array, BoolArray, CellSurface

LARGEST_PATCH = 0.15
"""Share of a body's surface that may be missing and is made up; more is a guess."""

SECOND_PIECE = 0.5
"""Size of the second largest piece, relative to the largest, above which it is no speck but another body."""

VOXELS = 96
"""Voxels along the longest side where a mesh is closed on a grid."""

_BRIDGES = (0, 1, 2, 4)
_INSIDE = 0.25
_FLAT = 1e-3
_SMOOTHING = 0.7


@dataclass(frozen=True)
class RepairedMesh:
    """A closed mesh in one piece.

    Attributes
    ----------
    mesh : trimesh.Trimesh
        Watertight, normals outwards.
    remarks : tuple of str
        What had to be done; empty if nothing.
    """

    mesh: trimesh.Trimesh
    remarks: tuple[str, ...]


def repair_mesh(mesh: trimesh.Trimesh, path: Path | None = None) -> RepairedMesh:
    """Return a mesh as one closed body.

    Vertices are merged and faces without area dropped; of several pieces the largest is kept; the winding is made the
    same everywhere; holes are closed by fans around their middles. Where that leaves no closed mesh (triangles that
    cross, edges of three triangles), the mesh is closed on a grid instead, which costs detail.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        In any unit. It is not changed.
    path : Path, optional
        Where it is from, for errors.

    Raises
    ------
    CytoCascadeError
        If the mesh holds values that are not finite, is flat, is several bodies of like size, more of its surface than
        `LARGEST_PATCH` would have to be made up, or it encloses nothing.
    """
    remarks: list[str] = []
    cleaned = _cleaned(mesh, path)
    largest = _largest_piece(cleaned, path, remarks)
    if not largest.is_winding_consistent:
        trimesh.repair.fix_winding(largest)  # type: ignore[no-untyped-call]
        remarks.append("turned some triangles")
    if not largest.is_watertight:
        largest = _closed(largest, path, remarks)
    if not largest.volume:
        raise CytoCascadeError("the mesh encloses nothing", path=path, hint=_GIVE)
    if largest.volume < 0:
        remarks.append("turned all normals outwards")
    return RepairedMesh(checked_mesh(largest, path), tuple(remarks))


_GIVE = "Give the closed surface of one cell."


def _cleaned(mesh: trimesh.Trimesh, path: Path | None) -> trimesh.Trimesh:
    """Return vertices and triangles alone, merged, without triangles that have no area."""
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    if not np.isfinite(vertices).all():
        raise CytoCascadeError("the mesh has vertices that are not finite", path=path, hint="Export it again.")
    cleaned = trimesh.Trimesh(vertices, np.asarray(mesh.faces), process=False)
    cleaned.merge_vertices()
    faces = np.sort(cleaned.faces, axis=1)
    whole = (np.diff(faces, axis=1) > 0).all(axis=1)
    first = np.zeros(len(faces), dtype=bool)
    first[np.unique(faces, axis=0, return_index=True)[1]] = True
    cleaned.update_faces(whole & first)
    cleaned.remove_unreferenced_vertices()
    if len(cleaned.faces) == 0:
        raise CytoCascadeError("the mesh has no triangles", path=path, hint=_GIVE)
    if cleaned.extents.min() < _FLAT * cleaned.extents.max():
        raise CytoCascadeError("the mesh is flat", path=path, hint=_GIVE)
    return cleaned


def _largest_piece(mesh: trimesh.Trimesh, path: Path | None, remarks: list[str]) -> trimesh.Trimesh:
    """Return the piece with the largest surface, if it is much the largest."""
    labels = _pieces(mesh)
    area = np.bincount(labels, weights=mesh.area_faces)
    if len(area) == 1:
        return mesh
    order = np.argsort(area)[::-1]
    kept = trimesh.Trimesh(mesh.vertices, mesh.faces[labels == order[0]], process=False)
    second = trimesh.Trimesh(mesh.vertices, mesh.faces[labels == order[1]], process=False)
    kept.remove_unreferenced_vertices()
    second.remove_unreferenced_vertices()
    within = ((second.bounds[0] >= kept.bounds[0]) & (second.bounds[1] <= kept.bounds[1])).all()
    # An inner wall is a cavity, and cells have none.
    share = float(area[order[1]] / area[order[0]])
    if share > SECOND_PIECE and not within:
        raise CytoCascadeError(
            f"the mesh is in {len(area)} pieces, and the second has {share:.0%} of the surface of the largest",
            path=path,
            hint="Give one cell per file.",
        )
    remarks.append(f"dropped {len(area) - 1} pieces ({1 - area[order[0]] / area.sum():.1%} of the surface)")
    return kept


def _pieces(mesh: trimesh.Trimesh) -> Array:
    """Return the number of the piece of every triangle; triangles that share an edge are in one piece."""
    count = len(mesh.faces)
    _, edge = np.unique(np.asarray(mesh.edges_sorted), axis=0, return_inverse=True)
    owner = np.asarray(mesh.edges_face)
    links = coo_array((np.ones(len(owner)), (owner, count + edge.ravel())), shape=(count + edge.max() + 1,) * 2)
    _, labels = np.unique(connected_components(links, directed=False)[1][:count], return_inverse=True)
    return np.asarray(labels)


def _closed(mesh: trimesh.Trimesh, path: Path | None, remarks: list[str]) -> trimesh.Trimesh:
    loops = _holes(mesh)
    if loops is not None:
        patched = _patched(mesh, loops)
        made_up = 1 - mesh.area / patched.area
        if made_up > LARGEST_PATCH:
            raise CytoCascadeError(
                f"the mesh is open: {made_up:.0%} of its surface would have to be made up", path=path, hint=_GIVE
            )
        if patched.is_watertight:
            remarks.append(f"closed {len(loops)} holes ({made_up:.1%} of the surface)")
            return patched
    remarks.append(f"closed on a grid of {VOXELS} voxels")
    return _closed_on_grid(mesh, path)


def _holes(mesh: trimesh.Trimesh) -> list[Array] | None:
    """Return the rings of vertices around holes, in the direction of the triangles' edges; None if they are tangled."""
    edges = np.asarray(mesh.edges)
    _, index, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    if (count > 2).any():
        return None
    border = edges[index[count == 1]]
    following = dict(border.tolist())
    if len(following) < len(border) or set(following) != set(following.values()):
        return None
    loops = []
    while following:
        start, at = following.popitem()
        loop = [start]
        while at != start:
            loop.append(at)
            at = following.pop(at)
        loops.append(np.asarray(loop))
    return loops


def _patched(mesh: trimesh.Trimesh, loops: list[Array]) -> trimesh.Trimesh:
    """Return a mesh whose holes are closed by fans around their middles."""
    vertices, faces = [np.asarray(mesh.vertices)], [np.asarray(mesh.faces)]
    count = len(mesh.vertices)
    for number, loop in enumerate(loops):
        vertices.append(vertices[0][loop].mean(axis=0, keepdims=True))
        # A neighbour runs along a shared edge the other way.
        faces.append(np.stack([np.roll(loop, -1), loop, np.full(len(loop), count + number)], axis=1))
    return trimesh.Trimesh(np.concatenate(vertices), np.concatenate(faces), process=False)


def _closed_on_grid(mesh: trimesh.Trimesh, path: Path | None) -> trimesh.Trimesh:
    """Return the surface around all voxels that the mesh's triangles and they alone keep from the outside."""
    room = max(_BRIDGES) + 3
    step = float(mesh.extents.max()) / (VOXELS - 1)
    corner = mesh.bounds.mean(axis=0) - step * ((VOXELS - 1) / 2 + room)
    points, _ = spread_points(np.asarray(mesh.triangles), 0.5 * step)
    wall = np.zeros((VOXELS + 2 * room,) * 3, dtype=bool)
    wall[tuple(np.rint((points - corner) / step).astype(int).T[::-1])] = True
    body = _filled(wall)
    if body is None:
        raise CytoCascadeError("the mesh encloses nothing, or its holes are too wide", path=path, hint=_GIVE)
    # The wall lies half within the true surface.
    soft = ndi.gaussian_filter(ndi.distance_transform_edt(body) - ndi.distance_transform_edt(~body), _SMOOTHING) - 0.5
    field = close_body(redistance(soft, 1.0), 1.0) * np.float32(step)
    found = surface_mesh(CellSurface(field, step, (0.0, 0.0, 0.0)))
    found.apply_translation(corner)
    return found


def _filled(wall: BoolArray) -> BoolArray | None:
    """Return the wall and what it encloses, its gaps bridged as little as needed; None if it encloses nothing."""
    for radius in _BRIDGES:
        grown = ndi.distance_transform_edt(~wall) <= radius
        body = ndi.binary_fill_holes(grown)
        # Pockets in the wall are no inside.
        if (body & ~grown).sum() > _INSIDE * wall.sum():
            return np.asarray(ndi.distance_transform_edt(body) > radius)
    return None
