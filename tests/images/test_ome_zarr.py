from __future__ import annotations

import shutil

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.images.dataset import read_dataset
from cytocascade.images.readers import read_image, read_mask

zarr = pytest.importorskip("zarr", reason="the extra [zarr] is not installed")


def write(path, pixels, axes, scale, *, unit="micrometer", zarr_format=3, whole=None):
    """Write a multiscale image of one level, as version 0.5 or 0.4."""
    multiscale = {
        "axes": [{"name": axis, "type": "space", "unit": unit} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }
    if whole is not None:
        multiscale["coordinateTransformations"] = [{"type": "scale", "scale": whole}]
    attributes = {"multiscales": [multiscale]}
    attributes = {"ome": {"version": "0.5", **attributes}} if zarr_format == 3 else attributes
    group = zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype)[...] = pixels


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 4000, (3, 8, 9)).astype(np.uint16)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_versions_four_and_five_are_read(tmp_path, pixels, zarr_format):
    write(tmp_path / "a.zarr", pixels, "zyx", [2.0, 0.5, 0.25], zarr_format=zarr_format)
    image, spacing = read_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image, pixels)
    assert spacing == (2.0, 0.5, 0.25)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.zarr"), pixels)


def test_units_and_the_scale_of_the_whole_pyramid_count(tmp_path, pixels):
    write(tmp_path / "a.zarr", pixels, "zyx", [1.0, 2.0, 2.0], unit="nanometer", whole=[500.0, 100.0, 100.0])
    assert read_image(tmp_path / "a.zarr")[1] == pytest.approx((0.5, 0.2, 0.2))
    write(tmp_path / "b.zarr", pixels, "zyx", [1.0, 2.0, 2.0], unit=None)
    assert read_image(tmp_path / "b.zarr")[1] is None


def test_axes_of_length_one_are_dropped_and_channels_refused(tmp_path, pixels):
    write(tmp_path / "a.zarr", pixels[None, None], "tczyx", [1.0, 1.0, 2.0, 0.5, 0.25])
    image, spacing = read_image(tmp_path / "a.zarr")
    assert (image.shape, spacing) == ((3, 8, 9), (2.0, 0.5, 0.25))
    write(tmp_path / "b.zarr", pixels, "cyx", [1.0, 0.5, 0.5])
    with pytest.raises(CytoCascadeError, match="3 channels"):
        read_image(tmp_path / "b.zarr")


def test_damaged_and_foreign_groups_are_named_in_the_error(tmp_path, pixels):
    zarr.create_group(tmp_path / "a.zarr", zarr_format=3)
    with pytest.raises(CytoCascadeError, match=r"a\.zarr: cannot be read as OME-Zarr"):
        read_image(tmp_path / "a.zarr")
    write(tmp_path / "b.zarr", pixels, "zyx", [1.0, 1.0, 1.0])
    shutil.rmtree(tmp_path / "b.zarr/0")
    with pytest.raises(CytoCascadeError, match=r"b\.zarr: cannot be read as OME-Zarr"):
        read_image(tmp_path / "b.zarr")


def test_without_the_package_the_extra_is_named(tmp_path, pixels, monkeypatch):
    write(tmp_path / "a.zarr", pixels, "zyx", [1.0, 1.0, 1.0])
    monkeypatch.setattr("cytocascade.images.ome_zarr.find_spec", lambda name: None)
    with pytest.raises(CytoCascadeError, match=r"cytocascade\[zarr\]"):
        read_image(tmp_path / "a.zarr")


def annotated(path, names=("cells",)):
    labels = np.zeros((40, 50), np.uint16)
    for cell in range(6):
        row, column = divmod(cell, 3)
        labels[4 + 18 * row : 14 + 18 * row, 4 + 15 * column : 14 + 15 * column] = cell + 1
    write(path, labels * 100, "yx", [0.5, 0.5])
    zarr.open_group(path).create_group("labels")
    for name in names:
        write(path / "labels" / name, labels, "yx", [0.5, 0.5])
    return labels


def test_images_with_their_labels_inside_are_a_data_set(tmp_path):
    labels = annotated(tmp_path / "b.ome.zarr")
    annotated(tmp_path / "a.zarr")
    found = read_dataset(tmp_path)
    assert (found.layout, [image.name for image in found]) == ("ome-zarr", ["a", "b"])
    for image in (*found, *read_dataset(tmp_path / "b.ome.zarr")):
        np.testing.assert_array_equal(image.labels, labels)
        np.testing.assert_array_equal(image.image, labels * 100)
        assert image.spacing_known


def test_several_label_images_must_be_chosen_from(tmp_path):
    labels = annotated(tmp_path / "a.zarr", names=("cells", "nuclei"))
    with pytest.raises(CytoCascadeError, match=r"it has 2 \(cells, nuclei\)"):
        read_dataset(tmp_path)
    (image,) = read_dataset(tmp_path / "a.zarr", tmp_path / "a.zarr/labels/nuclei")
    np.testing.assert_array_equal(image.labels, labels)
    annotated(tmp_path / "b/c.zarr", names=())
    with pytest.raises(CytoCascadeError, match="it has 0"):
        read_dataset(tmp_path / "b")
