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


@pytest.mark.parametrize("suffix", ["", "_mask", "_masks", "_label", "_labels", "_seg", "_cp_masks"])
def test_masks_in_their_own_folder_pair_by_name_or_suffix(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, "raw/a.ome.tif", f"truth/a{suffix}.tiff")
    found = find_pairs(tmp_path / "raw", tmp_path / "truth")
    assert found.layout == "folder"
    assert [(pair.name, pair.mask.name) for pair in found.pairs] == [("a", f"a{suffix}.tiff")]


def test_ending_img_is_no_part_of_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "images/a_img.tif", "masks/a_masks.tif")
    assert names(tmp_path) == [("a_img", "images/a_img.tif", "masks/a_masks.tif")]


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


def test_images_without_masks_are_listed_or_skipped_if_sparse(tmp_path: Path) -> None:
    touch(tmp_path, "masks/a0.tif", *(f"images/a{k}.tif" for k in range(6)))
    with pytest.raises(
        CytoCascadeError, match=r"5 images have no mask: a1\.tif, a2\.tif, a3\.tif and 2 more"
    ):
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


def ctc(root: Path) -> Path:
    touch(
        root, *(f"01/t00{k}.tif" for k in range(4)), "01_GT/SEG/man_seg001.tif", "01_GT/TRA/man_track001.tif"
    )
    touch(root, "01_ST/SEG/man_seg001.tif", "01_ST/SEG/man_seg003.tif", "02/t000.tif")
    return touch(root, "02_GT/SEG/man_seg000.tif", "03/t000.tif")


def test_ctc_prefers_gold_skips_frames_and_names_by_sequence(tmp_path: Path) -> None:
    ctc(tmp_path)
    found = find_pairs(tmp_path)
    assert found.layout == "ctc"
    assert names(tmp_path) == [
        ("01_t001", "01/t001.tif", "01_GT/SEG/man_seg001.tif"),
        ("01_t003", "01/t003.tif", "01_ST/SEG/man_seg003.tif"),
        ("02_t000", "02/t000.tif", "02_GT/SEG/man_seg000.tif"),
    ]
    assert [[file.name for file in pair.references] for pair in found.pairs] == [
        ["man_seg001.tif", "man_track001.tif"],
        [],
        [],
    ]
    assert found.warnings == ("skipped sequences without annotation: 03",)


def test_one_ctc_sequence_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctc(tmp_path)
    assert [pair.name for pair in find_pairs(tmp_path / "02").pairs] == ["02_t000"]
    monkeypatch.chdir(tmp_path / "01")
    assert [pair.name for pair in find_pairs(Path()).pairs] == ["01_t001", "01_t003"]


@pytest.mark.parametrize("masks", ["01_ST", "01_ST/SEG"])
def test_ctc_masks_can_be_chosen(tmp_path: Path, masks: str) -> None:
    ctc(tmp_path)
    found = find_pairs(tmp_path / "01", tmp_path / masks)
    assert found.layout == "ctc"
    assert [pair.mask.parent.parent.name for pair in found.pairs] == ["01_ST", "01_ST"]
    assert [pair.references for pair in found.pairs] == [(), ()]


def test_ctc_frame_numbers_may_have_any_width(tmp_path: Path) -> None:
    touch(tmp_path, "01/t0012.tif", "01_GT/SEG/man_seg0012.tif")
    assert [pair.name for pair in find_pairs(tmp_path).pairs] == ["01_t0012"]


def test_ctc_without_matching_frames_and_with_slice_masks_only_is_explained(tmp_path: Path) -> None:
    touch(tmp_path, "01/t000.tif", "01_GT/SEG/man_seg005.tif")
    with pytest.raises(CytoCascadeError, match=r"no frame t000\.tif has a mask(.|\n)*01_GT"):
        find_pairs(tmp_path)
    touch(tmp_path, "01_GT/SEG/man_seg_000_004.tif")
    with pytest.raises(CytoCascadeError, match="single slices"):
        find_pairs(tmp_path)
