from __future__ import annotations

import ast
import re

import pytest

from cytocascade.export.card import data_card, generate_command
from cytocascade.export.settings import DatasetSettings


@pytest.fixture
def settings():
    return DatasetSettings(
        bundle_name="my nuclei",
        bundle_hash="ab12",
        version="0.1.0",
        count=3,
        seed=7,
        formats=("folder", "ctc", "cellpose", "stardist", "coco"),
        size=(48, 40),
        overrides={"cells": "20:60", "touching_rate": 0.5, "quick": True, "slow": False, "none": None},
    )


@pytest.fixture
def records(make_sample, records_of):
    return records_of(make_sample(0, cells=2), make_sample(1, cells=5), make_sample(2, cells=4))


def test_the_command_repeats_every_setting(settings):
    assert generate_command(settings) == (
        "cytocascade generate --bundle 'my nuclei' --count 3 --seed 7 "
        "--format folder,ctc,cellpose,stardist,coco --out DIR --size 48x40 --cells 20:60 --quick --touching-rate 0.5"
    )


def test_the_card_tells_what_the_data_set_is(settings, records):
    card = data_card(records, settings, "# Nuclei\nTrained on CC0 images.", licence="CC0 1.0")
    for fact in (
        "| Images | 3 |",
        "| Cells | 11 |",
        "| Size (pixels) | 48 x 40 (Y x X) |",
        "| Pixel type | uint16 |",
        "| Spacing (µm per pixel) | 0.25 x 0.5 |",
        "| Seed | 7 |",
        "SHA-256 `ab12`",
        "Smallest 2, lower quartile 3, median 4, upper quartile 4.5, largest 5.",
        "Placement: alone 100.0 %.",
        "cytocascade replay 'manifest.jsonl#0' --bundle",
        "> # Nuclei\n> Trained on CC0 images.\n",
        "## Licence\n\nCC0 1.0\n",
        generate_command(settings),
    ):
        assert fact in card, fact


def test_the_card_of_volumes_speaks_of_voxels(settings, make_sample, records_of):
    volumes = settings.model_copy(update={"formats": ("cellpose", "stardist", "nnunet"), "size": (5, 48, 40)})
    card = data_card(records_of(make_sample(0, shape=(5, 48, 40))), volumes)
    for fact in (
        "# Synthetic microscopy volumes of cells",
        "| Volumes | 1 |",
        "| Size (voxels) | 5 x 48 x 40 (Z x Y x X) |",
        "| Voxel type | uint16 |",
        "| Spacing (µm per voxel) | 1.5 x 0.25 x 0.5 (Z x Y x X) |",
        "## Cells per volume",
        "--out DIR --dim 3 --size 5x48x40",
        "--do_3D --anisotropy",
    ):
        assert fact in card, fact
    assert "image" not in card.split("##")[0].lower()
    assert "# Synthetic microscopy volumes" in data_card([], volumes.model_copy(update={"count": 0}))


def test_the_card_depends_on_its_arguments_alone(settings, records):
    assert data_card(records, settings, "card") == data_card(list(records), settings.model_copy(), "card")
    assert data_card(records, settings, command="make data").count("make data") == 1


def test_every_format_says_how_to_load_it(settings, records):
    card = data_card(records, settings)
    for heading in ("### folder", "### ctc", "### cellpose", "### stardist", "### coco"):
        assert heading in card
    assert "cellpose --train --dir cellpose/ --mask_filter _masks" in card
    assert "stardist/train/images/*.tif" in card
    alone = data_card(records, settings.model_copy(update={"formats": ("cellpose",)}))
    assert "cellpose --train --dir . --mask_filter _masks" in alone


def test_python_snippets_of_volumes_are_python(settings, make_sample, records_of):
    volumes = settings.model_copy(update={"formats": ("folder", "ome-tiff", "stardist", "ome-zarr", "nnunet")})
    card = data_card(records_of(make_sample(shape=(5, 48, 40))), volumes)
    snippets = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(snippets) == 6
    for snippet in snippets:
        ast.parse(snippet)


def test_python_snippets_are_python(settings, records):
    snippets = re.findall(r"```python\n(.*?)```", data_card(records, settings), flags=re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        ast.parse(snippet)


def test_the_histogram_counts_every_image(settings, records):
    (bars,) = re.findall(r"```text\n(.*?)\n```", data_card(records, settings), flags=re.DOTALL)
    assert sum(int(line.split()[-1]) for line in bars.splitlines()) == 3
    assert bars.splitlines()[0].split() == ["2", "|" + "#" * 40, "1"]


def test_differing_images_are_listed_with_their_numbers(settings, records):
    records[0]["dtype"] = "uint8"
    records[1]["spacing_known"] = False
    card = data_card(records, settings)
    assert "uint16 (2 images), uint8 (1 images)" in card
    assert "0.25 x 0.5 (2 images), unknown (1 images)" in card


def test_hub_metadata_is_left_out_and_long_cards_are_cut(settings, records):
    bundle_card = "---\nlicense: cc0\n---\n" + "\n".join(f"line {number}" for number in range(50))
    card = data_card(records, settings, bundle_card)
    assert "license: cc0" not in card
    assert "> line 39\n" in card
    assert "> line 40\n" not in card
    assert "10 more lines" in card


def test_no_line_ends_in_blanks_and_no_licence_is_invented(settings, records):
    card = data_card(records, settings)
    assert all(line == line.rstrip() for line in card.splitlines())
    assert card.endswith("## Licence\n\nNot stated.\n")


def test_a_data_set_without_images_has_a_card(settings):
    assert "| Images | 0 |" in data_card([], settings.model_copy(update={"count": 0}))
