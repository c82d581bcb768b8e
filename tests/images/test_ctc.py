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


def ctc(root: Path) -> Path:
    touch(root, *(f"01/t00{k}.tif" for k in range(4)), "01_GT/SEG/man_seg001.tif", "01_GT/TRA/man_track001.tif")
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


def sliced(root: Path) -> Path:
    touch(root, *(f"01/t00{k}.tif" for k in range(4)), "01_GT/SEG/man_seg_001_012.tif", "01_GT/SEG/man_seg_001_003.tif")
    touch(root, "01_GT/SEG/man_seg002.tif", "01_GT/SEG/man_seg_002_005.tif", "01_GT/TRA/man_track001.tif")
    return touch(root, "01_GT/SEG/man_seg003_007.tif", "01_ST/SEG/man_seg001.tif", "01_ST/SEG/man_seg000.tif")


def test_ctc_slices_belong_to_stacks_and_full_gold_masks_win(tmp_path: Path) -> None:
    found = find_pairs(sliced(tmp_path), slices=True)
    assert names(tmp_path, slices=True) == [
        ("01_t000", "01/t000.tif", "01_ST/SEG/man_seg000.tif"),
        ("01_t001", "01/t001.tif", "01_GT/SEG"),
        ("01_t002", "01/t002.tif", "01_GT/SEG/man_seg002.tif"),
        ("01_t003", "01/t003.tif", "01_GT/SEG"),
    ]
    slices = [[(z, file.name) for z, file in pair.slices] for pair in found.pairs]
    assert slices == [[], [(3, "man_seg_001_003.tif"), (12, "man_seg_001_012.tif")], [], [(7, "man_seg003_007.tif")]]
    assert [file.name for file in found.pairs[1].references] == ["man_seg001.tif", "man_track001.tif"]


def test_ctc_slices_of_a_given_folder_are_read(tmp_path: Path) -> None:
    sliced(tmp_path)
    for masks in ("01_GT", "01_GT/SEG"):
        found = find_pairs(tmp_path / "01", tmp_path / masks, slices=True)
        assert [(pair.name, len(pair.slices)) for pair in found.pairs] == [
            ("01_t001", 2),
            ("01_t002", 0),
            ("01_t003", 1),
        ]


def test_ctc_slices_do_not_count_in_2d(tmp_path: Path) -> None:
    assert [pair.name for pair in find_pairs(sliced(tmp_path)).pairs] == ["01_t000", "01_t001", "01_t002"]
    assert not any(pair.slices for pair in find_pairs(tmp_path).pairs)


def test_two_masks_of_one_ctc_slice_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "01/t000.tif", "01_GT/SEG/man_seg_000_004.tif", "01_GT/SEG/man_seg_0_4.tif")
    with pytest.raises(CytoCascadeError, match=r"man_seg_000_004\.tif and man_seg_0_4\.tif are both masks of slice 4"):
        find_pairs(tmp_path, slices=True)


def test_ctc_slices_of_frames_that_are_not_there_are_explained(tmp_path: Path) -> None:
    touch(tmp_path, "01/t000.tif", "01_GT/SEG/man_seg_005_004.tif")
    with pytest.raises(CytoCascadeError, match=r"no frame t000\.tif has a mask"):
        find_pairs(tmp_path, slices=True)
