from __future__ import annotations

import numpy as np
import tifffile

from cytocascade.export.cellpose import CellposeExporter


def test_pairs_are_found_by_the_mask_filter_of_cellpose(tmp_path, make_sample):
    samples = [make_sample(index) for index in range(2)]
    for sample in samples:
        CellposeExporter().write(tmp_path, sample)
    # The rule of cellpose.io: images do not end with the filter, their masks are <image> + filter + .tif.
    images = sorted(path for path in tmp_path.glob("*.tif") if not path.stem.endswith("_masks"))
    assert [path.name for path in images] == ["000000.tif", "000001.tif"]
    for path, sample in zip(images, samples):
        np.testing.assert_array_equal(tifffile.imread(path), sample.image)
        np.testing.assert_array_equal(tifffile.imread(path.with_name(f"{path.stem}_masks.tif")), sample.labels)
