from __future__ import annotations

import numpy as np
import pytest
import tifffile

from cytocascade.export.folder import FolderExporter


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(48, 40), (5, 48, 40)])
def test_arrays_come_back_unchanged(tmp_path, make_sample, shape, dtype):
    sample = make_sample(3, shape=shape, dtype=dtype)
    image, mask = FolderExporter().write(tmp_path, sample)
    assert (image, mask) == (tmp_path / "images/000003.tif", tmp_path / "masks/000003.tif")
    np.testing.assert_array_equal(tifffile.imread(image), sample.image)
    np.testing.assert_array_equal(tifffile.imread(mask), sample.labels)
    assert tifffile.imread(image).dtype == dtype
    assert tifffile.imread(mask).dtype == np.uint16


def test_more_labels_than_16_bits_hold_are_not_wrapped(tmp_path, make_sample):
    labels = np.arange(300 * 300, dtype=np.uint32).reshape(300, 300)
    sample = make_sample(shape=(300, 300), cells=0)
    object.__setattr__(sample, "labels", labels)
    _, mask = FolderExporter().write(tmp_path, sample)
    assert tifffile.imread(mask).dtype == np.uint32
    np.testing.assert_array_equal(tifffile.imread(mask), labels)


def test_label_maps_of_wide_integers_are_stored_narrow(tmp_path, make_sample):
    sample = make_sample()
    object.__setattr__(sample, "labels", sample.labels.astype(np.int64))
    _, mask = FolderExporter().write(tmp_path, sample)
    assert tifffile.imread(mask).dtype == np.uint16
