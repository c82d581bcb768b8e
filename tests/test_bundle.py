from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cytocascade.bundle import find_bundle, load_bundle, save_bundle, shipped_bundles
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError

TreeBytes = Callable[[Path], dict[str, bytes]]

FILES = {
    "README.md",
    "bundle.json",
    "cells.json",
    "imaging.json",
    "masks.safetensors",
    "population.json",
    "textures.safetensors",
}


@pytest.fixture
def copy(nuclei: Cascade, tmp_path: Path) -> Path:
    """A copy of the shipped bundle, to be damaged."""
    shutil.copytree(find_bundle("nuclei"), tmp_path / "copy")
    return tmp_path / "copy"


def test_round_trip_keeps_every_byte(nuclei: Cascade, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    assert nuclei.save(tmp_path / "one") == tmp_path / "one"
    first = load_bundle(tmp_path / "one")
    save_bundle(first, tmp_path / "two")
    assert tree_bytes(tmp_path / "one") == tree_bytes(tmp_path / "two")
    assert set(tree_bytes(tmp_path / "one")) == FILES
    assert load_bundle(tmp_path / "two").hash == first.hash


def test_saved_bundle_has_the_hash_of_the_shipped_one(nuclei: Cascade, tmp_path: Path) -> None:
    assert load_bundle(nuclei.save(tmp_path / "one")).hash == nuclei.bundle.hash


def test_saving_replaces_what_was_there(nuclei: Cascade, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("x")
    nuclei.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_shipped_bundle_is_small_enough() -> None:
    for name in shipped_bundles():
        sizes = {path.name: path.stat().st_size for path in find_bundle(name).iterdir()}
        # What only volumes need comes on top.
        assert sizes.pop("shapes.safetensors", 0) < 6e6
        assert sum(sizes.values()) < 25e6


def test_hash_depends_on_every_file(copy: Path, nuclei: Cascade) -> None:
    (copy / "README.md").write_text("another card")
    found = load_bundle(copy)
    assert found.card == "another card"
    assert found.hash != nuclei.bundle.hash


@pytest.mark.parametrize("name", sorted(FILES))
def test_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(CytoCascadeError, match=name.replace(".", r"\.")) as caught:
        load_bundle(copy)
    assert caught.value.path == copy
    assert caught.value.hint


@pytest.mark.parametrize("name", ["masks.safetensors", "textures.safetensors"])
@pytest.mark.parametrize("kept", [0, 100, 10_000, -1])
def test_truncated_weights_are_named(copy: Path, name: str, kept: int) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:kept])
    with pytest.raises(CytoCascadeError) as caught:
        load_bundle(copy)
    assert caught.value.path == copy / name


@pytest.mark.parametrize("name", ["bundle.json", "cells.json", "population.json", "imaging.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", '{"unknown": 1}'])
def test_wrong_json_is_named(copy: Path, name: str, text: str) -> None:
    (copy / name).write_text(text)
    with pytest.raises(CytoCascadeError) as caught:
        load_bundle(copy)
    assert caught.value.path == copy / name
    assert "Traceback" not in str(caught.value)


def test_bundle_of_another_layout_tells_the_version_it_needs(copy: Path) -> None:
    config = json.loads((copy / "bundle.json").read_bytes())
    (copy / "bundle.json").write_text(json.dumps({**config, "format": 2, "version": "7.1.0"}))
    with pytest.raises(CytoCascadeError, match=r"7\.1\.0") as caught:
        load_bundle(copy)
    assert "format" in str(caught.value)


def test_bundles_are_found_by_name_and_by_folder(copy: Path) -> None:
    assert find_bundle("nuclei").name == "nuclei"
    assert find_bundle(copy) == copy
    assert find_bundle(str(copy)) == copy


def test_unknown_bundle_lists_the_shipped_ones(nuclei: Cascade) -> None:
    with pytest.raises(CytoCascadeError, match="there is no bundle 'nucleus'") as caught:
        find_bundle("nucleus")
    assert "nuclei" in str(caught.value.hint)


def test_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no complete bundle") as caught:
        load_bundle(find_bundle(tmp_path))
    assert caught.value.path == tmp_path


def test_interrupted_saving_leaves_no_bundle(nuclei: Cascade, tmp_path: Path) -> None:
    # Without networks the writing fails half way.
    with pytest.raises(AttributeError):
        save_bundle(replace(nuclei.bundle, textures=None), tmp_path / "out")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
