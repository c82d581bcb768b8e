from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from cytocascade.errors import CytoCascadeError
from cytocascade.images.readers import read_image, read_mask


def grey(dtype: str = "uint16", shape: tuple[int, ...] = (24, 31)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, pixels, **options)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("options", [{}, {"ome": True}, {"imagej": True}, {"compression": "zlib"}])
def test_tiff_of_every_kind_is_read_unchanged(tmp_path: Path, dtype: str, options: dict[str, object]) -> None:
    pixels = grey(dtype)
    image, spacing = read_image(save(tmp_path / "a.tif", pixels, **options))
    assert image.dtype == pixels.dtype
    np.testing.assert_array_equal(image, pixels)
    assert spacing is None


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_is_read_unchanged(tmp_path: Path, dtype: str) -> None:
    pixels = grey(dtype)
    (tmp_path / "a.PNG").write_bytes(imagecodecs.png_encode(pixels))
    image, spacing = read_image(tmp_path / "a.PNG")
    assert image.dtype == pixels.dtype
    np.testing.assert_array_equal(image, pixels)
    assert spacing is None


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[0, 700]], "int16"), "uint16"),
        (np.array([[-5, 700]], "int16"), "float32"),
        (np.array([[0, 70000]], "uint32"), "float32"),
        (np.array([[0.5, 2]], "float64"), "float32"),
        (np.array([[0.5, 2]], "float16"), "float32"),
        (np.array([[0, 700]], ">u2"), "uint16"),
    ],
)
def test_other_number_types_become_the_nearest_supported_one(tmp_path: Path, pixels: np.ndarray, expected: str) -> None:
    image, _ = read_image(save(tmp_path / "a.tif", pixels.repeat(8, 0)))
    assert image.dtype == np.dtype(expected)
    assert image.dtype.isnative
    np.testing.assert_array_equal(image[0], pixels[0].astype(expected))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_equal_colour_channels_become_grey_without_losing_bits(tmp_path: Path, channels: int, suffix: str) -> None:
    pixels = grey("uint16") * 257
    colours = np.repeat(pixels[..., None], channels, axis=2)
    if channels == 4:
        colours[..., 3] = 65535
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        save(path, colours, photometric="rgb")
    else:
        path.write_bytes(imagecodecs.png_encode(colours))
    np.testing.assert_array_equal(read_image(path)[0], pixels)


def test_planar_and_unmarked_colours_are_recognised(tmp_path: Path) -> None:
    pixels = grey("uint8")
    planar = save(tmp_path / "p.tif", np.stack([pixels] * 3), photometric="rgb", planarconfig="separate")
    unmarked = save(tmp_path / "u.tif", np.stack([pixels] * 3, axis=-1))
    np.testing.assert_array_equal(read_image(planar)[0], pixels)
    np.testing.assert_array_equal(read_image(unmarked)[0], pixels)


def test_grey_palette_png_is_read_by_its_colours(tmp_path: Path) -> None:
    pixels = grey("uint8")
    Image.fromarray(pixels).convert("P").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], pixels)


def test_coloured_image_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "he.tif", grey("uint8", (24, 31, 3)), photometric="rgb")
    with pytest.raises(CytoCascadeError, match=r"he\.tif.*coloured \(3 channels"):
        read_image(path)


def test_varying_transparency_is_refused(tmp_path: Path) -> None:
    colours = np.repeat(grey("uint8")[..., None], 4, axis=2)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colours))
    with pytest.raises(CytoCascadeError, match=r"a\.png.*transparency"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_pixels_are_counted_in_the_error(tmp_path: Path, value: float) -> None:
    pixels = grey("float32")
    pixels[:2, 0] = value
    with pytest.raises(CytoCascadeError, match=r"a\.tif: the image holds 2 pixels that are NaN or inf"):
        read_image(save(tmp_path / "a.tif", pixels))


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="beyond 32-bit"):
        read_image(save(tmp_path / "a.tif", np.full((8, 8), 1e200)))


def test_one_bit_and_complex_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="is it a mask"):
        read_image(save(tmp_path / "bit.tif", grey() > 100))
    Image.fromarray(grey() > 100).save(tmp_path / "bit.png")
    with pytest.raises(CytoCascadeError, match="is it a mask"):
        read_image(tmp_path / "bit.png")
    with pytest.raises(CytoCascadeError, match="complex64"):
        read_image(save(tmp_path / "complex.tif", grey("complex64")))


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_file_of_another_kind_is_named_in_the_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text.{suffix}"
    for content in (b"", b"II", b"not an image at all", b"II*\0\xff\xff\xff\xff"):
        path.write_bytes(content)
        with pytest.raises(CytoCascadeError, match=rf"text\.{suffix}: (cannot be read|the file is cut)"):
            read_image(path)


def test_missing_file_and_unknown_type_are_named(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match=r"none\.tif: there is no such file"):
        read_image(tmp_path / "none.tif")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(CytoCascadeError, match=r"'\.jpg' cannot be read"):
        read_image(tmp_path / "a.jpg")


