"""Exported data sets are what `cytocascade.images` reads: they could be fitted on again."""

from __future__ import annotations

import numpy as np
import pytest

from cytocascade.export.settings import DatasetSettings
from cytocascade.export.writer import DatasetWriter
from cytocascade.images.dataset import read_dataset

READ_AS = {
    "folder": "folder",
    "ome-tiff": "folder",
    "ctc": "ctc",
    "cellpose": "cellpose",
    "stardist": "stardist",
    "ome-zarr": "ome-zarr",
}
CASES = [
    pytest.param(name, shape, id=f"{name}-{len(shape)}d")
    for name in READ_AS
    for shape in ((48, 40), (11, 48, 40))
    if not (name == "cellpose" and len(shape) == 3)
]


def export(root, samples, *formats):
    settings = DatasetSettings(
        bundle_name="nuclei", bundle_hash="ab12", version="0.1.0", count=len(samples), seed=7, formats=formats
    )
    writer = DatasetWriter(root, settings, dim=samples[0].image.ndim)
    for sample in samples:
        writer.add(sample)
    writer.finish()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_data_set_comes_back_with_images_labels_and_spacing(tmp_path, make_sample, name, shape, dtype):
    samples = [make_sample(index, shape=shape, dtype=dtype) for index in range(3)]
    export(tmp_path, samples, name)
    found = read_dataset(tmp_path, dim=len(shape))
    assert found.layout == READ_AS[name]
    assert found.warnings == ()
    assert len(found) == 3
    for image, sample in zip(found, samples):
        assert image.image.dtype == dtype
        np.testing.assert_array_equal(image.image, sample.image)
        np.testing.assert_array_equal(image.labels, sample.labels)
        assert image.spacing == sample.spacing
        assert image.spacing_known
        assert not image.sparse


@pytest.mark.parametrize("name", READ_AS)
def test_an_unknown_spacing_stays_unknown(tmp_path, make_sample, name):
    samples = [make_sample(index) for index in range(3)]
    for sample in samples:
        object.__setattr__(sample, "spacing_known", False)
    export(tmp_path, samples, name)
    assert not any(image.spacing_known for image in read_dataset(tmp_path))


@pytest.mark.parametrize("name", READ_AS)
def test_images_without_cells_and_with_one_cell_come_back(tmp_path, make_sample, name):
    samples = [make_sample(0, cells=6), make_sample(1, cells=0), make_sample(2, cells=1)]
    export(tmp_path, samples, name)
    found = [image.labels for image in read_dataset(tmp_path)]
    assert [int(labels.max()) for labels in found] == [6, 0, 1]


@pytest.mark.parametrize("name", ["folder", "ome-tiff"])
def test_labels_beyond_16_bits_come_back(tmp_path, make_sample, name):
    sample = make_sample(cells=6)
    labels = np.where(sample.labels > 0, sample.labels.astype(np.uint32) + 70_000, 0).astype(np.uint32)
    object.__setattr__(sample, "labels", labels)
    for cell in sample.cells:
        cell["label"] += 70_000
    export(tmp_path, [sample], name)
    (image,) = read_dataset(tmp_path)
    assert image.labels.dtype == np.uint32
    np.testing.assert_array_equal(image.labels, labels)


def test_each_of_several_formats_can_be_read_by_itself(tmp_path, make_sample):
    samples = [make_sample(index) for index in range(2)]
    export(tmp_path, samples, *READ_AS)
    for name, layout in READ_AS.items():
        found = read_dataset(tmp_path / name)
        assert (found.layout, len(found)) == (layout, 2)
