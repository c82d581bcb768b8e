from __future__ import annotations

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.export.cellpose import CellposeExporter
from cytocascade.export.slice_list import SliceList
from cytocascade.images.dataset import read_dataset

VOLUME = (6, 48, 40)


def pairs(folder):
    """Pair files by the rule of cellpose.io: images do not end with the filter, masks are <image> + filter."""
    images = sorted(path for path in folder.glob("*.tif") if not path.stem.endswith("_masks"))
    return [(path, path.with_name(f"{path.stem}_masks.tif")) for path in images]


def test_pairs_are_found_by_the_mask_filter_of_cellpose(tmp_path, make_sample):
    samples = [make_sample(index) for index in range(2)]
    for sample in samples:
        CellposeExporter().write(tmp_path, sample)
    assert [image.name for image, _ in pairs(tmp_path)] == ["000000.tif", "000001.tif"]
    for (image, mask), sample in zip(pairs(tmp_path), samples):
        np.testing.assert_array_equal(tifffile.imread(image), sample.image)
        np.testing.assert_array_equal(tifffile.imread(mask), sample.labels)


def test_held_out_images_lie_apart(tmp_path, make_sample, records_of):
    samples = [make_sample(index) for index in range(4)]
    exporter = CellposeExporter(test_fraction=0.25)
    for sample in samples:
        exporter.write(tmp_path, sample)
    assert [len(pairs(tmp_path / part)) for part in ("train", "test")] == [3, 1]
    assert exporter.sample_files(records_of(*samples))[3] == ["test/000003.tif", "test/000003_masks.tif"]
    assert "--dir train --test_dir test" in exporter.usage("", records_of(*samples))


def test_slices_of_one_volume_stay_on_one_side_of_the_split(tmp_path, make_sample, records_of):
    samples = [make_sample(index, shape=VOLUME) for index in range(4)]
    exporter = CellposeExporter(test_fraction=0.5)
    written = {sample.index: exporter.write(tmp_path, sample) for sample in samples}
    for index, files in written.items():
        assert {file.parent.name for file in files} == {"test" if index % 2 else "train"}
        assert {file.name.split("_")[1] for file in files} == {"yx", "zy", "zx"}
        assert all(file.name.startswith(f"v00000{index}_") for file in files)
    assert all(mask.exists() for part in ("train", "test") for _, mask in pairs(tmp_path / part))


def test_slices_can_be_read_with_their_own_labels_and_pixels(tmp_path, make_sample, records_of):
    sample = make_sample(shape=VOLUME, cells=6)
    object.__setattr__(sample, "spacing", (1.5, 0.5, 0.5))
    CellposeExporter(slice_step=1).write(tmp_path, sample)
    found = read_dataset(tmp_path)
    assert found.layout == "cellpose"
    by_name = {image.name: image for image in found}
    middle = by_name["v000000_yx_003"]
    np.testing.assert_array_equal(middle.image, sample.image[3])
    assert middle.spacing == (0.5, 0.5)
    assert by_name["v000000_zx_006"].image.shape == (18, 40)
    for image in found:
        assert np.unique(image.labels).tolist() == list(range(image.labels.max() + 1))


def test_the_list_tells_volume_plane_and_position_of_every_slice(tmp_path, make_sample, records_of):
    samples = [make_sample(index, shape=VOLUME) for index in range(2)]
    exporter = CellposeExporter(test_fraction=0.5)
    for sample in samples:
        object.__setattr__(sample, "spacing", (1.5, 0.5, 0.5))
        exporter.write(tmp_path, sample)
    (path,) = exporter.finish(tmp_path, records_of(*samples))
    found = SliceList.model_validate_json(path.read_text())
    assert [(volume.index, volume.part, volume.anisotropy) for volume in found.volumes] == [
        (0, "train", 3.0),
        (1, "test", 3.0),
    ]
    listed = [entry.file for volume in found.volumes for entry in volume.slices]
    images = [image for part in ("train", "test") for image, _ in pairs(tmp_path / part)]
    assert sorted(listed) == sorted(image.relative_to(tmp_path).as_posix() for image in images)
    for volume in found.volumes:
        for entry in volume.slices:
            assert entry.file.endswith(f"v00000{volume.index}_{entry.plane}_{entry.position:03d}.tif")


def test_a_larger_step_gives_fewer_slices(tmp_path, make_sample):
    sample = make_sample(shape=VOLUME)
    counts = [len(CellposeExporter(slice_step=step).write(tmp_path / str(step), sample)) for step in (1, 4, 16)]
    assert counts[0] > 2 * counts[1] > 4 * counts[2] > 0
    with pytest.raises(CytoCascadeError, match="slice step is 0"):
        CellposeExporter(slice_step=0)


def test_a_volume_without_cells_has_no_slices(tmp_path, make_sample, records_of):
    sample = make_sample(shape=VOLUME, cells=0)
    assert CellposeExporter().write(tmp_path, sample) == []
    (path,) = CellposeExporter().finish(tmp_path, records_of(sample))
    assert SliceList.model_validate_json(path.read_text()).volumes[0].slices == []


def test_usage_gives_the_anisotropy_of_the_volumes(make_sample, records_of):
    records = records_of(make_sample(shape=VOLUME))
    assert "--do_3D --anisotropy 4.243 " in CellposeExporter().usage("", records)
    records[0]["spacing"] = [2.0, 0.5, 0.5]
    assert "--do_3D --anisotropy 4 " in CellposeExporter().usage("", records)
    assert "--do_3D" not in CellposeExporter().usage("")
