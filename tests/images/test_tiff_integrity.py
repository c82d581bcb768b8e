from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.images.readers import read_image


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"compression": "zlib"},
        {"compression": "zlib", "tile": (16, 16)},
        {"metadata": None, "bigtiff": True, "byteorder": ">"},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}},
    ],
)
def test_truncated_tiff_is_never_read_as_something_else(tmp_path: Path, options: dict[str, object]) -> None:
    stack = np.random.default_rng(1).integers(0, 60000, (4, 16, 17), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "whole.tif", stack, photometric="minisblack", **options)
    data = (tmp_path / "whole.tif").read_bytes()
    np.testing.assert_array_equal(read_image(tmp_path / "whole.tif")[0], stack)
    refused = []
    for length in range(0, len(data), 61):
        (tmp_path / "cut.tif").write_bytes(data[:length])
        try:
            image, _ = read_image(tmp_path / "cut.tif")
        except CytoCascadeError as error:
            refused.append(str(error))
        else:
            np.testing.assert_array_equal(image, stack)  # only bytes after the pixels were cut
    assert len(refused) > 10
    assert all("cut.tif: " in message for message in refused)


def test_circular_list_of_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), photometric="minisblack")
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    data[end : end + 4] = data[4:8]
    path.write_bytes(data)
    with pytest.raises(CytoCascadeError, match=r"a\.tif"):
        read_image(path)


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_image_that_claims_more_rows_than_are_stored_is_refused(tmp_path: Path, tile: tuple[int, int] | None) -> None:
    path = tmp_path / "a.tif"
    pixels = np.zeros((32, 32), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", compression="zlib", tile=tile, rowsperstrip=16)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags["ImageLength"].overwrite(50_000)
    with pytest.raises(CytoCascadeError, match=r"a\.tif: the file is cut off: page 1 has . of \d+ strips or tiles"):
        read_image(path)
