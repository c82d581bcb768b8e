"""``manifest.jsonl``: one line per sample that says how to make it again and what is in it."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.storage import write_atomically
from cytocascade.types import Array, GeneratedSample

MANIFEST_NAME = "manifest.jsonl"

_DAMAGED = "Generate the data set again with --overwrite, or restore the file."


def record_of(
    sample: GeneratedSample,
    bundle_name: str,
    bundle_hash: str,
    version: str,
    files: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the manifest record of a sample.

    Parameters
    ----------
    sample : GeneratedSample
        The sample; its ``cells`` must name exactly the labels that occur in its label map.
    bundle_name, bundle_hash : str
        The bundle that generated it.
    version : str
        Version of CytoCascade.
    files : mapping of str to sequence of str
        Per format the sample's files, as POSIX paths relative to the data set.

    Returns
    -------
    dict
        JSON values only. Numpy scalars are unpacked and NaN, which stands for "not measurable" (the neighbour
        of a lone cell), becomes null. ``sha256`` covers the arrays' bytes in C order, little-endian.

    Raises
    ------
    CytoCascadeError
        If cells and label map disagree, or a value is infinite or has no place in JSON.
    """
    present = np.flatnonzero(np.bincount(sample.labels.ravel())) if sample.labels.size else np.zeros(0, int)
    listed = sorted(int(cell["label"]) for cell in sample.cells)
    if listed != [int(label) for label in present if label > 0]:
        raise CytoCascadeError(
            f"Sample {sample.index} lists {len(listed)} cells, but its label map has other labels "
            f"({int((present > 0).sum())} of them)."
        )
    record: dict[str, Any] = _plain(
        {
            "index": sample.index,
            "seed": sample.seed,
            "version": version,
            "bundle": {"name": bundle_name, "hash": bundle_hash},
            "files": {name: list(paths) for name, paths in files.items()},
            "shape": list(sample.image.shape),
            "dtype": str(sample.image.dtype),
            "spacing": list(sample.spacing),
            "spacing_known": sample.spacing_known,
            "params": sample.params,
            "cells": sample.cells,
            "sha256": {"image": array_hash(sample.image), "labels": array_hash(sample.labels)},
        },
        f"sample {sample.index}",
    )
    return record


def array_hash(array: Array) -> str:
    """Return the SHA-256 (hex) of an array's bytes, C order, little-endian."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def dump_record(record: Mapping[str, Any]) -> str:
    """Return a record as one compact line with sorted keys, without line end."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Append a record and wait until it is on the disk.

    A half-written last line, left by a killed process, is removed first.
    """
    line = dump_record(record) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    repair_manifest(path)
    with path.open("ab") as file:
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def repair_manifest(path: Path) -> int:
    """Cut off a half-written last line and return how many bytes it had; a missing file has none."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _end_of_last_line(file, size)
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
        return size - end


def iter_manifest(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a manifest in the order of the file; an incomplete last line is left out.

    A missing file has no records.

    Raises
    ------
    CytoCascadeError
        If a complete line is no record.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
                if not isinstance(record["index"], int):
                    raise TypeError
            except (ValueError, TypeError, KeyError) as error:
                raise CytoCascadeError(f"Line {number} is no record of a sample.", path=path, hint=_DAMAGED) from error
            yield record


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Return all records of a manifest; see `iter_manifest`."""
    return list(iter_manifest(path))


def write_sorted(path: Path, *, files: Mapping[int, Mapping[str, Sequence[str]]] | None = None) -> None:
    """Rewrite a manifest, sorted by index, atomically.

    The order in which workers finished, and interruptions, then leave no trace.

    Parameters
    ----------
    path : Path
        The manifest.
    files : mapping, optional
        New ``files`` per index, where finishing has moved them.

    Raises
    ------
    CytoCascadeError
        If two different records claim one index.
    """
    lines: dict[int, str] = {}
    for record in iter_manifest(path):
        index = record["index"]
        if files is not None and index in files:
            record["files"] = {name: list(paths) for name, paths in files[index].items()}
        line = dump_record(record)
        if lines.setdefault(index, line) != line:
            raise CytoCascadeError(f"Two different records claim sample {index}.", path=path, hint=_DAMAGED)
    text = "".join(lines[index] + "\n" for index in sorted(lines))
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))


def parse_reference(reference: str) -> tuple[Path, int]:
    """Split ``"path/manifest.jsonl#12"`` into the manifest and the index of a sample.

    The folder of the data set may stand for its manifest: ``"path#12"``.
    """
    name, mark, number = reference.rpartition("#")
    if not mark or not name or not (number.isascii() and number.isdigit()):
        raise CytoCascadeError(
            f"{reference!r} names no sample.",
            hint="Write MANIFEST#INDEX, for example out/manifest.jsonl#12 (quoted: # can begin a comment).",
        )
    path = Path(name)
    return (path / MANIFEST_NAME if path.is_dir() else path), int(number)


def load_record(reference: str) -> dict[str, Any]:
    """Return the record that a reference such as ``"path/manifest.jsonl#12"`` names.

    Raises
    ------
    CytoCascadeError
        If there is no such manifest, or no such sample in it.
    """
    path, index = parse_reference(reference)
    if not path.is_file():
        raise CytoCascadeError(
            "There is no such manifest.", path=path, hint="It lies at the top of the generated data set."
        )
    indices = []
    for record in iter_manifest(path):
        if record["index"] == index:
            return record
        indices.append(record["index"])
    known = f"its samples are {min(indices)} to {max(indices)}" if indices else "it has no samples yet"
    raise CytoCascadeError(f"There is no sample {index}; {known}.", path=path)


def _end_of_last_line(file: Any, size: int) -> int:
    """Return the position after the last line end, searching backwards in blocks."""
    block = 1 << 16
    stop = size
    while stop > 0:
        start = max(0, stop - block)
        file.seek(start)
        found = file.read(stop - start).rfind(b"\n")
        if found >= 0:
            return int(start + found + 1)
        stop = start
    return 0


def _plain(value: Any, where: str) -> Any:
    """Return `value` with numpy scalars and arrays as Python values and NaN as None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise CytoCascadeError(f"An infinite value cannot be recorded ({where}).")
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}, {key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    raise CytoCascadeError(f"A {type(value).__name__} cannot be recorded ({where}).")
