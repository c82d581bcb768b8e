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
