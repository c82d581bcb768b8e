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


@pytest.mark.parametrize("suffix", ["", "_mask", "_masks", "_label", "_labels", "_seg", "_cp_masks"])
def test_masks_in_their_own_folder_pair_by_name_or_suffix(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, "raw/a.ome.tif", f"truth/a{suffix}.tiff")
    found = find_pairs(tmp_path / "raw", tmp_path / "truth")
    assert found.layout == "folder"
    assert [(pair.name, pair.mask.name) for pair in found.pairs] == [("a", f"a{suffix}.tiff")]


def test_ending_img_is_no_part_of_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "images/a_img.tif", "masks/a_masks.tif")
    assert names(tmp_path) == [("a_img", "images/a_img.tif", "masks/a_masks.tif")]


def test_drawn_cellpose_masks_win_over_predicted_ones_and_tiff_over_png(tmp_path: Path) -> None:
    touch(tmp_path, "x.tif", "x_masks.tif", "x_cp_masks.tif")
    (tmp_path / "x_masks.png").write_bytes(b"")
    assert names(tmp_path) == [("x", "x.tif", "x_masks.tif")]


def test_png_masks_of_cellpose_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "x.tif")
    (tmp_path / "x_masks.png").write_bytes(b"")
    assert names(tmp_path) == [("x", "x.tif", "x_masks.png")]


def test_cellpose_npy_files_are_explained(tmp_path: Path) -> None:
    touch(tmp_path, "x.tif")
    (tmp_path / "x_seg.npy").write_bytes(b"")
    with pytest.raises(CytoCascadeError, match=r"no pair(.|\n)*pickles"):
        find_pairs(tmp_path, layout="cellpose")


def test_images_without_masks_are_listed_or_skipped_if_sparse(tmp_path: Path) -> None:
    touch(tmp_path, "masks/a0.tif", *(f"images/a{k}.tif" for k in range(6)))
    with pytest.raises(CytoCascadeError, match=r"5 images have no mask: a1\.tif, a2\.tif, a3\.tif and 2 more"):
        find_pairs(tmp_path)
    found = find_pairs(tmp_path, sparse=True)
    assert [pair.name for pair in found.pairs] == ["a0"]
    assert "skipped 5 images" in found.warnings[0]


def test_masks_without_images_are_listed_or_skipped_if_sparse(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.tif", "masks/a.tif", "masks/lone.tif")
    with pytest.raises(CytoCascadeError, match=r"1 masks have no image: lone\.tif"):
        find_pairs(tmp_path)
    assert "lone.tif" in find_pairs(tmp_path, sparse=True).warnings[0]


def test_lone_cellpose_files_are_listed_too(tmp_path: Path) -> None:
    touch(tmp_path, "x.tif", "x_masks.tif", "y.tif")
    with pytest.raises(CytoCascadeError, match=r"1 images have no mask: y\.tif"):
        find_pairs(tmp_path)
    touch(tmp_path, "y_masks.tif", "z_masks.tif")
    with pytest.raises(CytoCascadeError, match=r"1 masks have no image: z_masks\.tif"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("sparse", [True, False])
def test_no_pair_at_all_is_an_error_even_if_sparse(tmp_path: Path, sparse: bool) -> None:
    touch(tmp_path, "images/a.tif", "masks/b.tif")
    with pytest.raises(CytoCascadeError, match=r"no pair(.|\n)*a\.tif(.|\n)*b\.tif(.|\n)*_masks"):
        find_pairs(tmp_path, sparse=sparse)


def test_equal_names_are_ambiguous(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.tif", "images/a.tiff", "masks/a.tif")
    with pytest.raises(CytoCascadeError, match=r"a\.tif and a\.tiff have the same name"):
        find_pairs(tmp_path)


def test_folder_without_images_tells_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path, "masks/a.tif")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.czi").write_bytes(b"")
    with pytest.raises(CytoCascadeError, match=r"images: the folder holds no images(.|\n)*\.czi"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("name", ["a_z012.tif", "a_z012_masks.tif", "a_masks_z12.tif", "a_z0012_label.png"])
def test_slice_number_in_a_mask_name_pairs_it_with_the_stack(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "images/a.tif", "images/b.tif", "masks/a_z003.tif", f"masks/{name}", "masks/b.tif")
    first, second = find_pairs(tmp_path, slices=True).pairs
    assert (first.name, first.mask) == ("a", tmp_path / "masks")
    assert first.slices == ((3, tmp_path / "masks/a_z003.tif"), (12, tmp_path / "masks" / name))
    assert (second.name, second.slices) == ("b", ())
    with pytest.raises(CytoCascadeError, match=r"1 images have no mask: a\.tif"):
        find_pairs(tmp_path)


def test_slices_beside_their_stack_are_found_and_others_stay_alone(tmp_path: Path) -> None:
    touch(tmp_path, "x.tif", "x_z004_masks.tif", "x_z009_masks.tif")
    (pair,) = find_pairs(tmp_path, slices=True).pairs
    assert [(z, file.name) for z, file in pair.slices] == [(4, "x_z004_masks.tif"), (9, "x_z009_masks.tif")]
    touch(tmp_path, "y_z004_masks.tif")
    with pytest.raises(CytoCascadeError, match=r"1 masks have no image: y_z004_masks\.tif"):
        find_pairs(tmp_path, slices=True)


def test_names_that_end_like_a_slice_pair_with_their_equals_first(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.tif", "images/a_z003.tif", "masks/a.tif", "masks/a_z003.tif")
    assert [(pair.name, pair.slices) for pair in find_pairs(tmp_path, slices=True).pairs] == [("a", ()), ("a_z003", ())]


def test_two_masks_of_one_slice_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.tif", "masks/a_z003.tif", "masks/a_z03.tif")
    with pytest.raises(CytoCascadeError, match=r"a_z003\.tif and a_z03\.tif are both masks of slice 3"):
        find_pairs(tmp_path, slices=True)
