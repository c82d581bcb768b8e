import json

import numpy as np
import pytest

from cytocascade.bundle import load_bundle, save_bundle
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError


@pytest.fixture
def folder(tiny_volumes, tmp_path):
    save_bundle(tiny_volumes, tmp_path / "volumes")
    return tmp_path / "volumes"


def test_a_bundle_for_volumes_survives_saving(folder, tiny_volumes):
    loaded = load_bundle(folder)
    assert loaded.volume == tiny_volumes.volume
    assert loaded.config == tiny_volumes.config
    assert loaded.shapes.parameter_count() == tiny_volumes.shapes.parameter_count()
    assert len(loaded.hash) == 64


def test_its_hash_covers_the_shapes(folder):
    before = load_bundle(folder).hash
    text = json.loads((folder / "volume.json").read_text())
    text["area_factor"] = 1.1
    (folder / "volume.json").write_text(json.dumps(text))
    assert load_bundle(folder).hash != before


@pytest.mark.parametrize("name", ["volume.json", "shapes.safetensors"])
def test_a_missing_part_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CytoCascadeError, match=name):
        load_bundle(folder)


def test_damaged_shapes_are_told(folder):
    (folder / "shapes.safetensors").write_bytes(b"nothing")
    with pytest.raises(CytoCascadeError, match="not weights"):
        load_bundle(folder)


def test_the_facade_generates_and_replays_volumes(folder, tmp_path):
    cascade = Cascade.from_pretrained(folder)
    options = {"size": (12, 64, 64), "cells": 1, "shape_prior": "ellipsoid", "texture_steps": 2, "mask_steps": 8}
    from cytocascade.generation_options import GenerationOptions

    manifest = cascade.write(
        1, tmp_path / "data", formats=("folder", "ctc"), seed=3, options=GenerationOptions.checked(**options)
    )
    replayed = cascade.replay(f"{manifest}#0")
    sample = next(cascade.generate(1, seed=3, **options))
    assert np.array_equal(replayed.image, sample.image)
    assert (tmp_path / "data" / "ctc" / "01" / "t000.tif").is_file()
