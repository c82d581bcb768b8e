"""What an interrupted fit goes on from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cytocascade import __version__
from cytocascade.errors import CytoCascadeError
from cytocascade.storage import write_json


class FitState:
    """The folder that an interrupted fit goes on from."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = settings

    @classmethod
    def open(cls, folder: Path, fingerprint: str, resume: bool) -> FitState:
        """Return the state in `folder`, or begin one."""
        file = folder / "fit.json"
        if folder.exists() and not resume:
            shutil.rmtree(folder)
        if file.exists():
            settings = _read_settings(file)
            if settings["fingerprint"] != fingerprint:
                raise CytoCascadeError(
                    "an interrupted fit of other images or options is here",
                    path=folder,
                    hint="Give the same images and options to continue it, or --no-resume to start anew.",
                )
            return cls(folder, settings)
        folder.mkdir(parents=True, exist_ok=True)
        state = cls(folder, {"fingerprint": fingerprint, "version": __version__, "steps": {}})
        state.save()
        return state

    def steps(self, stage: str, choose: Callable[[], int]) -> int:
        """Return the optimiser steps of a stage: chosen once, and kept for a fit that goes on."""
        if stage not in self.settings["steps"]:
            self.settings["steps"][stage] = choose()
            self.save()
        return int(self.settings["steps"][stage])

    def save(self) -> None:
        """Write the settings."""
        write_json(self.folder / "fit.json", self.settings)


def _read_settings(file: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(file.read_bytes())
        settings["fingerprint"], settings["steps"]
    except (ValueError, TypeError, KeyError) as error:
        raise CytoCascadeError(
            "the state of the interrupted fit is damaged", path=file, hint="Start anew with --no-resume."
        ) from error
    return settings


def work_folder(out: Path) -> Path:
    """Return where the state of the fit of a bundle is kept while it runs."""
    return out.with_name(out.name + ".fit")
