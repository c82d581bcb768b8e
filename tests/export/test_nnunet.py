"""Read back by the rules of nnU-Net's own readers (nnunetv2/imageio/tif_reader_writer.py)."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import tifffile

from cytocascade.export.border_core import to_classes
from cytocascade.export.nnunet import NnUNetExporter

SHAPES = [(48, 40), (6, 48, 40)]


def export(root, samples, records, **options):
    exporter = NnUNetExporter(**options)
    for sample in samples:
        exporter.write(root, sample)
    (path,) = exporter.finish(root, records)
    return path.parent, json.loads(path.read_text())


def cases(folder, ending):
    """Return identifiers as nnU-Net does: file names without channel and ending."""
    return sorted(path.name[: -len("_0000" + ending)] for path in folder.glob(f"*{ending}"))


@pytest.mark.parametrize("shape", SHAPES)
def test_cases_come_back_with_classes_and_instances(tmp_path, make_sample, records_of, shape):
    samples = [make_sample(index, shape=shape) for index in range(2)]
    root, description = export(tmp_path, samples, records_of(*samples))
    names = cases(root / "imagesTr", description["file_ending"])
    assert names == ["case_000000", "case_000001"]
    assert description["numTraining"] == 2
    for name, sample in zip(names, samples):
        image, classes, cells = (
            tifffile.imread(root / file)
            for file in (f"imagesTr/{name}_0000.tif", f"labelsTr/{name}.tif", f"instances/{name}.tif")
        )
        np.testing.assert_array_equal(image, sample.image)
        np.testing.assert_array_equal(cells, sample.labels)
        np.testing.assert_array_equal(classes, to_classes(sample.labels, sample.spacing))
        assert classes.dtype == np.uint8
        assert set(np.unique(classes)) == set(description["labels"].values()) == {0, 1, 2}


def test_the_spacing_lies_beside_volumes_under_the_case_name(tmp_path, make_sample, records_of):
    sample = make_sample(shape=SHAPES[1])
    root, description = export(tmp_path, [sample], records_of(sample))
    assert description["overwrite_image_reader_writer"] == "Tiff3DIO"
    image, classes = root / "imagesTr/case_000000_0000.tif", root / "labelsTr/case_000000.tif"
    # Tiff3DIO cuts the channel and the ending off the image, and the ending off the labels.
    for path in (str(image)[: -len("_0000.tif")] + ".json", str(classes)[: -len(".tif")] + ".json"):
        with open(path) as file:
            assert json.load(file) == {"spacing": [1.5, 0.25, 0.5]}


def test_images_need_no_spacing(tmp_path, make_sample, records_of):
    root, description = export(tmp_path, [make_sample()], records_of(make_sample()))
    assert description["overwrite_image_reader_writer"] == "NaturalImage2DIO"
    assert not list(root.rglob("case*.json"))


def test_held_out_cases_are_not_trained_on(tmp_path, make_sample, records_of):
    samples = [make_sample(index) for index in range(4)]
    root, description = export(tmp_path, samples, records_of(*samples), test_fraction=0.25)
    assert description["numTraining"] == len(cases(root / "imagesTr", ".tif")) == 3
    assert [path.name for path in (root / "imagesTs").iterdir()] == ["case_000003_0000.tif"]
    assert [path.name for path in (root / "labelsTs").iterdir()] == ["case_000003.tif"]


def test_the_code_in_the_usage_gives_the_cells_back(make_sample, records_of):
    sample = make_sample(shape=SHAPES[1])
    (code,) = re.findall(r"```python\n(.*?)```", NnUNetExporter().usage("", records_of(sample)), flags=re.DOTALL)
    names = {"classes": to_classes(sample.labels, sample.spacing), "spacing": sample.spacing}
    exec(code, names)
    assert names["count"] == len(sample.cells)
    for cell in sample.cells:
        mask = sample.labels == cell["label"]
        other = names["cells"] == np.bincount(names["cells"][mask]).argmax()
        assert (mask & other).sum() / (mask | other).sum() > 0.9


def test_usage_names_the_configuration_that_fits(make_sample, records_of):
    assert "3d_fullres 0" in NnUNetExporter().usage("", records_of(make_sample(shape=SHAPES[1])))
    assert "nnUNetv2_train 501 2d 0" in NnUNetExporter().usage("", records_of(make_sample()))
