"""``dataset.json``: the settings of a data set, so that it is only ever continued with the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from cytocascade.errors import CytoCascadeError
from cytocascade.storage import write_json

SETTINGS_NAME = "dataset.json"


class DatasetSettings(BaseModel):
    """Everything that, together with the bundle, determines the bytes of a data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle_name: str
    """Name of the bundle, as given to ``generate``."""
    bundle_hash: str
    """SHA-256 of the bundle's files."""
    version: str
    """Version of CytoCascade."""
    count: int = Field(ge=0)
    """Number of samples."""
    seed: int
    """Seed of the data set; sample i depends on it and on i only."""
    formats: tuple[str, ...] = Field(min_length=1)
    """Export formats, in the order asked for."""
    size: tuple[int, ...] | None = None
    """Shape of a sample in pixels, (Y, X) or (Z, Y, X); null if the bundle decides."""
    test_fraction: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the samples that is held out, in formats that know a test set."""
    slice_step: int | None = Field(default=None, ge=1)
    """Of volumes in the format ``cellpose``: pixels from one slice to the next; null is the format's default."""
    overrides: dict[str, JsonValue] = Field(default_factory=dict)
    """Further options of ``generate``, by their long name, for example ``{"cells": "20:60"}``."""

    @field_validator("formats")
    @classmethod
    def _one_spelling(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.strip().lower() for name in formats))


def write_settings(path: Path, settings: DatasetSettings) -> None:
    """Write ``dataset.json`` atomically."""
    values = settings.model_dump(mode="json")
    if settings.slice_step is None:
        del values["slice_step"]  # an option of volumes that is not used is not mentioned
    write_json(path, values)


def read_settings(path: Path) -> DatasetSettings:
    """Read ``dataset.json``; `CytoCascadeError` if it is missing or damaged."""
    try:
        return DatasetSettings.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise CytoCascadeError("The settings of the data set are missing.", path=path) from error
    except ValidationError as error:
        raise CytoCascadeError(
            "These are no settings of a data set of this version of CytoCascade.",
            path=path,
            hint="Choose another --out, or begin anew with --overwrite.",
        ) from error


def check_same_settings(path: Path, settings: DatasetSettings) -> None:
    """Raise `CytoCascadeError` if the data set at `path` was begun with other settings.

    Parameters
    ----------
    path : Path
        ``dataset.json``; nothing is checked if it does not exist.
    settings : DatasetSettings
        What is asked for now.
    """
    if not path.exists():
        return
    begun, asked = (found.model_dump(mode="json") for found in (read_settings(path), settings))
    changes = [_change(key, begun[key], asked[key]) for key in asked if begun[key] != asked[key]]
    if changes:
        raise CytoCascadeError(
            f"The data set in this folder was begun with other settings: {'; '.join(changes)}.",
            path=path.parent,
            hint="Choose another --out, or replace the data set with --overwrite.",
        )


def _change(key: str, begun: Any, asked: Any) -> str:
    return f"{key} was {begun!r}, now {asked!r}"
