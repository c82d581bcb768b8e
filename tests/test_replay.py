from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.export.manifest import array_hash
from cytocascade.generation_options import GenerationOptions

OPTIONS = GenerationOptions(size=(72, 80), cells=(2, 4), mask_steps=3, texture_steps=2)


@pytest.fixture(scope="module")
def manifest(nuclei: Cascade, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nuclei.write(3, tmp_path_factory.mktemp("data") / "out", seed=6, options=OPTIONS)


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("workers", [1, 2])
def test_sample_comes_back_byte_for_byte(nuclei: Cascade, manifest: Path, index: int, workers: int) -> None:
    sample = nuclei.replay(f"{manifest}#{index}", workers=workers)
    assert np.array_equal(sample.image, tifffile.imread(manifest.parent / "images" / f"{index:06d}.tif"))
    assert np.array_equal(sample.labels, tifffile.imread(manifest.parent / "masks" / f"{index:06d}.tif"))
    record = json.loads(manifest.read_text().splitlines()[index])
    assert record["sha256"] == {"image": array_hash(sample.image), "labels": array_hash(sample.labels)}
    assert record["params"] == json.loads(json.dumps(sample.params))
    assert record["cells"] == json.loads(json.dumps(sample.cells))


def test_folder_stands_for_its_manifest(nuclei: Cascade, manifest: Path) -> None:
    assert nuclei.replay(f"{manifest.parent}#1").index == 1


def test_another_bundle_is_refused(nuclei: Cascade, manifest: Path, tmp_path: Path) -> None:
    folder = nuclei.save(tmp_path / "other")
    (folder / "README.md").write_text("another card")
    with pytest.raises(CytoCascadeError, match="made with the bundle 'nuclei'") as caught:
        Cascade.from_pretrained(folder).replay(f"{manifest}#0")
    assert "--bundle" in str(caught.value.hint)


def test_difference_is_told(nuclei: Cascade, manifest: Path, tmp_path: Path) -> None:
    record = json.loads(manifest.read_text().splitlines()[0])
    record["params"]["noise_seed"] += 1
    record["params"]["cell_seed"] += 1
    changed = tmp_path / "manifest.jsonl"
    changed.write_text(json.dumps(record) + "\n")
    with pytest.raises(CytoCascadeError, match="came out differently"):
        nuclei.replay(f"{changed}#0")


@pytest.mark.parametrize("reference", ["nowhere/manifest.jsonl#0", "manifest.jsonl", "#1", "x#one"])
def test_reference_to_nothing_is_refused(nuclei: Cascade, reference: str) -> None:
    with pytest.raises(CytoCascadeError):
        nuclei.replay(reference)


def test_unknown_index_tells_which_there_are(nuclei: Cascade, manifest: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no sample 7; its samples are 0 to 2"):
        nuclei.replay(f"{manifest}#7")
