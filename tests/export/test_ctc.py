from __future__ import annotations

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.export.ctc import CtcExporter, Place, plan_sequences


def record(index: int, labels: int) -> dict:
    return {"index": index, "cells": [{"label": labels}] if labels else []}


def write(root, samples, records) -> None:
    for sample in samples:
        CtcExporter().write(root, sample)
    CtcExporter().finish(root, records)


@pytest.mark.parametrize("shape", [(48, 40), (5, 48, 40)])
def test_images_and_masks_come_back(tmp_path, make_sample, records_of, shape):
    samples = [make_sample(index, shape=shape) for index in range(3)]
    write(tmp_path, samples, records_of(*samples))
    for number, sample in enumerate(samples):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / f"01/t00{number}.tif"), sample.image)
        mask = tifffile.imread(tmp_path / f"01_GT/SEG/man_seg00{number}.tif")
        np.testing.assert_array_equal(mask, sample.labels)
        assert mask.dtype == np.uint16


def test_every_cell_is_a_track_of_one_frame(tmp_path, make_sample, records_of):
    samples = [make_sample(0, cells=3), make_sample(1, cells=0), make_sample(2, cells=2)]
    write(tmp_path, samples, records_of(*samples))
    tracks = np.loadtxt(tmp_path / "01_GT/TRA/man_track.txt", dtype=int)
    assert tracks.tolist() == [[1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], [4, 2, 2, 0], [5, 2, 2, 0]]
    for frame, sample in enumerate(samples):
        mask = tifffile.imread(tmp_path / f"01_GT/TRA/man_track00{frame}.tif")
        assert mask.dtype == np.uint16
        assert np.unique(mask[mask > 0]).tolist() == tracks[tracks[:, 1] == frame, 0].tolist()
        np.testing.assert_array_equal(mask > 0, sample.labels > 0)


def test_a_new_sequence_begins_when_16_bits_are_full():
    places = plan_sequences([record(0, 40_000), record(1, 25_535), record(2, 1), record(3, 65_534), record(4, 1)])
    assert list(places.values()) == [
        Place(1, 0, 0),
        Place(1, 1, 40_000),
        Place(2, 0, 0),
        Place(2, 1, 1),
        Place(3, 0, 0),
    ]


def test_a_new_sequence_begins_after_ten_thousand_frames():
    places = plan_sequences([record(index, 0) for index in range(10_001)])
    assert places[9_999] == Place(1, 9_999, 0)
    assert places[10_000] == Place(2, 0, 0)


def test_frame_numbers_get_four_digits_above_a_thousand_frames():
    exporter = CtcExporter()
    assert exporter.sample_files([record(index, 0) for index in range(1000)])[999][0] == "01/t999.tif"
    files = exporter.sample_files([record(index, 0) for index in range(1001)])
    assert (files[0][1], files[1000][2]) == ("01_GT/SEG/man_seg0000.tif", "01_GT/TRA/man_track1000.tif")


def test_frames_move_when_digits_or_sequences_change(tmp_path, make_sample, records_of, monkeypatch, tree_bytes):
    monkeypatch.setattr("cytocascade.export.ctc.MAX_LABEL", 8)
    samples = [make_sample(index) for index in range(5)]
    write(tmp_path, samples, records_of(*samples))
    names = tree_bytes(tmp_path)
    assert [name for name in names if "_GT" not in name] == [
        "01/t000.tif", "01/t001.tif", "02/t000.tif", "02/t001.tif", "03/t000.tif",
    ]  # fmt: skip
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "02/t001.tif"), samples[3].image)
    assert (tmp_path / "02_GT/TRA/man_track.txt").read_text().splitlines()[-1] == "8 1 1 0"
    CtcExporter().finish(tmp_path, records_of(*samples))
    assert tree_bytes(tmp_path) == names


def test_an_interrupted_finish_is_completed(tmp_path, make_sample, records_of, monkeypatch, tree_bytes):
    monkeypatch.setattr("cytocascade.export.ctc.MAX_LABEL", 8)
    samples = [make_sample(index) for index in range(4)]
    write(tmp_path / "whole", samples, records_of(*samples))
    with monkeypatch.context() as patch:
        calls = []

        def fail_late(*arguments):
            calls.append(arguments)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return []

        patch.setattr("cytocascade.export.ctc._write_tracks", fail_late)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "cut", samples, records_of(*samples))
    CtcExporter().finish(tmp_path / "cut", records_of(*samples))
    assert tree_bytes(tmp_path / "cut") == tree_bytes(tmp_path / "whole")


def test_an_image_with_more_labels_than_16_bits_is_refused(tmp_path, make_sample):
    sample = make_sample()
    labels = sample.labels.astype(np.uint32)
    labels[0, 0] = 65_536
    object.__setattr__(sample, "labels", labels)
    with pytest.raises(CytoCascadeError, match=r"up to 65536(.|\n)*'folder'"):
        CtcExporter().write(tmp_path, sample)


def test_a_lost_mask_is_named_in_the_error(tmp_path, make_sample, records_of):
    sample = make_sample()
    CtcExporter().write(tmp_path, sample)
    (tmp_path / "01_GT/SEG/man_seg000.tif").unlink()
    with pytest.raises(CytoCascadeError, match=r"man_seg000\.tif"):
        CtcExporter().finish(tmp_path, records_of(sample))
