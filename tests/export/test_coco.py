from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.draw import polygon2mask
from skimage.io import imread

from cytocascade.errors import CytoCascadeError
from cytocascade.export.coco import CocoExporter


def with_difficult_cells(sample):
    """Replace label 1 by a ring and label 2 by two parts."""
    labels = sample.labels.copy()
    labels[labels <= 2] = 0
    labels[20:29, 2:11] = 1
    labels[23:26, 5:8] = 0
    labels[33:36, 2:6] = labels[40:42, 2:6] = 2
    object.__setattr__(sample, "labels", labels)
    return sample


def write(root, samples, records):
    for sample in samples:
        CocoExporter().write(root, sample)
    CocoExporter().finish(root, records)
    return json.loads((root / "annotations.json").read_text())


def decode(segmentation, shape):
    if isinstance(segmentation, dict):
        values = np.repeat(np.arange(len(segmentation["counts"])) % 2, segmentation["counts"]).astype(bool)
        return values.reshape(segmentation["size"], order="F")
    (polygon,) = segmentation
    return polygon2mask(shape, np.reshape(polygon, (-1, 2))[:, ::-1] - 0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_and_masks_come_back_exactly(tmp_path, make_sample, records_of, dtype):
    samples = [with_difficult_cells(make_sample(index, dtype=dtype)) for index in range(2)]
    found = write(tmp_path, samples, records_of(*samples))
    for sample, entry in zip(samples, found["images"]):
        image = imread(tmp_path / "images" / entry["file_name"])
        assert image.dtype == dtype
        np.testing.assert_array_equal(image, sample.image)
        labels = np.zeros((entry["height"], entry["width"]), np.uint16)
        for annotation in found["annotations"]:
            if annotation["image_id"] == entry["id"]:
                labels[decode(annotation["segmentation"], labels.shape)] = annotation["label"]
        np.testing.assert_array_equal(labels, sample.labels)


def test_boxes_areas_and_ids_follow_the_standard(tmp_path, make_sample, records_of):
    samples = [with_difficult_cells(make_sample(index)) for index in range(2)]
    found = write(tmp_path, samples, records_of(*samples))
    assert found["categories"] == [{"id": 1, "name": "cell", "supercategory": "cell"}]
    assert [annotation["id"] for annotation in found["annotations"]] == list(range(1, 9))
    ring, parts, disc, cut = found["annotations"][:4]
    assert (ring["bbox"], ring["area"], ring["iscrowd"]) == ([2, 20, 9, 9], 72, 0)
    assert isinstance(ring["segmentation"], dict)
    assert isinstance(parts["segmentation"], dict)
    assert isinstance(disc["segmentation"], list)
    assert cut["bbox"][0] + cut["bbox"][2] == 40
    assert cut["bbox"][1] + cut["bbox"][3] == 48


def test_pycocotools_decodes_the_same_pixels(tmp_path, make_sample, records_of):
    coco_module = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    sample = with_difficult_cells(make_sample())
    write(tmp_path, [sample], records_of(sample))
    coco = coco_module.COCO(tmp_path / "annotations.json")
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=1))
    assert len(annotations) == 4
    for annotation in annotations:
        np.testing.assert_array_equal(coco.annToMask(annotation) > 0, sample.labels == annotation["label"])


def test_float_images_are_refused_with_advice(tmp_path, make_sample):
    with pytest.raises(CytoCascadeError, match=r"float32(.|\n)*'folder'"):
        CocoExporter().write(tmp_path, make_sample(dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_annotations_of_an_unfinished_data_set_wait_in_a_hidden_folder(tmp_path, make_sample, records_of):
    CocoExporter().write(tmp_path, make_sample())
    assert not (tmp_path / "annotations.json").exists()
    CocoExporter().finish(tmp_path, records_of(make_sample()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.json", "images"]


def test_a_finish_interrupted_while_tidying_up_is_completed(tmp_path, make_sample, records_of, monkeypatch):
    samples = [make_sample(index) for index in range(3)]
    expected = write(tmp_path / "whole", samples, records_of(*samples))

    def fail(path, ignore_errors=False):
        if path.exists():
            (path / "000001.json").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cytocascade.export.coco.shutil.rmtree", fail)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "cut", samples, records_of(*samples))
    CocoExporter().finish(tmp_path / "cut", records_of(*samples))
    assert json.loads((tmp_path / "cut/annotations.json").read_text()) == expected
    CocoExporter().write(tmp_path / "cut", samples[0])
    CocoExporter().finish(tmp_path / "cut", records_of(*samples))
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == ["annotations.json", "images"]


def test_lost_annotations_are_named_in_the_error(tmp_path, make_sample, records_of):
    samples = [make_sample(index) for index in range(3)]
    for sample in samples[:2]:
        CocoExporter().write(tmp_path, sample)
    with pytest.raises(CytoCascadeError, match="first is sample 2"):
        CocoExporter().finish(tmp_path, records_of(*samples))


def test_large_label_numbers_are_kept(tmp_path, make_sample, records_of):
    sample = make_sample(cells=0)
    labels = sample.labels.astype(np.uint32)
    labels[2:4, 2:4] = 70_000
    object.__setattr__(sample, "labels", labels)
    sample.cells.append({"label": 70_000})
    (annotation,) = write(tmp_path, [sample], records_of(sample))["annotations"]
    assert annotation["label"] == 70_000
