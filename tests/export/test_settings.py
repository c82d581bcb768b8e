from __future__ import annotations

import pytest
from pydantic import ValidationError

from cytocascade.errors import CytoCascadeError
from cytocascade.export.settings import DatasetSettings, check_same_settings, read_settings, write_settings


@pytest.fixture
def settings():
    return DatasetSettings(
        bundle_name="nuclei",
        bundle_hash="ab12",
        version="0.1.0",
        count=3,
        seed=7,
        formats=("ctc", "cellpose"),
        size=(48, 40),
        overrides={"cells": "20:60"},
    )


def test_settings_come_back(tmp_path, settings):
    write_settings(tmp_path / "dataset.json", settings)
    assert read_settings(tmp_path / "dataset.json") == settings
    check_same_settings(tmp_path / "dataset.json", settings)


def test_an_unused_option_of_volumes_is_not_mentioned(tmp_path, settings):
    write_settings(tmp_path / "dataset.json", settings)
    assert "slice_step" not in (tmp_path / "dataset.json").read_text()
    changed = settings.model_copy(update={"slice_step": 4})
    write_settings(tmp_path / "dataset.json", changed)
    assert read_settings(tmp_path / "dataset.json") == changed


def test_a_folder_without_settings_may_be_begun(tmp_path, settings):
    check_same_settings(tmp_path / "dataset.json", settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 4}, "count was 3, now 4"),
        ({"bundle_hash": "cd34"}, "bundle_hash was 'ab12', now 'cd34'"),
        ({"size": None}, r"size was \[48, 40\], now None"),
        ({"overrides": {"cells": "1:2"}}, "overrides was"),
        ({"seed": 8, "formats": ("ctc",)}, "seed was 7, now 8; formats was"),
    ],
)
def test_every_changed_setting_is_named(tmp_path, settings, change, message):
    write_settings(tmp_path / "dataset.json", settings)
    with pytest.raises(CytoCascadeError, match=rf"{message}(.|\n)*--overwrite"):
        check_same_settings(tmp_path / "dataset.json", settings.model_copy(update=change))


@pytest.mark.parametrize("text", ["", "{", "{}", '{"count": 1}'])
def test_damaged_settings_are_named_in_the_error(tmp_path, settings, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(CytoCascadeError, match=r"dataset\.json: These are no settings"):
        check_same_settings(tmp_path / "dataset.json", settings)


def test_missing_settings_are_named_in_the_error(tmp_path):
    with pytest.raises(CytoCascadeError, match=r"dataset\.json: The settings of the data set are missing"):
        read_settings(tmp_path / "dataset.json")


@pytest.mark.parametrize(
    "change", [{"count": -1}, {"formats": ()}, {"test_fraction": 1.0}, {"slice_step": 0}, {"colour": "red"}]
)
def test_impossible_settings_are_refused(settings, change):
    with pytest.raises(ValidationError):
        DatasetSettings(**{**settings.model_dump(), **change})


def test_formats_have_one_spelling(settings):
    same = DatasetSettings(**{**settings.model_dump(), "formats": ("CTC", " cellpose", "ctc")})
    assert same == settings
