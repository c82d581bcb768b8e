from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cytocascade.cascade import Cascade
from cytocascade.demo import (
    choose_cells,
    close_up,
    contact_sheet,
    describe_demo,
    label_colours,
    label_overlay,
    run_demo,
    to_grey,
)
from cytocascade.errors import CytoCascadeError
from cytocascade.images import read_image, read_mask
from cytocascade.types import AnnotatedImage


def discs(name: str = "discs", side: int = 96) -> AnnotatedImage:
    """Four discs of different sizes, and one cut by the frame."""
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), dtype=np.uint16)
    for number, (cy, cx, radius) in enumerate(
        [(24, 24, 6), (24, 70, 9), (68, 24, 12), (66, 68, 14), (48, 0, 8)], start=1
    ):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    image = 100 + 40 * labels + np.random.default_rng(0).integers(0, 9, labels.shape)
    return AnnotatedImage(image.astype(np.uint16), labels, (1.0, 1.0), name)


def test_the_sheet_shows_images_labels_and_single_cells_below_each_other() -> None:
    sample = discs()
    sheet = contact_sheet([sample, sample], tile=96, close_ups=4)
    one = contact_sheet([AnnotatedImage(sample.image, 0 * sample.labels, (1.0, 1.0), "none")], tile=96)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 2 * 96 + 10 + 2 * 24
    # Without cells there is no third row.
    assert one.shape[0] < sheet.shape[0]
    colour = np.ptp(sheet[:, 40:-40].astype(int), axis=2).max(axis=1)
    rows = np.flatnonzero(colour > 60)
    assert rows.min() > 24 + 96  # the images themselves are grey
    assert len(rows) > 40


def test_an_image_that_is_not_square_is_cut_to_its_middle() -> None:
    sample = discs()
    wide = AnnotatedImage(sample.image[:60], sample.labels[:60], (1.0, 1.0), "wide")
    assert contact_sheet([wide], tile=64).shape[1] == 64 + 2 * 24


def test_the_overlay_colours_cells_and_leaves_the_background_grey() -> None:
    sample = discs()
    picture = label_overlay(to_grey(sample.image), sample.labels).astype(int)
    spread = np.ptp(picture, axis=2)
    assert (spread[sample.labels == 0] == 0).all()
    assert (spread[sample.labels > 0] > 0).mean() > 0.95


def test_neighbouring_labels_get_different_colours_of_like_lightness() -> None:
    colours = label_colours(np.arange(40))
    steps = np.abs(np.diff(colours[1:], axis=0)).sum(axis=1)
    assert steps.min() > 0.3
    assert (colours[0] == 0).all()
    light = colours[1:] @ np.asarray([0.21, 0.72, 0.07])
    assert light.min() > 0.3
    assert light.max() < 0.95


def test_only_whole_cells_are_enlarged_from_small_to_large() -> None:
    sample = discs()
    chosen = [label for _, _, label in choose_cells([sample], [to_grey(sample.image)], 4)]
    assert chosen == sorted(chosen)
    assert len(chosen) >= 3
    assert 5 not in chosen


def test_the_outline_of_a_close_up_runs_along_the_label() -> None:
    sample = discs()
    grey = np.zeros(sample.image.shape, dtype=np.float32)
    picture = close_up(grey, sample.labels, 4, half=24, side=192)
    y, x = np.nonzero(picture.max(axis=2) > 60)
    radius = np.hypot(y - 95.5, x - 95.5) / 4  # enlarged fourfold
    assert radius.min() > 12.5
    assert radius.max() < 16
    assert len(y) > 200


def test_a_cell_at_the_frame_can_be_enlarged() -> None:
    sample = discs()
    assert close_up(to_grey(sample.image), sample.labels, 5, half=20, side=64).shape == (64, 64, 3)


def test_the_demo_leaves_a_readable_data_set_and_its_picture(nuclei: Cascade, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    out = tmp_path / "demo"
    result = run_demo(
        out, cascade=nuclei, count=2, size=(96, 96), seed=3, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 2), (2, 2)]
    assert result.images == 2
    assert result.cells > 0
    with Image.open(result.sheet) as picture:
        assert picture.format == "PNG"
    for name, mask in (("folder/images/000001.tif", "folder/masks/000001.tif"), ("cellpose/000001.tif", "")):
        image, _ = read_image(out / name)
        labels = read_mask(out / (mask or name.replace(".tif", "_masks.tif")))
        assert image.shape == labels.shape == (96, 96)
    text = describe_demo(result)
    named = [Path(word) for word in text.split() if word.startswith(str(out))]
    assert len(named) >= 5
    assert all(path.exists() for path in named)
    # Again: nothing is generated anew, the picture is the same.
    before = result.sheet.read_bytes()
    assert run_demo(out, cascade=nuclei, count=2, size=(96, 96), seed=3).sheet.read_bytes() == before
    with pytest.raises(CytoCascadeError, match="other settings"):
        run_demo(out, cascade=nuclei, count=2, size=(96, 96), seed=4)
