from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys

import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.export.manifest import read_manifest
from cytocascade.export.settings import DatasetSettings
from cytocascade.export.writer import DatasetWriter

DIE_IN_THE_FIFTH_FILE = """
import os, pickle, signal, sys

writer, sample = pickle.load(sys.stdin.buffer)
replace, calls = os.replace, []

def dying(source, target):
    calls.append(target)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = dying
writer.add(sample)
"""

ALL = ("folder", "ome-tiff", "ctc", "cellpose", "stardist", "coco", "ome-zarr", "nnunet")
VOLUMES = tuple(name for name in ALL if name != "coco")


def settings_for(*formats: str, count: int = 4, **options) -> DatasetSettings:
    return DatasetSettings(
        bundle_name="nuclei",
        bundle_hash="ab12",
        version="0.1.0",
        count=count,
        seed=7,
        formats=formats,
        **options,
    )


@pytest.fixture
def whole(tmp_path, make_sample):
    """A data set in all formats, written without interruption."""
    writer = DatasetWriter(tmp_path / "whole", settings_for(*ALL))
    for index in range(4):
        writer.add(make_sample(index))
    writer.finish(bundle_card="# Nuclei", licence="CC0")
    return tmp_path / "whole"


def test_several_formats_lie_in_folders_of_their_own(whole):
    assert sorted(path.name for path in whole.iterdir()) == sorted(
        [*ALL, "manifest.jsonl", "dataset.json", "README.md"]
    )
    assert (whole / "ctc/01_GT/TRA/man_track.txt").is_file()
    assert (whole / "coco/annotations.json").is_file()


def test_a_single_format_lies_at_the_top(tmp_path, make_sample):
    writer = DatasetWriter(tmp_path, settings_for("folder", count=1))
    writer.add(make_sample(0))
    of_set = writer.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md", "dataset.json", "images", "manifest.jsonl", "masks",
    ]  # fmt: skip
    assert sorted(path.name for path in of_set) == ["README.md", "dataset.json", "manifest.jsonl"]


def test_the_manifest_lists_every_file_of_every_sample(whole, tree_bytes):
    listed = [
        file
        for record in read_manifest(whole / "manifest.jsonl")
        for files in record["files"].values()
        for file in files
    ]
    others = {
        "manifest.jsonl",
        "dataset.json",
        "README.md",
        "coco/annotations.json",
        "ctc/01_GT/TRA/man_track.txt",
        "nnunet/Dataset501_Cells/dataset.json",
    }
    folders = {file for file in listed if file.endswith(".ome.zarr")}
    assert len(folders) == 4
    files = set(tree_bytes(whole)) - others
    assert all(any(file.startswith(f"{folder}/") for file in files) for folder in folders)
    assert sorted(set(listed) - folders) == sorted(file for file in files if not file.startswith("ome-zarr/"))


def test_order_and_interruptions_leave_no_trace(whole, tmp_path, make_sample, tree_bytes):
    root = tmp_path / "cut"
    first = DatasetWriter(root, settings_for(*ALL))
    first.add(make_sample(3))
    first.add(make_sample(1))
    first.write(make_sample(0))  # killed before the manifest knew of it
    (root / "folder/images/.000002.tif.4711.tmp").write_bytes(b"half")
    half = root / "ome-zarr/.000002.ome.zarr.4711.tmp/labels"
    half.mkdir(parents=True)
    (half / ".zarr.json.4711.tmp").write_bytes(b"half")
    with (root / "manifest.jsonl").open("ab") as file:
        file.write(b'{"cells":[{"lab')
    second = DatasetWriter(root, settings_for(*ALL))
    assert second.done() == {1, 3}
    for index in (2, 0):
        second.add(make_sample(index))
    second.finish(bundle_card="# Nuclei", licence="CC0")
    assert tree_bytes(root) == tree_bytes(whole)


def test_a_finished_data_set_may_be_finished_again(whole, tree_bytes):
    before = tree_bytes(whole)
    again = DatasetWriter(whole, settings_for(*ALL))
    assert again.done() == {0, 1, 2, 3}
    again.finish(bundle_card="# Nuclei", licence="CC0")
    assert tree_bytes(whole) == before


