from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.images.entries import Entry, check_entry, read_entry, refuse_without_cells, remarks
from cytocascade.images.pairing import Pair


def plane(count: int) -> np.ndarray:
    labels = np.zeros((20, 80), np.uint16)
    for k in range(count):
        labels[5:11, 4 + 10 * k : 10 + 10 * k] = k + 1
    return labels


def entry(count: int, name: str = "a") -> Entry:
    pair = Pair(Path(f"{name}.tif"), Path(f"{name}_m.tif"), name)
    image = plane(count) + np.uint16(9)
    return check_entry(pair, image, plane(count), None, sparse=False, label_components=False, dim=2)


def test_files_are_read_and_counted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", plane(4) + np.uint16(9), photometric="minisblack")
    tifffile.imwrite(tmp_path / "m.tif", plane(4), photometric="minisblack")
    pair = Pair(tmp_path / "a.tif", tmp_path / "m.tif", "a")
    found = read_entry(pair, sparse=True, label_components=False, dim=2)
    assert (found.census.usable, found.sparse, found.annotated, found.spacing) == (4, True, (), None)
    np.testing.assert_array_equal(found.labels, plane(4))
    with pytest.raises(CytoCascadeError, match=r"a\.tif: the image is 2D"):
        read_entry(pair, sparse=True, label_components=False, dim=3)


def test_cells_of_all_entries_count_together() -> None:
    refuse_without_cells(Path("root"), [entry(3), entry(2, "b")], layout="folder")
    with pytest.raises(CytoCascadeError, match="root: only 3 usable cells"):
        refuse_without_cells(Path("root"), [entry(3), entry(0, "b")], layout="folder")
    with pytest.raises(CytoCascadeError, match=r"root: all 2 masks are empty .*a_m\.tif"):
        refuse_without_cells(Path("root"), [entry(0), entry(0, "b")], layout="folder")


def test_empty_and_blank_entries_are_remarked() -> None:
    said = list(remarks([entry(3), entry(0, "b")], [entry(0, "b")], sparse=False))
    assert said == ["1 masks are empty (b): taken for background", "b.tif: all pixels have the same value"]
