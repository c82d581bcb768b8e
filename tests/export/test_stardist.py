from __future__ import annotations

import numpy as np
import pytest
import tifffile

from cytocascade.export.stardist import StarDistExporter


@pytest.mark.parametrize("shape", [(48, 40), (5, 48, 40)])
def test_pairs_come_back_from_the_training_folders(tmp_path, make_sample, shape):
    sample = make_sample(2, shape=shape)
    StarDistExporter().write(tmp_path, sample)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "train/images/000002.tif"), sample.image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "train/masks/000002.tif"), sample.labels)


def test_test_samples_go_to_the_test_folder(tmp_path, make_sample):
    exporter = StarDistExporter(test_fraction=0.5)
    for index in range(2):
        exporter.write(tmp_path, make_sample(index))
    assert (tmp_path / "train/masks/000000.tif").exists()
    assert (tmp_path / "test/masks/000001.tif").exists()


def test_usage_tells_the_anisotropy_of_volumes_only(make_sample, records_of):
    records = records_of(make_sample(shape=(5, 48, 40)))
    records[0]["spacing"] = [0.6, 0.2, 0.2]
    assert "anisotropy = (3, 1, 1)" in StarDistExporter().usage("", records)
    assert "anisotropy" not in StarDistExporter().usage("", records_of(make_sample()))
