from __future__ import annotations

import numpy as np
import pytest
import tifffile

from cytocascade.export.tiff import write_tiff


def test_spacing_is_stored_as_ome_and_as_resolution(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, np.zeros((4, 6, 8), np.uint8), (2.0, 0.5, 0.25), True)
    with tifffile.TiffFile(path) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [2.0, 0.5, 0.25]
        assert [pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"] == ["µm"] * 3
        assert tiff.series[0].axes == "ZYX"
        assert tiff.pages[0].tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        assert tiff.pages[0].resolution == (40_000, 20_000)
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_an_unknown_spacing_is_not_claimed(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, np.zeros((6, 8), np.uint8), (1.0, 1.0), False)
    with tifffile.TiffFile(path) as tiff:
        assert "PhysicalSize" not in tiff.ome_metadata
        assert tiff.pages[0].resolution == (1, 1)


def test_bytes_depend_on_the_contents_alone(tmp_path):
    image = np.arange(48, dtype=np.uint16).reshape(6, 8)
    files = [tmp_path / name for name in ("a.tif", "b.tif", "c.tif")]
    write_tiff(files[0], image, (0.5, 0.5), True)
    write_tiff(files[1], np.asfortranarray(image), (0.5, 0.5), True)
    write_tiff(files[2], image + 1, (0.5, 0.5), True)
    first, second, other = (file.read_bytes() for file in files)
    assert first == second
    assert first != other


def test_the_ome_header_names_neither_time_nor_version(tmp_path):
    write_tiff(tmp_path / "a.tif", np.zeros((6, 8), np.uint8), (0.5, 0.5), True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert 'Creator="CytoCascade"' in tiff.ome_metadata
        assert tifffile.__version__ not in tiff.ome_metadata
        assert "DateTime" not in tiff.pages[0].tags


@pytest.mark.parametrize("shape", [(3, 20), (20, 3), (4, 20, 30), (3, 20, 30), (1, 20, 30), (20, 30, 3)])
def test_shapes_that_look_like_colours_stay_planes(tmp_path, shape):
    array = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    write_tiff(tmp_path / "a.tif", array, (1.0,) * len(shape), True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == (shape[0] if len(shape) == 3 else 1)
        np.testing.assert_array_equal(tiff.asarray().reshape(shape), array)


def test_no_temporary_file_stays_when_writing_fails(tmp_path):
    with pytest.raises(KeyError):
        write_tiff(tmp_path / "a.tif", np.full((4, 4), "text"), (1.0, 1.0), False)
    assert list(tmp_path.iterdir()) == []
