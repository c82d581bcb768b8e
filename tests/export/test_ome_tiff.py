from __future__ import annotations

import numpy as np
import pytest
import tifffile

from cytocascade.export.ome_tiff import OmeTiffExporter


@pytest.mark.parametrize("shape", [(48, 40), (5, 48, 40)])
def test_pairs_come_back_with_their_spacing(tmp_path, make_sample, shape):
    sample = make_sample(3, shape=shape, dtype=np.float32)
    files = OmeTiffExporter().write(tmp_path, sample)
    assert files == [tmp_path / "images/000003.ome.tif", tmp_path / "masks/000003.ome.tif"]
    for file, array in zip(files, (sample.image, sample.labels)):
        with tifffile.TiffFile(file) as tiff:
            assert tiff.is_ome
            np.testing.assert_array_equal(tiff.asarray(), array)
            pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
            axes = "ZYX"[-len(shape) :]
            assert tiff.series[0].axes == axes
            assert tuple(pixels[f"PhysicalSize{axis}"] for axis in axes) == sample.spacing
