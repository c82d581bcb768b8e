from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError

zarr = pytest.importorskip("zarr", reason="the extra [zarr] is not installed")

from cytocascade.export.ome_zarr import OmeZarrExporter  # noqa: E402

SHAPES = [(150, 70), (5, 150, 70)]


def write(root, sample):
    (path,) = OmeZarrExporter().write(root, sample)
    return path


def levels(group):
    return group.attrs["ome"]["multiscales"][0]["datasets"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_image_and_labels_come_back(tmp_path, make_sample, shape, dtype):
    sample = make_sample(3, shape=shape, dtype=dtype)
    path = write(tmp_path, sample)
    assert path == tmp_path / "000003.ome.zarr"
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][:], sample.image)
    np.testing.assert_array_equal(group["labels/cells/0"][:], sample.labels)
    assert (group["0"].dtype, group["labels/cells/0"].dtype) == (dtype, np.uint16)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_ome_zarr_models_finds_nothing_wrong(tmp_path, make_sample, shape, known):
    models = pytest.importorskip("ome_zarr_models.v05", reason="ome-zarr-models is not installed")
    sample = make_sample(shape=shape)
    object.__setattr__(sample, "spacing_known", known)
    group = zarr.open_group(write(tmp_path, sample), mode="r")
    image = models.Image.from_zarr(group)
    assert image.labels is not None
    assert image.labels.attributes.ome.labels == ["cells"]
    label = models.ImageLabel.from_zarr(group["labels/cells"])
    assert label.attributes.ome.image_label.source.image == "../../"
    for found in (image, label):
        multiscale = found.attributes.ome.multiscales[0]
        assert [axis.name for axis in multiscale.axes] == list("zyx"[-len(shape) :])
        assert {axis.unit for axis in multiscale.axes} == {"micrometer" if known else None}


def test_scale_and_translation_put_every_level_in_the_same_place(tmp_path, make_sample):
    sample = make_sample(shape=(5, 150, 70))
    ramp = np.indices(sample.image.shape)[1]
    object.__setattr__(sample, "image", (ramp * 100).astype(np.uint16))
    group = zarr.open_group(write(tmp_path, sample), mode="r")
    assert len(levels(group)) > 1
    for level in levels(group):
        steps = {step["type"]: step[step["type"]] for step in level["coordinateTransformations"]}
        scale, shift = steps["scale"], steps.get("translation", [0.0] * 3)
        values = group[level["path"]][0, :-1, 0]
        # The image's light says where each row lies in the full image: 100 per row of 0.25 micrometres.
        np.testing.assert_allclose(np.arange(len(values)) * scale[1] + shift[1], values / 100 * 0.25)
    assert levels(group["labels/cells"]) == levels(group)


def test_smaller_labels_are_labels(tmp_path, make_sample):
    sample = make_sample(shape=(150, 140), cells=6)
    cells = zarr.open_group(write(tmp_path, sample), mode="r")["labels/cells"]
    smallest = cells[levels(cells)[-1]["path"]][:]
    assert smallest.max() > 0
    assert set(np.unique(smallest)) <= set(range(7))


def test_arrays_say_their_axes_and_have_chunks_for_viewers(tmp_path, make_sample):
    group = zarr.open_group(write(tmp_path, make_sample(shape=(40, 150, 70))), mode="r")
    assert group["0"].metadata.dimension_names == ("z", "y", "x")
    assert group["0"].chunks == (32, 128, 70)
    assert group.metadata.zarr_format == 3


def test_labels_beyond_16_bits_are_kept(tmp_path, make_sample):
    sample = make_sample(cells=0)
    object.__setattr__(sample, "labels", np.full(sample.labels.shape, 70_000, np.uint32))
    found = zarr.open_group(write(tmp_path, sample), mode="r")["labels/cells/0"]
    assert found.dtype == np.uint32
    assert (found[:] == 70_000).all()


def test_bytes_depend_on_the_sample_alone_and_writing_again_replaces(tmp_path, make_sample, tree_bytes):
    write(tmp_path / "a", make_sample(shape=SHAPES[1]))
    write(tmp_path / "b", make_sample(shape=(40, 300, 200)))
    write(tmp_path / "b", make_sample(shape=SHAPES[1]))
    assert tree_bytes(tmp_path / "a") == tree_bytes(tmp_path / "b")


def test_a_folder_appears_whole_or_not_at_all(tmp_path, make_sample, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("cytocascade.export.ome_zarr.as_labels", fail)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, make_sample())
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("cytocascade.export.ome_zarr.find_spec", lambda name: None)
    with pytest.raises(CytoCascadeError, match=r"cytocascade\[zarr\]"):
        OmeZarrExporter()


@pytest.mark.skipif(importlib.util.find_spec("ome_zarr") is None, reason="the package ome-zarr is not installed")
def test_the_reference_reader_sees_image_and_labels(tmp_path, make_sample):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    sample = make_sample(shape=SHAPES[1])
    nodes = list(Reader(parse_url(str(write(tmp_path, sample))))())
    image, _, labels = nodes  # the second stands for the list of labels
    np.testing.assert_array_equal(image.data[0], sample.image)
    np.testing.assert_array_equal(labels.data[0], sample.labels)
