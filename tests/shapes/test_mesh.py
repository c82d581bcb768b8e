from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.mesh import mesh_surface, read_mesh, surface_mesh, write_mesh
from cytocascade.types import CellSurface

from ._solids import ellipsoid, ellipsoid_area, ellipsoid_grid, ellipsoid_volume


@pytest.mark.parametrize("axes", [(5.0, 5.0, 5.0), (2.0, 4.0, 6.0), (7.0, 4.0, 5.0)])
def test_meshes_have_the_volume_and_the_area_of_the_ellipsoid(axes: tuple[float, float, float]) -> None:
    mesh = surface_mesh(ellipsoid(axes))
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert mesh.volume == pytest.approx(ellipsoid_volume(axes), rel=0.01)
    assert mesh.area == pytest.approx(ellipsoid_area(axes), rel=0.02)


def test_vertices_are_x_y_z_around_the_origin_with_normals_outwards() -> None:
    surface = ellipsoid((2.0, 4.0, 6.0))
    moved = CellSurface(surface.distance, surface.step, (23.5, 23.5 - 1 / surface.step, 23.5 + 2 / surface.step))
    mesh = surface_mesh(moved)
    assert np.allclose(mesh.extents, [12, 8, 4], atol=0.2)
    assert np.allclose(mesh.centroid, [-2, 1, 0], atol=0.01)
    top = mesh.triangles_center[:, 2].argmax()
    assert mesh.face_normals[top, 2] > 0.9


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_a_mesh_comes_back_from_its_file(tmp_path: Path, suffix: str) -> None:
    mesh = surface_mesh(ellipsoid((2.0, 3.0, 4.0), 20))
    path = tmp_path / f"cell{suffix}"
    write_mesh(path, mesh)
    again = read_mesh(path)
    assert len(again.faces) == len(mesh.faces)
    assert again.is_watertight
    assert again.volume == pytest.approx(mesh.volume, rel=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_formats_and_damaged_files_are_refused(tmp_path: Path) -> None:
    mesh = surface_mesh(ellipsoid((2.0, 3.0, 4.0), 12))
    with pytest.raises(CytoCascadeError, match=r"unknown mesh format '\.stl'"):
        write_mesh(tmp_path / "cell.stl", mesh)
    with pytest.raises(CytoCascadeError, match="no such file"):
        read_mesh(tmp_path / "cell.ply")
    (tmp_path / "cell.ply").write_bytes(b"no mesh")
    with pytest.raises(CytoCascadeError, match=r"cell\.ply"):
        read_mesh(tmp_path / "cell.ply")
    (tmp_path / "cell.obj").write_text("v 0 0 0\n")
    with pytest.raises(CytoCascadeError, match=r"cell\.obj"):
        read_mesh(tmp_path / "cell.obj")


def test_surfaces_that_are_no_closed_body_are_refused() -> None:
    grid = ellipsoid_grid((0.5, 0.5, 0.5), 20)
    with pytest.raises(CytoCascadeError, match="empty"):
        surface_mesh(CellSurface(-np.abs(grid) - 1, 0.1))
    with pytest.raises(CytoCascadeError, match="open"):
        surface_mesh(CellSurface(grid[8:], 0.1))
    two = np.maximum(grid, np.roll(ellipsoid_grid((0.1, 0.1, 0.1), 20), 7, axis=0))
    two[9:13] = np.minimum(two[9:13], -0.05)
    with pytest.raises(CytoCascadeError, match="pieces"):
        surface_mesh(CellSurface(two, 0.1))


def test_a_mesh_becomes_a_surface_in_its_place() -> None:
    box = trimesh.creation.box(extents=(3.0, 4.0, 2.0))
    box.apply_translation((1.0, -2.0, 0.5))
    surface = mesh_surface(box, step=0.1)
    again = surface_mesh(surface)
    assert again.volume == pytest.approx(24.0, rel=0.01)
    assert np.allclose(again.bounds, [[-0.5, -4.0, -0.5], [2.5, 0.0, 1.5]], atol=0.06)


def test_a_mesh_with_a_dent_keeps_it() -> None:
    # A torus is nowhere star-shaped around its middle, which lies outside.
    torus = trimesh.creation.torus(3.0, 1.0)
    surface = mesh_surface(torus, step=0.2)
    middle = tuple(round(value) for value in surface.origin)
    assert surface.distance[middle] == pytest.approx(-2.0, abs=0.2)
    assert surface_mesh(surface).volume == pytest.approx(torus.volume, rel=0.03)


def test_a_mesh_that_is_inside_out_is_turned() -> None:
    box = trimesh.creation.box(extents=(2.0, 2.0, 2.0))
    box.invert()
    assert surface_mesh(mesh_surface(box, step=0.09)).volume == pytest.approx(8.0, rel=0.02)


def test_open_meshes_and_too_coarse_steps_are_refused() -> None:
    # An even number of nodes, so that none lies in the middle.
    box = trimesh.creation.box(extents=(2.2, 2.2, 0.1))
    with pytest.raises(CytoCascadeError, match="thinner than the step"):
        mesh_surface(box, step=0.5)
    open_box = trimesh.Trimesh(box.vertices, box.faces[1:])
    with pytest.raises(CytoCascadeError, match="not watertight"):
        mesh_surface(open_box, step=0.1)
