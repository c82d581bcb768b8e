from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import CROP_SIZE, SingleCells, extract_cells
from cytocascade.masks.training_images import write_training_images
from cytocascade.types import AnnotatedImage

TreeBytes = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def cells(drawn_images: list[AnnotatedImage]) -> SingleCells:
    return extract_cells(drawn_images)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_pictures_show_the_cells_at_one_scale(cells: SingleCells, tmp_path: Path, size: int) -> None:
    found = write_training_images(cells, tmp_path / "out", size=size)
    files = sorted(found.folder.iterdir())
    assert (found.count, found.size, len(files)) == (18, size, 18)
    assert found.spacing == pytest.approx(cells.crop_spacing * CROP_SIZE / size)
    for number, file in enumerate(files):
        with Image.open(file) as picture:
            assert (picture.mode, picture.size, picture.format) == ("L", (size, size), "PNG")
            pixels = np.asarray(picture)
        assert (pixels.min(), pixels.max()) == (0, 255)
        area = (pixels > 127).sum() * found.spacing**2
        assert area == pytest.approx(cells.features["area"][number], rel=0.12)


def test_copies_are_turned_and_bent(cells: SingleCells, tmp_path: Path) -> None:
    found = write_training_images(cells, tmp_path / "out", copies=3)
    names = sorted(file.name for file in found.folder.iterdir())
    assert names[:4] == ["000000_000.png", "000000_001.png", "000000_002.png", "000001_000.png"]
    assert found.count == len(names) == 54
    assert len({(found.folder / name).read_bytes() for name in names}) == 54


def test_what_was_written_is_recorded_and_repeated(cells: SingleCells, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    found = write_training_images(cells, tmp_path / "one", copies=2, seed=4)
    record = json.loads((tmp_path / "one" / "crops.json").read_bytes())
    assert record["images"] == ["drawn-0", "drawn-1"]
    assert (record["size"], record["spacing"], record["seed"]) == (64, found.spacing, 4)
    write_training_images(cells, tmp_path / "two", copies=2, seed=4)
    assert tree_bytes(tmp_path / "one") == tree_bytes(tmp_path / "two")
    write_training_images(cells, tmp_path / "two", copies=2, seed=5, overwrite=True)
    assert tree_bytes(tmp_path / "one") != tree_bytes(tmp_path / "two")


@pytest.mark.parametrize("size", [8, 60, 100])
def test_sizes_that_no_network_takes_are_refused(cells: SingleCells, tmp_path: Path, size: int) -> None:
    with pytest.raises(CytoCascadeError, match=f"{size} pixels"):
        write_training_images(cells, tmp_path / "out", size=size)


def test_existing_folder_is_replaced_only_if_asked(cells: SingleCells, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(CytoCascadeError, match="exists already"):
        write_training_images(cells, tmp_path)
    assert (tmp_path / "mine").exists()
