from __future__ import annotations

import json
from pathlib import Path

import pytest

from cytocascade.storage import directory_written_whole, hash_files, write_atomically, write_json, write_text


def fail(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError


def test_file_appears_whole_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "file.txt", "größer\n")
    assert (tmp_path / "a" / "b" / "file.txt").read_bytes() == "größer\n".encode()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file.txt"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "old")
    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "file.txt", fail)
    assert (tmp_path / "file.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_file_is_not_seen_before_it_is_complete(tmp_path: Path) -> None:
    seen: list[bool] = []

    def write(path: Path) -> None:
        path.write_text("x")
        seen.append((tmp_path / "file.txt").exists())

    write_atomically(tmp_path / "file.txt", write)
    assert seen == [False]


def test_json_is_sorted_and_ends_with_a_line(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    text = (tmp_path / "a.json").read_text()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["a", "b"]


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_folder_appears_whole(tmp_path: Path) -> None:
    with directory_written_whole(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folder_replaces_the_old_one_altogether(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("1")
    with directory_written_whole(tmp_path / "out") as folder:
        (folder / "new").write_text("2")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_failed_folder_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("1")
    with pytest.raises(RuntimeError), directory_written_whole(tmp_path / "out") as folder:
        fail(folder / "new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_hash_depends_on_names_and_contents_but_not_on_order_or_place(tmp_path: Path) -> None:
    def make(folder: str, **files: str) -> str:
        root = tmp_path / folder
        for name, text in files.items():
            write_text(root / name, text)
        return hash_files(root, [root / name for name in files])

    wanted = make("one", a="1", b="2")
    assert make("two", b="2", a="1") == wanted
    assert make("three", a="1", b="3") != wanted
    assert make("four", a="1", c="2") != wanted
    assert make("five", a="2", b="1") != wanted
    assert len(wanted) == 64