def test_truncated_png_is_named_in_the_error(tmp_path: Path) -> None:
    data = imagecodecs.png_encode(grey())
    for length in (1, 20, len(data) // 2, len(data) - 20):
        (tmp_path / "cut.png").write_bytes(data[:length])
        with pytest.raises(CytoCascadeError, match=r"cut\.png: cannot be read"):
            read_image(tmp_path / "cut.png")
        with pytest.raises(CytoCascadeError, match=r"cut\.png: cannot be read"):
            read_mask(tmp_path / "cut.png")


def test_damaged_compressed_pixels_are_named_in_the_error(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", grey(), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        middle = tif.pages.first.dataoffsets[0] + tif.pages.first.databytecounts[0] // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(CytoCascadeError, match=r"a\.tif: cannot be read"):
        read_image(path)


@pytest.mark.parametrize(("axes", "meaning"), [("CYX", "3 channels"), ("TYX", "3 time points")])
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_channel_or_time_axis_is_refused_by_name(tmp_path: Path, axes: str, meaning: str, kind: str) -> None:
    path = save(tmp_path / "a.tif", grey(shape=(3, 24, 31)), metadata={"axes": axes}, **{kind: True})
    with pytest.raises(CytoCascadeError, match=rf"a\.tif: the file has {meaning}"):
        read_image(path)


def test_singleton_axes_are_dropped_and_thin_images_stay_2d(tmp_path: Path) -> None:
    pixels = grey(shape=(1, 1, 1, 24, 31))
    path = save(tmp_path / "a.ome.tif", pixels, ome=True, metadata={"axes": "TCZYX"})
    assert read_image(path)[0].shape == (24, 31)
    assert read_image(save(tmp_path / "thin.tif", grey(shape=(1, 31))))[0].shape == (1, 31)


def test_pages_without_meaning_are_slices(tmp_path: Path) -> None:
    stack = grey(shape=(5, 24, 31))
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.tif", stack, metadata=None))[0], stack)


def test_four_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="axes YX or ZYX"):
        read_image(save(tmp_path / "a.tif", grey(shape=(2, 5, 24, 31))))


def test_file_with_several_images_is_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=True) as writer:
        for _ in range(2):
            writer.write(grey(), photometric="minisblack")
    with pytest.raises(CytoCascadeError, match="holds 2 images"):
        read_image(tmp_path / "a.tif")


def test_bool_and_every_integer_type_make_a_mask(tmp_path: Path) -> None:
    labels = grey("uint8") % 3
    for dtype in ("uint8", "uint16", "uint32", "int8", "int16", "int32", "int64"):
        mask = read_mask(save(tmp_path / "m.tif", labels.astype(dtype)))
        assert mask.dtype == np.uint16
        np.testing.assert_array_equal(mask, labels)
    mask = read_mask(save(tmp_path / "b.tif", labels == 1))
    assert mask.dtype == np.uint16
    np.testing.assert_array_equal(mask, labels == 1)


def test_large_labels_are_kept_in_uint32(tmp_path: Path) -> None:
    labels = np.array([[0, 65536], [70000, 3]], "int32").repeat(4, 0)
    mask = read_mask(save(tmp_path / "m.tif", labels))
    assert mask.dtype == np.uint32
    np.testing.assert_array_equal(mask, labels)


def test_labels_beyond_uint32_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match=r"label 4294967296.*\n.*relabel_sequential"):
        read_mask(save(tmp_path / "m.tif", np.full((8, 8), 2**32, "int64")))


def test_negative_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match=r"m\.tif.*negative labels \(down to -1\)"):
        read_mask(save(tmp_path / "m.tif", np.array([[-1, 2]], "int16").repeat(4, 0)))


def test_float_masks_are_refused_with_a_way_to_convert(tmp_path: Path) -> None:
    whole = save(tmp_path / "m.tif", grey("float32"))
    with pytest.raises(CytoCascadeError, match=r"m\.tif.*floating-point(.|\n)*astype\('uint16'\)"):
        read_mask(whole)
    with pytest.raises(CytoCascadeError, match="no whole numbers"):
        read_mask(save(tmp_path / "p.tif", grey("float32") / 7))


@pytest.mark.parametrize("equal", [True, False])
def test_colour_masks_are_refused(tmp_path: Path, equal: bool) -> None:
    colours = np.repeat(grey("uint8")[..., None], 3, axis=2) if equal else grey("uint8", (24, 31, 3))
    (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(colours))
    with pytest.raises(CytoCascadeError, match=r"m\.png.*colour image \(3 channels\)"):
        read_mask(tmp_path / "m.png")


def test_palette_indices_are_labels_and_bits_are_a_mask_in_png(tmp_path: Path) -> None:
    labels = grey("uint8") % 5
    indexed = Image.fromarray(labels, mode=None)
    indexed = indexed.convert("P")
    indexed.putpalette(list(np.random.default_rng(0).permutation(768) % 256))
    indexed.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "p.png"), labels)
    Image.fromarray(labels > 2).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "b.png"), labels > 2)


def test_components_are_numbered_on_request(tmp_path: Path) -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[2:6, 2:6] = 255
    mask[10:15, 10:15] = 255
    path = save(tmp_path / "m.tif", mask)
    assert set(np.unique(read_mask(path))) == {0, 255}
    labels = read_mask(path, label_components=True)
    assert labels.dtype == np.uint16
    assert labels[3, 3] != labels[12, 12]
    assert set(np.unique(labels)) == {0, 1, 2}
