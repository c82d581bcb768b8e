from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.images.layouts import find_pairs


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.zeros((4, 4), np.uint8), photometric="minisblack")
    return root


def names(root: Path, *args: object, **options: object) -> list[tuple[str, str, str]]:
    return [
        (pair.name, pair.image.relative_to(root).as_posix(), pair.mask.relative_to(root).as_posix())
        for pair in find_pairs(root, *args, **options).pairs
    ]


def test_folder_with_images_and_masks_is_recognised(tmp_path: Path) -> None:
    touch(tmp_path, "images/b.tif", "images/a.tif", "masks/a.tif", "masks/b.tif", "images/._a.tif")
    assert find_pairs(tmp_path).layout == "folder"
    assert names(tmp_path) == [("a", "images/a.tif", "masks/a.tif"), ("b", "images/b.tif", "masks/b.tif")]


def test_two_files_are_one_pair(tmp_path: Path) -> None:
    touch(tmp_path, "x.tif", "y.tif")
    (pair,) = find_pairs(tmp_path / "x.tif", tmp_path / "y.tif").pairs
    assert (pair.name, pair.mask.name) == ("x", "y.tif")
    with pytest.raises(CytoCascadeError, match="one image was given without one mask"):
        find_pairs(tmp_path / "x.tif")


def test_cellpose_masks_beside_the_images_are_recognised(tmp_path: Path) -> None:
    touch(tmp_path, "x.tif", "x_masks.tif", "y.tif", "y_cp_masks.tif", "y_flows.tif", "003_img.tif")
    touch(tmp_path, "003_masks.tif")
    assert find_pairs(tmp_path).layout == "cellpose"
    assert names(tmp_path) == [
        ("003_img", "003_img.tif", "003_masks.tif"),
        ("x", "x.tif", "x_masks.tif"),
        ("y", "y.tif", "y_cp_masks.tif"),
    ]
    assert find_pairs(tmp_path, tmp_path).layout == "cellpose"


def test_cellpose_below_train_is_found(tmp_path: Path) -> None:
    touch(tmp_path, "train/x.tif", "train/x_masks.tif", "test/y.tif", "test/y_masks.tif")
    assert names(tmp_path) == [("x", "train/x.tif", "train/x_masks.tif")]


def test_stardist_reads_train_and_leaves_test(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a.tif", "train/masks/a.tif", "test/images/b.tif", "test/masks/b.tif")
    found = find_pairs(tmp_path)
    assert found.layout == "stardist"
    assert [pair.name for pair in found.pairs] == ["a"]
    assert "test/ is left" in found.warnings[0]
    assert [pair.name for pair in find_pairs(tmp_path / "test").pairs] == ["b"]


def test_stardist_can_be_asked_for_directly_and_with_test_alone(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.tif", "masks/a.tif")
    assert find_pairs(tmp_path, layout="stardist").layout == "stardist"
    other = touch(tmp_path / "other", "test/images/b.tif", "test/masks/b.tif")
    assert [pair.name for pair in find_pairs(other).pairs] == ["b"]
    assert find_pairs(other).warnings == ()


def test_unrecognised_folder_tells_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.tif", "images/b.tif")
    with pytest.raises(CytoCascadeError, match=r"stardist(.|\n)*cellpose(.|\n)*man_seg000(.|\n)*--masks"):
        find_pairs(tmp_path / "images")
    touch(tmp_path, "masks/a.tif")
    with pytest.raises(CytoCascadeError, match=f"--masks {tmp_path / 'masks'}"):
        find_pairs(tmp_path / "images")


@pytest.mark.parametrize("layout", ["folder", "stardist", "cellpose", "ctc"])
def test_wrongly_named_layout_is_explained(tmp_path: Path, layout: str) -> None:
    touch(tmp_path, "some/a.tif", "a.tif")
    with pytest.raises(CytoCascadeError, match=f"{tmp_path}: .*(needs the folders|no pair|no annotated)"):
        find_pairs(tmp_path, layout=layout)


def test_missing_paths_and_unknown_layouts_are_named(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="none: there is no such"):
        find_pairs(tmp_path / "none")
    with pytest.raises(CytoCascadeError, match="nomasks: there is no such"):
        find_pairs(tmp_path, tmp_path / "nomasks")
    with pytest.raises(CytoCascadeError, match=r"unknown layout 'zip'(.|\n)*stardist"):
        find_pairs(tmp_path, layout="zip")
