from __future__ import annotations

from pathlib import Path

import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.segmentation.registry import load_segmenter, method_named, segmenter_hash

from .conftest import Bright, BrightMethod


def test_cellpose_is_known_by_name() -> None:
    assert method_named("cellpose").name == "cellpose"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CytoCascadeError, match="no segmenter 'stardist'") as caught:
        method_named("stardist")
    assert "cellpose" in str(caught.value.hint)


def test_a_segmenter_is_loaded_by_the_method_that_made_it(tmp_path: Path, bright: BrightMethod) -> None:
    Bright(level=7).save(tmp_path / "kept")
    assert load_segmenter(tmp_path / "kept") is bright.loaded[0]
    assert bright.loaded[0].level == 7


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", "7"])
def test_a_folder_without_a_segmenter_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "segmenter.json").write_text(content)
    with pytest.raises(CytoCascadeError, match="no trained segmenter is here") as caught:
        load_segmenter(tmp_path)
    assert "--keep" in str(caught.value.hint)


@pytest.mark.parametrize("name", ['"stardist"', "[1]"])
def test_a_segmenter_of_an_unknown_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "segmenter.json").write_text(f'{{"method": {name}}}')
    with pytest.raises(CytoCascadeError, match="not known here") as caught:
        load_segmenter(tmp_path)
    assert caught.value.path == tmp_path / "segmenter.json"


def test_the_hash_is_that_of_settings_and_weights(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "segmenter.json").write_text("{}")
        (folder / "weights.safetensors").write_bytes(b"same" if number < 2 else b"others")
        (folder / "notes.txt").write_text(str(number))
    first, second, third = map(segmenter_hash, folders)
    assert first == second != third
