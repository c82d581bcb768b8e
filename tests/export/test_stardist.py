from __future__ import annotations

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.export.stardist import StarDistExporter


@pytest.mark.parametrize("shape", [(48, 40), (5, 48, 40)])
def test_pairs_come_back_from_the_training_folders(tmp_path, make_sample, shape):
    sample = make_sample(2, shape=shape)
    StarDistExporter().write(tmp_path, sample)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "train/images/000002.tif"), sample.image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "train/masks/000002.tif"), sample.labels)


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 0), (0.1, 10), (0.25, 25), (0.3, 30), (0.7, 70)])
def test_the_test_fraction_is_met_exactly_and_by_index_alone(fraction, expected):
    exporter = StarDistExporter(test_fraction=fraction)
    chosen = [exporter.is_test(index) for index in range(100)]
    assert sum(chosen) == expected
    assert chosen[::-1] == [exporter.is_test(index) for index in reversed(range(100))]


def test_test_samples_go_to_the_test_folder(tmp_path, make_sample):
    exporter = StarDistExporter(test_fraction=0.5)
    for index in range(2):
        exporter.write(tmp_path, make_sample(index))
    assert (tmp_path / "train/masks/000000.tif").exists()
    assert (tmp_path / "test/masks/000001.tif").exists()


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(CytoCascadeError, match="test fraction"):
        StarDistExporter(test_fraction=fraction)
