"""A data set on disk, written sample by sample, and continued after an interruption."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cytocascade.errors import CytoCascadeError
from cytocascade.export.card import data_card
from cytocascade.export.manifest import (
    MANIFEST_NAME,
    append_record,
    iter_manifest,
    record_of,
    repair_manifest,
    write_sorted,
)
from cytocascade.export.registry import format_root, get_exporters
from cytocascade.export.settings import SETTINGS_NAME, DatasetSettings, check_same_settings, write_settings
from cytocascade.storage import write_text
from cytocascade.types import GeneratedSample

_LEFTOVER = re.compile(r"\..+\.\d+\.tmp")


class DatasetWriter:
    """The folder of one data set.

    A single format lies directly in the folder, several lie in one sub-folder each; ``manifest.jsonl``,
    ``dataset.json`` and ``README.md`` are always at the top. A sample is done when its line is in the
    manifest. However often the run is interrupted, and in whatever order samples are added, the finished
    folder has the same bytes.

    To write from several processes, make one writer, send it to the workers (it can be pickled), let them
    `write`, and `commit` their records in the process that made it.

    Parameters
    ----------
    root : Path
        Folder of the data set; created if necessary.
    settings : DatasetSettings
        What is generated. Must equal the settings of a data set already begun in `root`.
    dim : {2, 3}
        Axes of the samples, to refuse unfit formats at once.
    overwrite : bool
        Remove a data set that was begun in `root`, with everything else in its folder.

    Raises
    ------
    CytoCascadeError
        If `root` holds a data set with other settings, or files that are no data set.
    """

    def __init__(self, root: Path, settings: DatasetSettings, *, dim: int = 2, overwrite: bool = False) -> None:
        self.root = root
        self.settings = settings
        self.exporters = get_exporters(
            ",".join(settings.formats),
            dim=dim,
            test_fraction=settings.test_fraction,
            slice_step=settings.slice_step,
        )
        self.manifest = root / MANIFEST_NAME
        self._begin(overwrite)

    def _begin(self, overwrite: bool) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise CytoCascadeError("This is a file, not a folder.", path=self.root, hint="Choose another --out.")
        begun = self.root / SETTINGS_NAME
        if overwrite and begun.exists():
            _empty(self.root, last=begun)
        check_same_settings(begun, self.settings)
        if not begun.exists():
            if self.root.is_dir() and any(not _is_leftover(path) for path in self.root.iterdir()):
                raise CytoCascadeError(
                    "The folder holds files, but no data set.",
                    path=self.root,
                    hint="Choose another --out, or empty the folder; --overwrite replaces data sets only.",
                )
            write_settings(begun, self.settings)
        repair_manifest(self.manifest)

    def done(self) -> set[int]:
        """Return the indices of the samples that need not be generated again."""
        return {record["index"] for record in iter_manifest(self.manifest)}

    def write(self, sample: GeneratedSample) -> dict[str, Any]:
        """Write the files of a sample and return its record, which is yet to be given to `commit`.

        Several processes may do this at once, for different samples.
        """
        files = {}
        for exporter in self.exporters:
            written = exporter.write(format_root(self.root, exporter, self.exporters), sample)
            files[exporter.name] = [path.relative_to(self.root).as_posix() for path in written]
        settings = self.settings
        return record_of(sample, settings.bundle_name, settings.bundle_hash, settings.version, files)

    def commit(self, record: Mapping[str, Any]) -> None:
        """Enter a record into the manifest; from one process only."""
        append_record(self.manifest, record)

    def add(self, sample: GeneratedSample) -> None:
        """Write a sample and enter it into the manifest."""
        self.commit(self.write(sample))

    def finish(self, *, bundle_card: str = "", licence: str = "") -> list[Path]:
        """Complete the data set: files of the whole set, sorted manifest, data card.

        Parameters
        ----------
        bundle_card : str
            Markdown card of the bundle, quoted in the data card.
        licence : str
            What may be done with the data.

        Returns
        -------
        list of Path
            Files that belong to the data set as a whole.

        Raises
        ------
        CytoCascadeError
            If samples are missing.
        """
        missing = sorted(set(range(self.settings.count)) - self.done())
        if missing:
            raise CytoCascadeError(
                f"{len(missing)} of {self.settings.count} samples are missing, the first is {missing[0]}.",
                path=self.root,
                hint="Run the same command again to continue.",
            )
        records = [_summary(record) for record in iter_manifest(self.manifest)]
        records = list({record["index"]: record for record in records}.values())
        records.sort(key=lambda record: int(record["index"]))
        written = []
        for exporter in self.exporters:
            written += exporter.finish(format_root(self.root, exporter, self.exporters), records)
        write_sorted(self.manifest, files=self._final_files(records))
        card = self.root / "README.md"
        write_text(card, data_card(records, self.settings, bundle_card, licence=licence))
        for path in [path for path in self.root.rglob(".*") if _is_leftover(path)]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)  # it may have lain in a folder that has just gone
        return [*written, self.manifest, self.root / SETTINGS_NAME, card]

    def _final_files(self, records: Sequence[dict[str, Any]]) -> dict[int, dict[str, list[str]]]:
        files = {record["index"]: dict(record["files"]) for record in records}
        for exporter in self.exporters:
            folder = format_root(self.root, exporter, self.exporters).relative_to(self.root)
            for index, paths in exporter.sample_files(records).items():
                files[index][exporter.name] = [(folder / path).as_posix() for path in paths]
        return files


def _empty(folder: Path, last: Path) -> None:
    """Remove what `folder` holds; `last` at the end, as without it the folder is no data set to replace."""
    for path in sorted(folder.iterdir(), key=lambda path: path == last):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_leftover(path: Path) -> bool:
    """Return whether a killed process left this temporary file (see `cytocascade.storage`)."""
    return _LEFTOVER.fullmatch(path.name) is not None


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    """Return what exporters and the data card need, without the features of thousands of cells."""
    cells = [{"label": cell["label"], "placement": cell.get("placement")} for cell in record["cells"]]
    keys = ("index", "shape", "dtype", "spacing", "spacing_known", "files")
    return {**{key: record[key] for key in keys}, "cells": cells}
