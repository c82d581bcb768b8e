from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image
from pydantic import ValidationError
from scipy.spatial import ConvexHull

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.canonical import enclosing_circle
from cytocascade.shapes.carving import carve_views
from cytocascade.shapes.descriptors import describe_surface
from cytocascade.shapes.imported import (
    ImportedShape,
    ImportOptions,
    find_shapes,
    import_shape,
    placed_surface,
    rotation,
    shape_name,
)
from cytocascade.shapes.mesh import surface_mesh
from cytocascade.shapes.syncdreamer import read_views
from cytocascade.shapes.voxels import distance_at, rotate_about_z

from ._syncdreamer import BALL, BEAN, FLAT, Ellipsoids, as_grid, overlap_with, render

TEN = ImportOptions(unit=10)


@pytest.fixture(scope="module")
def bean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bean as SyncDreamer's NeuS writes meshes."""
    path = tmp_path_factory.mktemp("meshes") / "bean.ply"
    BEAN.mesh(61).export(path)
    return path


def overlap(solid: Ellipsoids, shape: ImportedShape, turn: np.ndarray, mesh: trimesh.Trimesh | None = None) -> float:
    """Return the intersection over union with the solid, turned and centred as an imported mesh (its own) is."""
    vertices = (solid.mesh(61) if mesh is None else mesh).vertices @ turn.T
    (x, y), _ = enclosing_circle(vertices[ConvexHull(vertices).vertices][:, :2])
    z = (vertices[:, 2].min() + vertices[:, 2].max()) / 2
    line = np.linspace(-7, 7, 56)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"))
    found = distance_at(shape.surface, points)
    return overlap_with(solid, found, (np.moveaxis(points[::-1], 0, -1) / shape.unit + [x, y, z]) @ turn)


@pytest.mark.parametrize("up", [*("z", "flat", "view"), *(pytest.param(up, marks=pytest.mark.slow) for up in "yx")])
def test_a_mesh_comes_back_turned_as_wished(bean: Path, up: Any) -> None:
    options = ImportOptions(unit=10, up=up)
    shape = import_shape(bean, options)
    turn = rotation(BEAN.mesh(61), options)
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1)
    assert overlap(BEAN, shape, turn) > 0.99
    assert shape.name == "bean"
    assert shape.agreement is None


def test_the_axis_that_points_up_becomes_z() -> None:
    for number, up in enumerate(("x", "y", "z")):
        turn = rotation(FLAT.mesh(31), ImportOptions(unit=1, up=up))
        assert turn[2, number] == 1
        assert turn.sum() == 3
    tall = rotation(FLAT.mesh(31), ImportOptions(unit=1, up="flat"))
    assert np.allclose(np.abs(tall), np.eye(3), atol=0.02)
    standing = FLAT.mesh(31)
    standing.apply_transform(trimesh.transformations.rotation_matrix(1.2, (1, 0.3, -0.5)))
    lain = np.ptp(standing.vertices @ rotation(standing, ImportOptions(unit=1, up="flat")).T, axis=0)
    assert np.allclose(lain, [1.0, 0.68, 0.44], atol=0.02)


@pytest.mark.parametrize("elevation", [30.0, -10.0])
def test_what_lies_along_the_line_of_sight_becomes_z(elevation: float) -> None:
    angle = np.deg2rad(elevation)
    towards = np.array([np.cos(angle), 0, np.sin(angle)])
    turn = rotation(BALL.mesh(21), ImportOptions(unit=1, up="view", elevation=elevation))
    assert np.allclose(turn @ towards, [0, 0, -1])
    # To the right of a camera over x is y; above it is z, and rows of an image run downwards.
    assert np.allclose(turn @ [0, 1, 0], [1, 0, 0])
    assert (turn @ [0, 0, 1])[1] < -0.8


@pytest.mark.parametrize(
    ("size", "measure", "wanted"),
    [
        ({"volume": 500.0}, "volume", 500.0),
        ({"area": 80.0}, "projected_area", 80.0),
        ({"unit": 10.0}, "volume", 4 / 3 * np.pi * 5.0 * 3.4 * 2.2),
        ({"diameter": 12.0}, "volume", 4 / 3 * np.pi * 6.0 * 4.08 * 2.64),
    ],
)
def test_shapes_have_the_size_that_is_wished(size: dict[str, float], measure: str, wanted: float) -> None:
    surface, _ = placed_surface(FLAT.mesh(61), ImportOptions(**size))
    assert describe_surface(surface)[measure] == pytest.approx(wanted, rel=0.01)


