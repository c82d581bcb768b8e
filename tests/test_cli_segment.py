from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from _commands import expect_one_error

from cytocascade.images import read_image, read_mask
from cytocascade.segmentation.base import SegmenterOptions
from cytocascade.types import AnnotatedImage

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Cellpose network, kept like a trained one."""
    pytest.importorskip("cellpose")
    from cytocascade.segmentation.cellpose import CellposeSegmenter
    from cytocascade.segmentation.cellpose_network import cellpose_network

    options = SegmenterOptions(diameter=18)
    folder = tmp_path_factory.mktemp("segmenters") / "kept"
    CellposeSegmenter(cellpose_network(options, 18.0, 0), options, 18.0).save(folder)
    return folder


@pytest.fixture
def folder(drawn_images: list[AnnotatedImage], tmp_path: Path) -> Path:
    """Two images beside the masks of one of them."""
    root = tmp_path / "data"
    root.mkdir()
    for image in drawn_images:
        tifffile.imwrite(root / f"{image.name}.tif", image.image)
    tifffile.imwrite(root / "drawn-0_masks.tif", drawn_images[0].labels)
    return root


def test_a_folder_is_segmented_once(run: Run, folder: Path, segmenter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("segment", folder, "--segmenter", segmenter, "--out", out, "--spacing", "0.5")
    code, stdout, stderr = run(*command)
    assert (code, stdout.strip()) == (0, str(out))
    assert "2 label images written." in stderr
    assert {path.name for path in out.iterdir()} == {"drawn-0_masks.tif", "drawn-1_masks.tif", "segment.json"}
    labels = read_mask(out / "drawn-0_masks.tif")
    assert (labels.shape, labels.dtype) == ((128, 128), np.uint16)
    assert read_image(out / "drawn-0_masks.tif")[1] == (0.5, 0.5)
    code, _, stderr = run(*command)
    assert code == 0
    assert "0 label images written, 2 were there." in stderr


def test_labels_by_others_are_replaced_only_if_wished(run: Run, folder: Path, segmenter: Path) -> None:
    command = ("segment", folder / "drawn-0.tif", "--segmenter", segmenter, "--out", folder)
    before = (folder / "drawn-0_masks.tif").read_bytes()
    expect_one_error(run(*command), folder / "drawn-0_masks.tif", "not written by this command", "--overwrite")
    assert (folder / "drawn-0_masks.tif").read_bytes() == before
    assert run(*command, "--overwrite")[0] == 0
    assert (folder / "drawn-0_masks.tif").read_bytes() != before


def test_a_volume_of_unknown_height_is_refused(run: Run, segmenter: Path, tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 99, (4, 20, 24)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    command = ("segment", tmp_path / "stack.tif", "--segmenter", segmenter, "--out", tmp_path / "out")
    expect_one_error(run(*command), tmp_path / "stack.tif", "apart is unknown", "--spacing")
    assert not (tmp_path / "out").exists()
    assert run(*command, "--spacing", "2,1,1")[0] == 0
    assert read_mask(tmp_path / "out" / "stack_masks.tif").shape == stack.shape


def test_mistakes_are_answered_in_one_sentence(run: Run, folder: Path, segmenter: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    expect_one_error(run("segment", folder, "--segmenter", folder, *out), folder, "no trained segmenter is here")
    expect_one_error(run("segment", tmp_path / "none", "--segmenter", segmenter, *out), "no such file or folder")
    expect_one_error(run("segment", folder, "--segmenter", segmenter, *out, "--device", "cuda:99"), "cuda:99")
