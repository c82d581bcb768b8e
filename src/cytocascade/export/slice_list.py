"""``slices.json``: which slices of which volumes lie in a ``cellpose`` data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cytocascade.export.base import Record
from cytocascade.export.holdout import HoldOut
from cytocascade.export.planes import PLANES, anisotropy
from cytocascade.storage import write_json

SLICE_LIST = "slices.json"
"""Name of the file, beside ``train/`` and ``test/``."""

_SLICE = re.compile(rf"v(\d+)_({'|'.join(PLANES)})_(\d+)\.tif")


class SliceEntry(BaseModel):
    """One slice."""

    model_config = ConfigDict(extra="forbid")

    file: str
    """The image, relative to this file; its mask ends with ``_masks.tif``."""
    plane: str
    """``yx``, ``zy`` or ``zx``: axis of the rows and axis of the columns."""
    position: int
    """Where the slice lies on the axis it is normal to, in voxels of the volume, from 0."""


class VolumeEntry(BaseModel):
    """One volume and its slices."""

    model_config = ConfigDict(extra="forbid")

    index: int
    """Index of the sample in the manifest."""
    part: str
    """``train`` or ``test``; the same for all slices."""
    shape: tuple[int, ...]
    """Voxels along (z, y, x)."""
    spacing: tuple[float, ...]
    """Micrometres per voxel along (z, y, x)."""
    spacing_known: bool
    """Whether `spacing` goes back to a known physical size."""
    anisotropy: float
    """Spacing z / lateral spacing: Cellpose's ``--anisotropy`` for such a volume."""
    slices: list[SliceEntry]
    """Slices that were written, ordered by plane and position."""


class SliceList(BaseModel):
    """All volumes of a data set."""

    model_config = ConfigDict(extra="forbid")

    volumes: list[VolumeEntry]
    """Ordered by index."""


def list_slices(root: Path, records: Sequence[Record], held_out: HoldOut) -> SliceList:
    """Return what lies below `root`, by the names of the files."""
    found: dict[int, list[tuple[int, int, str]]] = {int(record["index"]): [] for record in records}
    for part in ("train", "test"):
        for path in (root / part).glob("v*.tif"):
            match = _SLICE.fullmatch(path.name)
            if match and int(match[1]) in found:
                found[int(match[1])].append((PLANES.index(match[2]), int(match[3]), f"{part}/{path.name}"))
    volumes = []
    for record in sorted(records, key=lambda record: int(record["index"])):
        index = int(record["index"])
        volumes.append(
            VolumeEntry(
                index=index,
                part=held_out.part(index),
                shape=tuple(record["shape"]),
                spacing=tuple(record["spacing"]),
                spacing_known=record["spacing_known"],
                anisotropy=anisotropy(record["spacing"]),
                slices=[
                    SliceEntry(file=file, plane=PLANES[plane], position=position)
                    for plane, position, file in sorted(found[index])
                ],
            )
        )
    return SliceList(volumes=volumes)


def write_slice_list(root: Path, records: Sequence[Record], held_out: HoldOut) -> Path:
    """Write the list atomically and return its path."""
    path = root / SLICE_LIST
    write_json(path, list_slices(root, records, held_out).model_dump(mode="json"))
    return path
