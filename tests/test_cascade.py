from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cytocascade
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.export.manifest import read_manifest
from cytocascade.generation_options import GenerationOptions

TreeBytes = Callable[[Path], dict[str, bytes]]

FEW: dict[str, Any] = {"size": (72, 80), "cells": 3, "mask_steps": 3, "texture_steps": 2}
OPTIONS = GenerationOptions(**FEW)


class Killed(Exception):
    pass


def kill_after(done: int) -> Any:
    def progress(now: int, total: int) -> None:
        if now == done:
            raise Killed

    return progress


def test_package_offers_the_facade() -> None:
    assert cytocascade.Cascade is Cascade
    assert cytocascade.CytoCascadeError is CytoCascadeError
    with pytest.raises(AttributeError, match="no attribute 'cascade_of_cells'"):
        cytocascade.cascade_of_cells  # noqa: B018


def test_sample_alone_is_that_of_the_run(nuclei: Cascade) -> None:
    run = list(nuclei.generate(3, seed=4, **FEW))
    assert [sample.index for sample in run] == [0, 1, 2]
    for sample in reversed(run):
        alone = nuclei.sample(sample.index, seed=4, options=OPTIONS)
        assert np.array_equal(alone.image, sample.image)
        assert np.array_equal(alone.labels, sample.labels)
        assert alone.params == sample.params
        assert alone.cells == sample.cells


def test_run_can_begin_anywhere(nuclei: Cascade) -> None:
    later = next(nuclei.generate(1, seed=4, first=2, **FEW))
    assert later.index == 2
    assert np.array_equal(later.image, nuclei.sample(2, seed=4, options=OPTIONS).image)


def test_longer_run_begins_with_the_shorter_one(nuclei: Cascade, tmp_path: Path) -> None:
    for count in (1, 2):
        nuclei.write(count, tmp_path / str(count), options=OPTIONS)
    assert read_manifest(tmp_path / "2" / "manifest.jsonl")[:1] == read_manifest(tmp_path / "1" / "manifest.jsonl")


@pytest.mark.parametrize("done", [1, 2, 3])
@pytest.mark.parametrize("formats", [("folder",), ("ctc", "cellpose")])
def test_killed_run_is_continued_to_the_same_bytes(
    nuclei: Cascade, tmp_path: Path, tree_bytes: TreeBytes, done: int, formats: tuple[str, ...]
) -> None:
    wishes: dict[str, Any] = {"formats": formats, "seed": 2, "options": OPTIONS}
    nuclei.write(3, tmp_path / "whole", **wishes)
    with pytest.raises(Killed):
        nuclei.write(3, tmp_path / "killed", progress=kill_after(done), **wishes)
    seen: list[tuple[int, int]] = []
    nuclei.write(3, tmp_path / "killed", progress=lambda now, total: seen.append((now, total)), **wishes)
    assert tree_bytes(tmp_path / "killed") == tree_bytes(tmp_path / "whole")
    assert seen[-1] == (3, 3)


def test_finished_run_is_not_made_again(
    nuclei: Cascade, tmp_path: Path, tree_bytes: TreeBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = nuclei.write(1, tmp_path / "out", options=OPTIONS)
    assert manifest == tmp_path / "out" / "manifest.jsonl"
    before = tree_bytes(tmp_path / "out")
    monkeypatch.setattr(Cascade, "sample", lambda *args, **kwargs: pytest.fail("generated again"))
    nuclei.write(1, tmp_path / "out", options=OPTIONS)
    assert tree_bytes(tmp_path / "out") == before


def test_half_written_manifest_line_is_repaired(nuclei: Cascade, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    nuclei.write(2, tmp_path / "whole", options=OPTIONS)
    with pytest.raises(Killed):
        nuclei.write(2, tmp_path / "killed", options=OPTIONS, progress=kill_after(1))
    manifest = tmp_path / "killed" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes() + b'{"index": 1, "se')
    nuclei.write(2, tmp_path / "killed", options=OPTIONS)
    assert tree_bytes(tmp_path / "killed") == tree_bytes(tmp_path / "whole")


def test_other_settings_are_refused_unless_overwritten(nuclei: Cascade, tmp_path: Path) -> None:
    nuclei.write(1, tmp_path / "out", options=OPTIONS)
    for change in ({"seed": 5}, {"options": GenerationOptions(**{**FEW, "cells": 2})}, {"formats": ("ctc",)}):
        with pytest.raises(CytoCascadeError, match="begun with other settings") as caught:
            nuclei.write(1, tmp_path / "out", **{"options": OPTIONS, **change})
        assert "--overwrite" in str(caught.value.hint)
    nuclei.write(1, tmp_path / "out", options=OPTIONS, seed=5, overwrite=True)
    assert read_manifest(tmp_path / "out" / "manifest.jsonl")[0]["seed"] == 5


def test_impossible_size_leaves_no_folder_behind(nuclei: Cascade, tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="cannot be generated"):
        nuclei.write(1, tmp_path / "out", options=GenerationOptions(size=(8, 8)))
    # Otherwise the corrected command would be refused for its other settings.
    assert not (tmp_path / "out").exists()


def test_facade_fits_without_a_folder(
    nuclei: Cascade, drawn_images: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cytocascade.calibration import fields
    from cytocascade.fitting import FitOptions

    monkeypatch.setattr(fields, "WANTED_CELLS", 1)
    monkeypatch.setattr(fields, "MOST_FIELDS", 1)
    fitted = nuclei.fit(drawn_images, options=FitOptions(steps=1, batch=2, budget=None))
    assert fitted.bundle.hash
    assert fitted.bundle.config.shape == (128, 128)
    assert fitted.sample(0, seed=0, options=OPTIONS).image.shape == (72, 80)
    assert replace(nuclei.bundle).config.shape != (128, 128)