def test_the_origin_is_the_middle_and_there_is_room_to_turn(bean: Path) -> None:
    surface = import_shape(bean, TEN).surface
    assert surface.distance.shape == (64, 64, 64)
    mesh = surface_mesh(surface)
    hull = mesh.vertices[ConvexHull(mesh.vertices).vertices]
    middle, radius = enclosing_circle(hull[:, :2])
    assert np.abs([*middle, mesh.bounds[:, 2].sum() / 2]).max() < 0.1
    assert radius < 0.87 * 31.5 * surface.step
    for angle in (0.5, 0.8, 2.0):
        assert surface_mesh(rotate_about_z(surface, angle)).volume == pytest.approx(mesh.volume, rel=0.01)


@pytest.mark.slow
def test_views_become_a_shape_in_the_same_place_as_the_mesh(tmp_path: Path, bean: Path) -> None:
    Image.fromarray(as_grid(render(BEAN, side=128))).save(tmp_path / "views.png")
    shape = import_shape(tmp_path / "views.png", ImportOptions(unit=10, carving="hull"))
    assert shape.repairs == ()
    assert shape.agreement is not None
    assert shape.agreement > 0.98
    # The hull is taller than the solid, so that its middle is not the solid's.
    hull = surface_mesh(carve_views(read_views(tmp_path / "views.png"), "hull").surface)
    assert overlap(BEAN, shape, np.eye(3), hull) > 0.93


def test_repairs_are_told(tmp_path: Path) -> None:
    mesh = BEAN.mesh(41)
    holed = trimesh.Trimesh(mesh.vertices, mesh.faces[8:], process=False)
    speck = trimesh.creation.icosphere(subdivisions=1, radius=0.02)
    speck.apply_translation((0.55, 0.55, 0.55))
    trimesh.util.concatenate([speck, holed]).export(tmp_path / "holed.obj")
    shape = import_shape(tmp_path / "holed.obj", TEN)
    assert [remark.split()[0] for remark in shape.repairs][:2] == ["dropped", "closed"]
    assert overlap(BEAN, shape, np.eye(3)) > 0.96


def test_errors_name_the_file(tmp_path: Path) -> None:
    mesh = BEAN.mesh(31)
    trimesh.Trimesh(mesh.vertices, mesh.faces[: len(mesh.faces) // 2]).export(tmp_path / "half.ply")
    views = render(BEAN, side=128)
    views[::2, 10:40, 10:40] = 0.5
    views[::2, 40:] = 1
    views[::2, :, 40:] = 1
    Image.fromarray(as_grid(views)).save(tmp_path / "mixed.png")
    for name in ("half.ply", "mixed.png"):
        with pytest.raises(CytoCascadeError) as caught:
            import_shape(tmp_path / name, TEN)
        assert caught.value.path == tmp_path / name
        assert caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [{}, {"unit": 1, "diameter": 5}, {"diameter": -1}, {"volume": 0}, {"unit": 1, "up": "w"}, {"unit": 1, "size": 2}],
)
def test_sizes_that_say_nothing_or_two_things_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImportOptions(**wrong)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_shapes_are_found_in_files_folders_and_the_folders_of_neus(tmp_path: Path) -> None:
    one = touch(tmp_path / "b.PLY")
    assert find_shapes(one) == [one]
    touch(tmp_path / "a.obj")
    touch(tmp_path / "notes.txt")
    touch(tmp_path / ".c.ply")
    touch(tmp_path / "cell-neus" / "mesh.ply")
    touch(tmp_path / "cell-neus" / "input-0.png")
    touch(tmp_path / "empty" / "other.txt")
    for number in range(16):
        touch(tmp_path / "views" / f"{number:03d}.png")
    found = find_shapes(tmp_path)
    assert [shape_name(path) for path in found] == ["a", "b", "cell-neus", "views"]
    assert find_shapes(tmp_path / "views") == [tmp_path / "views"]
    assert find_shapes(tmp_path / "cell-neus") == [tmp_path / "cell-neus" / "mesh.ply"]


def test_nothing_to_import_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no such file"):
        find_shapes(tmp_path / "nowhere")
    with pytest.raises(CytoCascadeError, match="no shapes"):
        find_shapes(tmp_path)
    touch(tmp_path / "a.ply")
    touch(tmp_path / "a.png")
    with pytest.raises(CytoCascadeError, match="same name"):
        find_shapes(tmp_path)
