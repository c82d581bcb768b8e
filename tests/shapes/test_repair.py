from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.mesh import surface_mesh
from cytocascade.shapes.repair import RepairedMesh, repair_mesh

from ._solids import ellipsoid, ellipsoid_volume

AXES = (3.0, 4.0, 5.0)
VOLUME = ellipsoid_volume(AXES)


@pytest.fixture
def body() -> trimesh.Trimesh:
    return surface_mesh(ellipsoid(AXES, 32))


def speck(at: tuple[float, float, float], radius: float = 0.5) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    ball.apply_translation(at)
    return ball


def check(repaired: RepairedMesh, *remarks: str, tolerance: float = 0.02) -> None:
    assert repaired.mesh.is_watertight
    assert repaired.mesh.body_count == 1
    assert repaired.mesh.volume == pytest.approx(VOLUME, rel=tolerance)
    assert len(repaired.remarks) == len(remarks)
    for text, remark in zip(remarks, repaired.remarks):
        assert text in remark


def without(mesh: trimesh.Trimesh, dropped: np.ndarray) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces[~dropped], process=False)


def test_a_good_mesh_stays_as_it_is(body: trimesh.Trimesh) -> None:
    repaired = repair_mesh(body)
    check(repaired)
    assert np.allclose(repaired.mesh.bounds, body.bounds)
    assert len(repaired.mesh.faces) == len(body.faces)


def test_holes_are_closed(body: trimesh.Trimesh) -> None:
    dropped = np.zeros(len(body.faces), dtype=bool)
    dropped[[5, 400, 401]] = True
    repaired = repair_mesh(without(body, dropped))
    check(repaired, "holes")
    assert len(body.faces) == len(without(body, dropped).faces) + 3


def test_a_mesh_that_is_cut_off_by_a_plane_is_closed_along_it(body: trimesh.Trimesh) -> None:
    # As SyncDreamer cuts its meshes off at the border of their cube.
    heights = body.vertices[:, 2].clip(max=2.5)
    vertices = np.column_stack([body.vertices[:, :2], heights])
    cut = trimesh.Trimesh(vertices, body.faces[~(heights[body.faces] == 2.5).all(axis=1)], process=False)
    repaired = repair_mesh(cut)
    assert repaired.mesh.is_watertight
    assert repaired.mesh.bounds[1, 2] == 2.5
    # A cap of height h = 0.5 of a ball of radius 3 has the volume pi h^2 (3 * 3 - h) / 3.
    cap = 1 - 0.25 * (3 * 3 - 0.5) / (4 * 27)
    assert repaired.mesh.volume == pytest.approx(cap * VOLUME, rel=0.01)
    assert "closed 1 holes" in repaired.remarks[0]


def test_specks_and_inner_walls_are_dropped(body: trimesh.Trimesh) -> None:
    many = trimesh.util.concatenate([speck((8, 0, 0)), body, speck((0, -7, 1)), speck((0, 0, 0), 2.5)])
    check(repair_mesh(many), "dropped 3 pieces")


def test_triangles_that_are_turned_are_turned_back(body: trimesh.Trimesh) -> None:
    faces = np.array(body.faces)
    faces[::7] = faces[::7, ::-1]
    check(RepairedMesh(repair_mesh(trimesh.Trimesh(body.vertices, faces, process=False)).mesh, ()))
    body.invert()
    check(repair_mesh(body), "normals outwards")


def test_loose_and_double_triangles_are_joined(body: trimesh.Trimesh) -> None:
    soup = trimesh.Trimesh(
        np.concatenate([body.triangles.reshape(-1, 3), body.vertices[:1]]),
        np.concatenate([np.arange(3 * len(body.faces)).reshape(-1, 3), [[0, 1, 2], [0, 0, 1]]]),
        process=False,
    )
    check(repair_mesh(soup))


def test_a_fin_is_closed_over_on_a_grid(body: trimesh.Trimesh) -> None:
    a, b = body.edges[0]
    fin = body.vertices[[a, b]].mean(axis=0) * 1.05
    mesh = trimesh.Trimesh(
        np.concatenate([body.vertices, [fin]]),
        np.concatenate([body.faces, [[a, b, len(body.vertices)]]]),
        process=False,
    )
    check(repair_mesh(mesh), "on a grid", tolerance=0.03)


@pytest.mark.slow
def test_torn_meshes_are_closed_on_a_grid(body: trimesh.Trimesh) -> None:
    torn = without(body, np.random.default_rng(0).random(len(body.faces)) < 0.04)
    vertex = body.faces[50, 0]
    # Two holes that meet in a vertex are tangled.
    faces = torn.faces[~(torn.faces == vertex).any(axis=1) | (np.arange(len(torn.faces)) % 2 == 0)]
    mesh = trimesh.Trimesh(torn.vertices, faces, process=False)
    repaired = repair_mesh(mesh)
    check(RepairedMesh(repaired.mesh, ()), tolerance=0.05)


def test_what_is_no_body_is_refused(body: trimesh.Trimesh) -> None:
    path = Path("cell.ply")
    half = without(body, body.triangles_center[:, 2] > 0)
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [1, 3, 2]])
    twins = trimesh.util.concatenate([body, body.copy().apply_translation((20, 0, 0))])
    broken = body.copy()
    broken.vertices[3] = np.nan
    # Three walls on one edge.
    fan = trimesh.Trimesh(
        [[0, 0, 0], [0, 0, 1], [1, 0, 0], [-0.5, 0.9, 0], [-0.5, -0.9, 0]],
        [[0, 1, 2], [0, 1, 3], [0, 1, 4]],
        process=False,
    )
    for mesh, text in (
        (half, "would have to be made up"),
        (sheet, "flat"),
        (twins, "2 pieces"),
        (broken, "not finite"),
        (fan, "encloses nothing"),
    ):
        with pytest.raises(CytoCascadeError, match=text) as caught:
            repair_mesh(mesh, path)
        assert caught.value.path == path
        assert caught.value.hint
