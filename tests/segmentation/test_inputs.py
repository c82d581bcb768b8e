from __future__ import annotations

from pathlib import Path

import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.segmentation.inputs import named_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images as Cellpose leaves them, and things that are none."""
    names = ["a.tif", "a_masks.tif", "a_cp_masks.png", "a_flows.tif", "b_img.PNG", "b_masks.png"]
    for name in [*names, "c.ome.tif", "notes.txt", ".hidden.tif"]:
        (tmp_path / name).touch()
    for name in ("d.ome.zarr", "e.zarr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zarr.json").touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "z.tif").touch()
    return tmp_path


def test_a_folder_gives_its_images_without_masks(folder: Path) -> None:
    assert {name: path.name for name, path in named_images([folder]).items()} == {
        "a": "a.tif", "b_img": "b_img.PNG", "c": "c.ome.tif", "d": "d.ome.zarr", "e": "e.zarr"
    }  # fmt: skip


def test_masks_given_together_with_their_images_are_left_out(folder: Path) -> None:
    files = [path for path in folder.iterdir() if path.suffix in (".tif", ".png", ".PNG") and path.name[0] != "."]
    assert set(named_images(files)) == {"a", "b_img", "c"}


def test_a_file_that_is_only_named_like_a_mask_is_an_image(folder: Path) -> None:
    assert list(named_images([folder / "a_masks.tif"])) == ["a_masks"]


def test_images_keep_the_order_in_which_they_are_given(folder: Path) -> None:
    assert list(named_images([folder / "c.ome.tif", folder / "d.ome.zarr", folder / "a.tif"])) == ["c", "d", "a"]


def test_an_image_given_twice_counts_once(folder: Path) -> None:
    found = named_images([folder / "c.ome.tif", folder, folder / "below" / ".." / "a.tif"])
    assert list(found) == ["c", "a", "b_img", "d", "e"]


def test_two_images_of_one_name_are_refused(folder: Path) -> None:
    (folder / "below" / "a.png").touch()
    with pytest.raises(CytoCascadeError, match="same name") as caught:
        named_images([folder, folder / "below"])
    assert "a.tif" in str(caught.value)
    assert "a.png" in str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no such file or folder") as caught:
        named_images([tmp_path / "none.tif"])
    assert caught.value.path == tmp_path / "none.tif"


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="holds no images"):
        named_images([tmp_path])
    (tmp_path / "a_masks.tif").touch()
    with pytest.raises(CytoCascadeError, match="holds masks, but no images"):
        named_images([tmp_path])
    (tmp_path / "images").mkdir()
    with pytest.raises(CytoCascadeError) as caught:
        named_images([tmp_path])
    assert str(tmp_path / "images") in str(caught.value.hint)


def test_nothing_to_segment_is_refused(folder: Path) -> None:
    for nothing in ([], [folder / "a_flows.tif"]):
        with pytest.raises(CytoCascadeError, match="no images to segment"):
            named_images(nothing)
