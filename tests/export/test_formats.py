"""What holds for every export format."""

from __future__ import annotations

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.export.registry import FORMATS, format_root, get_exporters

IMAGE, VOLUME = (48, 40), (6, 48, 40)
CASES = [
    pytest.param(name, shape, id=f"{name}-{len(shape)}d")
    for name in FORMATS
    for shape in (IMAGE, VOLUME)
    if not (name == "coco" and shape == VOLUME)
]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_writing_and_finishing_twice_gives_the_same_bytes(name, shape, tmp_path, make_sample, records_of, tree_bytes):
    samples = [make_sample(index, shape=shape) for index in range(3)]
    (exporter,) = get_exporters(name)
    for sample in samples:
        exporter.write(tmp_path / "once", sample)
    exporter.finish(tmp_path / "once", records_of(*samples))
    for sample in reversed(samples):
        exporter.write(tmp_path / "again", sample)
    exporter.write(tmp_path / "again", samples[1])
    exporter.finish(tmp_path / "again", records_of(*reversed(samples)))
    exporter.write(tmp_path / "again", samples[2])
    exporter.finish(tmp_path / "again", records_of(*samples))
    once, again = tree_bytes(tmp_path / "once"), tree_bytes(tmp_path / "again")
    assert once == again
    assert not any(part.startswith(".") for name in once for part in name.split("/"))


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_sample_files_are_the_files_that_exist_after_finish(name, shape, tmp_path, make_sample, records_of, tree_bytes):
    samples = [make_sample(index, shape=shape) for index in range(2)]
    (exporter,) = get_exporters(name)
    written = {sample.index: exporter.write(tmp_path, sample) for sample in samples}
    assert all(path.exists() for paths in written.values() for path in paths)
    of_set = [path.relative_to(tmp_path).as_posix() for path in exporter.finish(tmp_path, records_of(*samples))]
    of_samples = {
        index: [path.relative_to(tmp_path).as_posix() for path in paths] for index, paths in written.items()
    } | exporter.sample_files(records_of(*samples))
    assert sorted(of_samples) == [0, 1]
    listed = [*of_set, *of_samples[0], *of_samples[1]]
    assert len(set(listed)) == len(listed)
    units = {file for file in listed if (tmp_path / file).is_dir()}  # a folder stands for all that it holds
    found = {next((unit for unit in units if name.startswith(f"{unit}/")), name) for name in tree_bytes(tmp_path)}
    assert found == set(listed)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_an_image_without_cells_and_one_with_a_single_cell_are_written(name, shape, tmp_path, make_sample, records_of):
    samples = [make_sample(0, cells=0, shape=shape), make_sample(1, cells=1, shape=shape)]
    (exporter,) = get_exporters(name)
    for sample in samples:
        exporter.write(tmp_path, sample)
    exporter.finish(tmp_path, records_of(*samples))
    assert all(
        (tmp_path / file).exists() for files in exporter.sample_files(records_of(*samples)).values() for file in files
    )


def test_formats_of_planes_refuse_volumes(tmp_path, make_sample):
    with pytest.raises(CytoCascadeError, match="holds no 3D arrays"):
        get_exporters("coco")[0].write(tmp_path, make_sample(shape=VOLUME))
    able = "folder, ome-tiff, ctc, cellpose, stardist, ome-zarr, nnunet"
    with pytest.raises(CytoCascadeError, match=f"Formats for 3D are {able}"):
        get_exporters("folder,coco", dim=3)
    assert len(get_exporters(able, dim=3)) == 7


@pytest.mark.parametrize("name", FORMATS)
def test_image_and_labels_of_different_shape_are_refused(name, tmp_path, make_sample):
    sample = make_sample()
    object.__setattr__(sample, "labels", sample.labels[:-1])
    with pytest.raises(CytoCascadeError, match="labels are"):
        get_exporters(name)[0].write(tmp_path, sample)


def test_unknown_formats_are_named_with_the_known_ones():
    with pytest.raises(CytoCascadeError, match=r"'zarr'(.|\n)*folder, ome-tiff, ctc"):
        get_exporters("ctc,zarr")
    with pytest.raises(CytoCascadeError, match="No export format"):
        get_exporters(" , ")


def test_names_are_taken_once_in_any_case():
    assert [exporter.name for exporter in get_exporters("CTC, cellpose,ctc")] == ["ctc", "cellpose"]


def test_only_several_formats_get_folders_of_their_own(tmp_path):
    one, two = get_exporters("ctc"), get_exporters("ctc,coco")
    assert format_root(tmp_path, one[0], one) == tmp_path
    assert format_root(tmp_path, two[1], two) == tmp_path / "coco"


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_usage_names_paths_that_exist(name, shape, tmp_path, make_sample, records_of):
    (exporter,) = get_exporters(name)
    sample = make_sample(shape=shape)
    exporter.write(tmp_path, sample)
    exporter.finish(tmp_path, records_of(sample))
    first = exporter.usage("", records_of(sample)).split("`")[1]
    assert list(tmp_path.glob(first)), first
    assert exporter.usage("sub/", records_of(sample)).split("`")[1] == f"sub/{first}"


def test_negative_labels_are_refused(tmp_path, make_sample):
    sample = make_sample()
    object.__setattr__(sample, "labels", sample.labels.astype(np.int32) - 1)
    with pytest.raises(CytoCascadeError, match="reach from -1"):
        get_exporters("folder")[0].write(tmp_path, sample)