def test_a_killed_process_is_continued_to_the_same_bytes(whole, tmp_path, make_sample, tree_bytes):
    root = tmp_path / "killed"
    run = subprocess.run(
        [sys.executable, "-c", DIE_IN_THE_FIFTH_FILE],
        input=pickle.dumps((DatasetWriter(root, settings_for(*ALL)), make_sample(2))),
        capture_output=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert list(root.rglob(".*.tmp"))
    writer = DatasetWriter(root, settings_for(*ALL))
    assert writer.done() == set()
    for index in range(4):
        writer.add(make_sample(index))
    writer.finish(bundle_card="# Nuclei", licence="CC0")
    assert tree_bytes(root) == tree_bytes(whole)


def test_moved_frames_are_entered_into_the_manifest(tmp_path, make_sample, monkeypatch):
    monkeypatch.setattr("cytocascade.export.ctc.MAX_LABEL", 8)
    writer = DatasetWriter(tmp_path, settings_for("ctc"))
    for index in range(4):
        writer.add(make_sample(index))
    writer.finish()
    files = read_manifest(tmp_path / "manifest.jsonl")[3]["files"]["ctc"]
    assert files[0] == "02/t001.tif"
    assert all((tmp_path / file).is_file() for file in files)


def test_workers_write_and_the_main_process_commits(whole, tmp_path, make_sample, tree_bytes):
    writer = DatasetWriter(tmp_path / "parallel", settings_for(*ALL))
    worker = pickle.loads(pickle.dumps(writer))
    for record in [worker.write(make_sample(index)) for index in (3, 1, 0, 2)]:
        writer.commit(record)
    writer.finish(bundle_card="# Nuclei", licence="CC0")
    assert tree_bytes(tmp_path / "parallel") == tree_bytes(whole)


def test_an_interrupted_overwrite_can_be_repeated(whole, monkeypatch):
    def fail(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cytocascade.export.writer.shutil.rmtree", fail)
        with pytest.raises(KeyboardInterrupt):
            DatasetWriter(whole, settings_for("ctc"), overwrite=True)
    assert DatasetWriter(whole, settings_for("ctc"), overwrite=True).done() == set()
    assert [path.name for path in whole.iterdir()] == ["dataset.json"]


def test_finishing_too_early_says_what_is_missing(tmp_path, make_sample):
    writer = DatasetWriter(tmp_path, settings_for("folder"))
    writer.add(make_sample(0))
    with pytest.raises(CytoCascadeError, match="3 of 4 samples are missing, the first is 1"):
        writer.finish()


def test_other_settings_are_refused_unless_overwritten(whole, make_sample):
    with pytest.raises(CytoCascadeError, match="count was 4, now 5"):
        DatasetWriter(whole, settings_for(*ALL, count=5))
    writer = DatasetWriter(whole, settings_for(*ALL, count=5), overwrite=True)
    assert writer.done() == set()
    assert [path.name for path in whole.iterdir()] == ["dataset.json"]
    assert json.loads((whole / "dataset.json").read_text())["count"] == 5


@pytest.mark.parametrize("overwrite", [False, True])
def test_folders_that_are_no_data_set_are_left_alone(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(CytoCascadeError, match="holds files, but no data set"):
        DatasetWriter(tmp_path, settings_for("folder"), overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_place_of_the_folder_is_named_in_the_error(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(CytoCascadeError, match="out: This is a file"):
        DatasetWriter(tmp_path / "out", settings_for("folder"))


def test_unfit_formats_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(CytoCascadeError, match="'coco' holds no 3D"):
        DatasetWriter(tmp_path / "out", settings_for("folder", "coco"), dim=3)
    assert not (tmp_path / "out").exists()


def test_the_test_fraction_reaches_the_format(tmp_path, make_sample):
    writer = DatasetWriter(tmp_path, settings_for("stardist", test_fraction=0.25))
    for index in range(4):
        writer.add(make_sample(index))
    writer.finish()
    assert (tmp_path / "test/images/000003.tif").is_file()


def test_an_empty_data_set_is_a_data_set(tmp_path, tree_bytes):
    writer = DatasetWriter(tmp_path, settings_for(*ALL, count=0))
    writer.finish()
    assert (tmp_path / "manifest.jsonl").read_bytes() == b""
    assert json.loads((tmp_path / "coco/annotations.json").read_text())["images"] == []


@pytest.fixture
def volumes(tmp_path, make_sample):
    """Volumes in all formats that hold them, every second one for testing."""
    writer = DatasetWriter(tmp_path / "volumes", settings_for(*VOLUMES, count=2, test_fraction=0.5), dim=3)
    for index in range(2):
        writer.add(make_sample(index, shape=(6, 48, 40)))
    writer.finish()
    return tmp_path / "volumes"


def test_volumes_are_written_in_every_format_that_holds_them(volumes):
    assert "6 x 48 x 40 (Z x Y x X)" in (volumes / "README.md").read_text()
    assert sorted(path.name for path in volumes.iterdir() if path.is_dir()) == sorted(VOLUMES)


def test_the_manifest_lists_every_slice_of_a_volume(volumes, tree_bytes):
    records = read_manifest(volumes / "manifest.jsonl")
    for record, part in zip(records, ("train", "test")):
        slices = sorted(name for name in tree_bytes(volumes) if name.startswith(f"cellpose/{part}/"))
        assert slices
        assert sorted(record["files"]["cellpose"]) == slices


def test_interrupted_volumes_are_continued_to_the_same_bytes(volumes, tmp_path, make_sample, tree_bytes):
    settings = settings_for(*VOLUMES, count=2, test_fraction=0.5)
    first = DatasetWriter(tmp_path / "cut", settings, dim=3)
    first.add(make_sample(1, shape=(6, 48, 40)))
    first.write(make_sample(0, shape=(6, 48, 40)))  # killed before the manifest knew of it
    second = DatasetWriter(tmp_path / "cut", settings, dim=3)
    second.add(make_sample(0, shape=(6, 48, 40)))
    second.finish()
    second.finish()
    assert tree_bytes(tmp_path / "cut") == tree_bytes(volumes)


def test_the_slice_step_reaches_the_format_and_the_settings(tmp_path, make_sample):
    counts = []
    for step in (2, 20):
        root = tmp_path / str(step)
        writer = DatasetWriter(root, settings_for("cellpose", count=1, slice_step=step), dim=3)
        writer.add(make_sample(0, shape=(6, 48, 40)))
        writer.finish()
        counts.append(len(list((root / "train").iterdir())))
        assert f"--slice-step {step}" in (root / "README.md").read_text()
    assert counts[0] > 3 * counts[1]
    with pytest.raises(CytoCascadeError, match="slice_step was 20, now 3"):
        DatasetWriter(root, settings_for("cellpose", count=1, slice_step=3), dim=3)
