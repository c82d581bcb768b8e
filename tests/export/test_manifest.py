from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.export.manifest import (
    append_record,
    array_hash,
    load_record,
    parse_reference,
    read_manifest,
    record_of,
    repair_manifest,
    write_sorted,
)


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.jsonl"
    for index in (2, 0, 1):
        append_record(path, {"index": index, "files": {"ctc": [f"old{index}.tif"]}})
    return path


def test_a_record_tells_everything_about_a_sample(make_sample):
    sample = make_sample(3)
    record = record_of(sample, "nuclei", "ab12", "0.1.0", {"folder": ["images/000003.tif"]})
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record == {
        "index": 3,
        "seed": 7,
        "version": "0.1.0",
        "bundle": {"name": "nuclei", "hash": "ab12"},
        "files": {"folder": ["images/000003.tif"]},
        "shape": [48, 40],
        "dtype": "uint16",
        "spacing": [0.25, 0.5],
        "spacing_known": True,
        "params": {"haze": 0.5, "angles": [0, 1]},
        "cells": sample.cells,
        "sha256": {
            "image": hashlib.sha256(sample.image.tobytes()).hexdigest(),
            "labels": hashlib.sha256(sample.labels.tobytes()).hexdigest(),
        },
    }


def test_hashes_ignore_memory_layout_and_byte_order():
    array = np.arange(12, dtype="<u2").reshape(3, 4)
    assert array_hash(array) == array_hash(np.asfortranarray(array)) == array_hash(array.astype(">u2"))
    assert array_hash(array) != array_hash(array.T)


def test_what_cannot_be_measured_is_null(make_sample):
    sample = make_sample()
    sample.cells[0]["features"]["nearest_neighbour_distance"] = np.float64("nan")
    record = record_of(sample, "nuclei", "ab12", "0.1.0", {})
    assert record["cells"][0]["features"]["nearest_neighbour_distance"] is None


@pytest.mark.parametrize("value", [np.inf, object(), b"bytes"])
def test_values_without_a_place_in_json_are_refused_by_name(make_sample, value):
    sample = make_sample()
    sample.params["gain"] = value
    with pytest.raises(CytoCascadeError, match="params, gain"):
        record_of(sample, "nuclei", "ab12", "0.1.0", {})


@pytest.mark.parametrize("cells", [[], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 3]])
def test_cells_that_disagree_with_the_label_map_are_refused(make_sample, cells):
    sample = make_sample()
    sample.cells[:] = [{"label": label} for label in cells]
    with pytest.raises(CytoCascadeError, match="label map has other labels"):
        record_of(sample, "nuclei", "ab12", "0.1.0", {})


def test_records_come_back_in_the_order_of_the_file(manifest):
    assert [record["index"] for record in read_manifest(manifest)] == [2, 0, 1]


def test_a_missing_manifest_has_no_records(tmp_path):
    assert read_manifest(tmp_path / "manifest.jsonl") == []
    assert repair_manifest(tmp_path / "manifest.jsonl") == 0


@pytest.mark.parametrize("kept", [1, 5, 20])
def test_a_half_written_last_line_is_left_out_and_cut_off(manifest, kept):
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + whole[:kept])
    assert len(read_manifest(manifest)) == 3
    assert repair_manifest(manifest) == kept
    assert manifest.read_bytes() == whole
    assert repair_manifest(manifest) == 0


def test_a_half_written_only_line_is_cut_off(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b'{"index":0,"cells":[' + b"1," * 100_000)
    assert read_manifest(path) == []
    repair_manifest(path)
    assert path.read_bytes() == b""


def test_appending_after_a_half_written_line_loses_no_record(manifest):
    with manifest.open("ab") as file:
        file.write(b'{"index":3,"fi')
    append_record(manifest, {"index": 3})
    assert [record["index"] for record in read_manifest(manifest)] == [2, 0, 1, 3]


@pytest.mark.parametrize("line", [b"{broken\n", b"[1]\n", b'{"seed":1}\n', b"\n", b'{"index":"1"}\n'])
def test_a_damaged_line_in_the_middle_is_named_in_the_error(manifest, line):
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(lines[0] + line + lines[1])
    with pytest.raises(CytoCascadeError, match=r"manifest\.jsonl: Line 2"):
        read_manifest(manifest)


def test_nan_never_reaches_the_file(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_record(tmp_path / "manifest.jsonl", {"index": 0, "value": float("nan")})
    assert not (tmp_path / "manifest.jsonl").exists()


def test_sorting_leaves_no_trace_of_order_and_repetition(manifest, tmp_path):
    append_record(manifest, read_manifest(manifest)[0])
    write_sorted(manifest)
    other = tmp_path / "other.jsonl"
    for index in range(3):
        append_record(other, {"files": {"ctc": [f"old{index}.tif"]}, "index": index})
    assert manifest.read_bytes() == other.read_bytes()


def test_sorting_can_enter_where_files_have_moved(manifest):
    write_sorted(manifest, files={1: {"ctc": ["new.tif"]}})
    assert [record["files"]["ctc"] for record in read_manifest(manifest)] == [
        ["old0.tif"],
        ["new.tif"],
        ["old2.tif"],
    ]


def test_two_records_for_one_sample_are_an_error(manifest):
    append_record(manifest, {"index": 1, "seed": 2})
    with pytest.raises(CytoCascadeError, match="claim sample 1"):
        write_sorted(manifest)


def test_a_reference_names_manifest_and_sample(tmp_path):
    assert parse_reference("some/manifest.jsonl#12") == (type(tmp_path)("some/manifest.jsonl"), 12)
    (tmp_path / "run#2").mkdir()
    assert parse_reference(f"{tmp_path / 'run#2'}#0") == (tmp_path / "run#2" / "manifest.jsonl", 0)


@pytest.mark.parametrize("reference", ["manifest.jsonl", "#3", "manifest.jsonl#", "manifest.jsonl#-1", "m#1.5", "m#²"])
def test_a_reference_without_manifest_or_index_is_refused(reference):
    with pytest.raises(CytoCascadeError, match="MANIFEST#INDEX"):
        parse_reference(reference)


def test_a_referenced_record_is_loaded(manifest):
    assert load_record(f"{manifest}#1")["files"] == {"ctc": ["old1.tif"]}
    assert load_record(f"{manifest.parent}#0")["index"] == 0


def test_references_to_nothing_say_what_there_is(manifest, tmp_path):
    with pytest.raises(CytoCascadeError, match=r"no sample 9; its samples are 0 to 2"):
        load_record(f"{manifest}#9")
    with pytest.raises(CytoCascadeError, match=r"absent\.jsonl: There is no such manifest"):
        load_record(f"{tmp_path / 'absent.jsonl'}#0")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(CytoCascadeError, match="no samples yet"):
        load_record(f"{tmp_path / 'empty.jsonl'}#0")
