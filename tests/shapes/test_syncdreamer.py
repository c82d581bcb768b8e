from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.cameras import project, ring
from cytocascade.shapes.syncdreamer import (
    CAMERA_DISTANCE,
    FOCAL,
    HALF_FIELD,
    VIEW_SIDE,
    is_view_folder,
    read_views,
    to_canonical,
)

from ._syncdreamer import BALL, BEAN, as_grid, as_row, render


@pytest.fixture(scope="module")
def bean() -> np.ndarray:
    return render(BEAN, side=128)


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def write_folder(path: Path, views: np.ndarray) -> Path:
    path.mkdir()
    for number, view in enumerate(views):
        save(path / f"{number:03d}.png", (view * 255).astype(np.uint8))
    return path


def test_our_cameras_see_points_where_the_published_matrices_do() -> None:
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    ours = project(torch.from_numpy(points / HALF_FIELD).float(), ring(), CAMERA_DISTANCE / HALF_FIELD).numpy()
    intrinsics = np.array([[280.0, 0, 128], [0, 280, 128], [0, 0, 1]])
    for number in range(16):
        a, e = number * np.pi / 8, np.pi / 6
        down = np.array([np.sin(e) * np.cos(a), np.sin(e) * np.sin(a), -np.cos(e)])
        right = np.array([-np.sin(a), np.cos(a), 0])
        seen = (points @ np.stack([right, down, np.cross(right, down)]).T + [0, 0, 1.5]) @ intrinsics.T
        pixels = seen[:, :2] / seen[:, 2:]
        assert np.allclose((ours[number, :, :2] + 1) * 128, pixels, atol=1e-3)
        assert np.allclose(ours[number, :, 2] * HALF_FIELD + 1.5, seen[:, 2], atol=1e-5)
    assert (VIEW_SIDE, FOCAL, CAMERA_DISTANCE) == (256, 280, 1.5)


def test_a_row_a_grid_and_a_folder_hold_the_same_views(bean: np.ndarray, tmp_path: Path) -> None:
    row = read_views(save(tmp_path / "row.png", as_row(bean)))
    grid = read_views(save(tmp_path / "grid.png", as_grid(bean)))
    folder = read_views(write_folder(tmp_path / "folder", bean))
    assert row.coverage.shape == row.grey.shape == (16, 128, 128)
    for other in (grid, folder):
        assert np.array_equal(row.coverage, other.coverage)
        assert np.array_equal(row.grey, other.grey)


def test_the_coverage_is_that_of_the_solid_and_white_is_one(bean: np.ndarray, tmp_path: Path) -> None:
    views = read_views(save(tmp_path / "row.png", as_row(bean)))
    true = (1 - bean[..., 0]) / (0.65 - 0.2 * np.linspace(0, 1, 128)[:, None])
    assert np.abs(views.coverage.sum(axis=(1, 2)) / true.sum(axis=(1, 2)) - 1).max() < 0.01
    assert views.grey[views.coverage == 0].min() > 0.9
    assert 0.3 < views.grey[views.coverage == 1].max() < 0.6


def test_transparency_is_background_whatever_its_colour(bean: np.ndarray, tmp_path: Path) -> None:
    row = as_row(bean)
    opacity = np.where(row.min(axis=-1) < 250, 255, 0).astype(np.uint8)
    clear = np.dstack([np.where(opacity[..., None] > 0, row, 0), opacity])
    views = read_views(save(tmp_path / "clear.png", clear))
    assert np.array_equal(views.coverage.sum(axis=0) > 0, (opacity.reshape(128, 16, 128).sum(axis=1) > 0))
    assert views.grey[0, 0, 0] == 1


def test_noise_and_specks_on_the_background_are_not_the_cell(bean: np.ndarray, tmp_path: Path) -> None:
    clean = read_views(save(tmp_path / "clean.png", as_row(bean)))
    dirty = bean - np.random.default_rng(1).uniform(0, 0.04, bean.shape).astype(np.float32)
    dirty[:, 2:5, 2:5] = 0.3
    views = read_views(save(tmp_path / "dirty.png", as_row(dirty.clip(0, 1))))
    assert np.abs(views.coverage - clean.coverage).mean() < 1e-3
    assert not views.coverage[:, :6, :6].any()


def test_a_hole_in_the_light_is_no_hole_in_the_cell(bean: np.ndarray, tmp_path: Path) -> None:
    bright = bean.copy()
    bright[:, 60:68, 60:68] = 1.0
    views = read_views(save(tmp_path / "bright.png", as_row(bright)))
    assert (views.coverage[:, 60:68, 60:68] == 1).all()


def blank(views: np.ndarray) -> None:
    views[5] = 1.0


def shift(views: np.ndarray) -> None:
    views[3] = np.roll(views[3], 60, axis=1)


def darken(views: np.ndarray) -> None:
    views *= 0.4


@pytest.mark.parametrize(
    ("spoil", "text"),
    [(blank, "view 5 is empty"), (shift, "border of view 3"), (darken, "background of view 0 is not white")],
)
def test_views_that_show_no_whole_cell_are_refused(
    bean: np.ndarray, tmp_path: Path, spoil: Callable[[np.ndarray], None], text: str
) -> None:
    views = bean.copy()
    spoil(views)
    file = save(tmp_path / "views.png", as_grid(views))
    with pytest.raises(CytoCascadeError, match=text) as caught:
        read_views(file)
    assert caught.value.path == file
    assert caught.value.hint


@pytest.mark.parametrize("shape", [(256, 256), (128, 128 * 15), (130, 129 * 16), (1024, 512), (514, 514)])
def test_pictures_of_other_sizes_are_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    file = save(tmp_path / "other.png", np.full((*shape, 3), 255, dtype=np.uint8))
    with pytest.raises(CytoCascadeError, match=f"{shape[1]} x {shape[0]} pixels is no grid") as caught:
        read_views(file)
    assert "4096 x 256" in str(caught.value.hint)


def test_files_that_are_no_pictures_are_refused(bean: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no such file"):
        read_views(tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(CytoCascadeError, match="cannot be read"):
        read_views(tmp_path / "text.png")
    deep = save(tmp_path / "deep.png", (as_row(bean)[..., 0].astype(np.uint16) * 257))
    with pytest.raises(CytoCascadeError, match="8 bits"):
        read_views(deep)


def test_folders_that_hold_other_pictures_are_refused(bean: np.ndarray, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "views", bean)
    assert is_view_folder(folder)
    (folder / "015.png").rename(folder / "end.png")
    assert not is_view_folder(folder)
    (folder / "end.png").unlink()
    with pytest.raises(CytoCascadeError, match="15 pictures, not 16"):
        read_views(folder)
    save(folder / "015.png", np.zeros((99, 99, 3), dtype=np.uint8))
    with pytest.raises(CytoCascadeError, match="one size"):
        read_views(folder)


def test_the_cube_is_as_small_as_the_cell_allows(tmp_path: Path) -> None:
    file = save(tmp_path / "ball.png", as_row(render(BALL, side=128)))
    views, half = to_canonical(read_views(file), 64)
    assert views.shape == (1, 16, 3, 64, 64)
    # A ball of radius r at distance d is seen at the angle asin(r / d).
    seen = 1.5 * np.tan(np.arcsin(0.42 / 1.5))
    assert half == pytest.approx(seen / 0.85, rel=0.02)
    radius = np.sqrt(float((views[0, :, 0] > 0).sum()) / 16 / np.pi) / 32
    assert radius == pytest.approx(0.85, rel=0.02)
    assert not bool(views[:, :, 1:].any())
