from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.export.tiff import write_tiff
from cytocascade.images import read_image, read_mask
from cytocascade.segmentation.applying import load_record, segment_files

from .conftest import Bright, BrightMethod, balls, discs


@pytest.fixture
def segmenter(tmp_path: Path, bright: BrightMethod) -> Path:
    Bright().save(tmp_path / "segmenter")
    return tmp_path / "segmenter"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images of nine discs, the first one with a known spacing."""
    for number, name in enumerate("abc"):
        write_tiff(tmp_path / "in" / f"{name}.tif", discs(number).image, (0.5, 0.25), name == "a")
    return tmp_path / "in"


def test_every_image_gets_its_labels(images: Path, segmenter: Path, tmp_path: Path) -> None:
    written = segment_files([images], segmenter, tmp_path / "out")
    assert written == [tmp_path / "out" / f"{name}_masks.tif" for name in "abc"]
    for number, file in enumerate(written):
        labels = read_mask(file)
        assert labels.dtype == np.uint16
        assert np.array_equal(labels > 0, discs(number).labels > 0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a_masks.tif", "b_masks.tif", "c_masks.tif", "segment.json"
    }  # fmt: skip


def test_labels_carry_the_spacing_of_their_image(images: Path, segmenter: Path, tmp_path: Path) -> None:
    first, second, _ = segment_files([images], segmenter, tmp_path / "out")
    assert read_image(first)[1] == (0.5, 0.25)
    assert read_image(second)[1] is None
    (given,) = segment_files([images / "b.tif"], segmenter, tmp_path / "given", spacing=(0.2, 0.2))
    assert read_image(given)[1] == (0.2, 0.2)


def test_labels_beside_their_images_are_not_segmented_the_next_time(
    images: Path, segmenter: Path, bright: BrightMethod
) -> None:
    segment_files([images], segmenter, images)
    assert len(segment_files([images], segmenter, images)) == 3
    assert len(segment_files(sorted(images.glob("*.tif")), segmenter, images)) == 3
    assert len(bright.calls) == 3


def test_progress_names_the_image_at_work(images: Path, segmenter: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    segment_files([images / "b.tif"], segmenter, tmp_path / "out")
    segment_files([images], segmenter, tmp_path / "out", progress=lambda *what: told.append(what))
    assert told == [(1, 3, "a"), (2, 3, "c"), (3, 3, "")]


def test_an_interrupted_call_goes_on_where_it_was(
    images: Path, segmenter: Path, tmp_path: Path, bright: BrightMethod
) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_files([images], segmenter, tmp_path / "out", progress=stop)
    assert not (tmp_path / "out" / "c_masks.tif").exists()
    assert len(segment_files([images], segmenter, tmp_path / "out")) == 3
    assert len(bright.calls) == 3


def test_killed_before_the_labels_appear_an_image_is_segmented_again(
    images: Path, segmenter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def kill(source: Path, target: Path) -> None:
        if str(target).endswith("_masks.tif"):
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("cytocascade.segmentation.applying.os.replace", kill)
        with pytest.raises(KeyboardInterrupt):
            segment_files([images / "a.tif"], segmenter, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["segment.json"]
    (file,) = segment_files([images / "a.tif"], segmenter, tmp_path / "out")
    assert read_mask(file).max() == 9


def test_the_same_labels_are_the_same_bytes(images: Path, segmenter: Path, tmp_path: Path) -> None:
    first = segment_files([images], segmenter, tmp_path / "one")
    second = segment_files([images], segmenter, tmp_path / "two")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert (tmp_path / "one" / "segment.json").read_bytes() == (tmp_path / "two" / "segment.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("image", "made from another image"),
        ("segmenter", "made by another segmenter"),
        ("labels", "changed since they were written"),
        ("record", "not written by this command"),
        ("spacing", "made with another spacing"),
    ],
)
def test_labels_that_would_come_out_otherwise_are_in_the_way(
    images: Path, segmenter: Path, tmp_path: Path, change: str, problem: str, bright: BrightMethod
) -> None:
    out = tmp_path / "out"
    segment_files([images], segmenter, out)
    if change == "image":
        write_tiff(images / "b.tif", discs(9).image, (0.5, 0.5), False)
    elif change == "segmenter":
        (segmenter / "segmenter.json").write_text('{"method": "bright", "level": 150}')
    elif change == "labels":
        write_tiff(out / "b_masks.tif", discs(9).labels, (0.5, 0.5), False)
    elif change == "record":
        (out / "segment.json").unlink()
    spacing = (1.0, 1.0) if change == "spacing" else None
    before = (out / "b_masks.tif").read_bytes()
    calls = len(bright.calls)
    with pytest.raises(CytoCascadeError, match=problem) as caught:
        segment_files([images], segmenter, out, spacing=spacing)
    assert caught.value.path in {out / f"{name}_masks.tif" for name in "abc"}
    assert "--overwrite" in str(caught.value.hint)
    assert (out / "b_masks.tif").read_bytes() == before
    assert len(bright.calls) == calls
    segment_files([images], segmenter, out, spacing=spacing, overwrite=True)
    assert len(bright.calls) == calls + 3
    segment_files([images], segmenter, out, spacing=spacing)
    assert len(bright.calls) == calls + 3


def test_other_images_may_follow_into_the_same_folder(images: Path, segmenter: Path, tmp_path: Path) -> None:
    segment_files([images / "a.tif"], segmenter, tmp_path / "out")
    segment_files([images / "b.tif"], segmenter, tmp_path / "out")
    assert set(load_record(tmp_path / "out").labels) == {"a", "b"}


def test_images_that_cannot_be_read_are_found_before_the_work_begins(
    images: Path, segmenter: Path, tmp_path: Path, bright: BrightMethod
) -> None:
    (images / "c.tif").write_bytes((images / "c.tif").read_bytes()[:200])
    with pytest.raises(CytoCascadeError) as caught:
        segment_files([images], segmenter, tmp_path / "out")
    assert caught.value.path == images / "c.tif"
    assert not bright.calls


def test_a_damaged_record_is_refused(images: Path, segmenter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment_files([images], segmenter, out)
    for content in ("{", json.dumps({"labels": {"a": {"image": 3}}})):
        (out / "segment.json").write_text(content)
        with pytest.raises(CytoCascadeError, match="record of what was segmented is damaged"):
            segment_files([images], segmenter, out)


def test_a_file_in_place_of_the_folder_is_refused(images: Path, segmenter: Path) -> None:
    with pytest.raises(CytoCascadeError, match="folder is needed"):
        segment_files([images], segmenter, images / "a.tif")


def test_a_volume_is_segmented_with_its_spacing(segmenter: Path, tmp_path: Path, bright: BrightMethod) -> None:
    volume = balls()
    write_tiff(tmp_path / "v.tif", volume.image, volume.spacing, True)
    (file,) = segment_files([tmp_path / "v.tif"], segmenter, tmp_path / "out")
    assert bright.calls == [volume.spacing]
    assert np.array_equal(read_mask(file) > 0, volume.labels > 0)
    assert read_image(file)[1] == volume.spacing


def test_an_unknown_z_step_is_refused_with_what_to_do(segmenter: Path, tmp_path: Path, bright: BrightMethod) -> None:
    volume = balls()
    file = tmp_path / "v.tif"
    tifffile.imwrite(file, volume.image, resolution=(2e4, 2e4), resolutionunit="CENTIMETER")
    with pytest.raises(CytoCascadeError, match=r"slices .* apart is unknown \(its pixels are 0.5 x 0.5 um\)") as caught:
        segment_files([file], segmenter, tmp_path / "out")
    assert caught.value.path == file
    assert "--spacing" in str(caught.value.hint)
    assert not bright.calls
    segment_files([file], segmenter, tmp_path / "out", spacing=(2.0, 0.5, 0.5))
    assert bright.calls == [(2.0, 0.5, 0.5)]


def test_a_spacing_of_the_wrong_number_of_axes_is_refused(images: Path, segmenter: Path, tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="2 are needed"):
        segment_files([images], segmenter, tmp_path / "out", spacing=(1.0, 0.5, 0.5))


def test_a_zarr_image_is_segmented(segmenter: Path, tmp_path: Path, bright: BrightMethod) -> None:
    zarr = pytest.importorskip("zarr")
    volume = balls()
    group = zarr.open_group(tmp_path / "v.ome.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=volume.image)
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    scale = [{"type": "scale", "scale": list(volume.spacing)}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    for _ in range(2):
        (file,) = segment_files([tmp_path / "v.ome.zarr"], segmenter, tmp_path / "out")
    assert file.name == "v_masks.tif"
    assert bright.calls == [volume.spacing]
    group["0"][0, 0, 0] = 7
    with pytest.raises(CytoCascadeError, match="another image"):
        segment_files([tmp_path / "v.ome.zarr"], segmenter, tmp_path / "out")
