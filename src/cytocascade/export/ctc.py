"""Format ``ctc``: the folders of the Cell Tracking Challenge (``01``, ``01_GT/SEG``, ``01_GT/TRA``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.export.base import Record, require_axes
from cytocascade.export.tiff import write_tiff
from cytocascade.storage import write_text
from cytocascade.types import Array, GeneratedSample

MAX_LABEL = int(np.iinfo(np.uint16).max)
"""The challenge's tools read 16-bit masks, so a sequence has no more tracks than this."""

MAX_FRAMES = 10_000
"""Frame numbers have three or four digits."""


@dataclass(frozen=True)
class Place:
    """Where a sample lies: sequence (from 1), frame in it (from 0) and what is added to its labels in TRA."""

    sequence: int
    frame: int
    offset: int


class CtcExporter:
    """Sequences whose frames are independent images.

    - ``01/t000.tif`` is the image, ``01_GT/SEG/man_seg000.tif`` its labels, as in the manifest.
    - ``01_GT/TRA/man_track000.tif`` has the same cells with labels that no other frame of the sequence uses,
      and ``man_track.txt`` lists every cell as a track that lives for this one frame, without parent.
    - Masks are uint16. When the tracks of a sequence would exceed 65 535, or its frames 10 000, the next
      sequence (``02``, ``03``, ...) begins. Frame numbers get four digits in sequences of more than 1000
      frames.

    How the samples divide into sequences is known only at the end. `write` therefore puts images and SEG
    masks into sequence 01; `finish` moves them where necessary and writes TRA.
    """

    name: ClassVar[str] = "ctc"
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)

    def write(self, root: Path, sample: GeneratedSample) -> list[Path]:
        """Write image and SEG mask; see `Exporter.write`."""
        require_axes(self, sample)
        largest = int(sample.labels.max(initial=0))
        if largest > MAX_LABEL:
            raise CytoCascadeError(
                f"Sample {sample.index} has labels up to {largest}; the format 'ctc' ends at {MAX_LABEL}.",
                hint="Export as 'folder', whose masks become uint32, or generate smaller images.",
            )
        image, mask = (root / file for file in _provisional(sample.index))
        write_tiff(image, sample.image, sample.spacing, sample.spacing_known)
        write_tiff(mask, sample.labels.astype(np.uint16), sample.spacing, sample.spacing_known)
        return [image, mask]

    def finish(self, root: Path, records: Sequence[Record]) -> list[Path]:
        """Move the samples to their sequences and write TRA; see `Exporter.finish`."""
        places = plan_sequences(records)
        files = self.sample_files(records)
        spacing_of = {record["index"]: _spacing(record) for record in records}
        tracks: dict[int, list[str]] = {place.sequence: [] for place in places.values()} or {1: []}
        for index, place in places.items():
            image, mask, track_mask = (root / file for file in files[index])
            for source, target in zip(_provisional(index), (image, mask), strict=True):
                _move(root / source, target)
            tracks[place.sequence] += _write_tracks(mask, track_mask, place, spacing_of[index])
        return [_write_track_list(root, sequence, lines) for sequence, lines in tracks.items()]

    def sample_files(self, records: Sequence[Record]) -> dict[int, list[str]]:
        """Return image, SEG and TRA mask of each sample; see `Exporter.sample_files`."""
        places = plan_sequences(records)
        frames = Counter(place.sequence for place in places.values())
        return {index: _final(place, frames[place.sequence]) for index, place in places.items()}

    def usage(self, folder: str, records: Sequence[Record] = ()) -> str:
        """Return how to load the data set; see `Exporter.usage`."""
        return f"""\
`{folder}01/t000.tif`, `{folder}01_GT/SEG/man_seg000.tif`, `{folder}01_GT/TRA/man_track000.tif` (and `02`, ...
where the tracks exceed 16 bits). The frames are independent images: in TRA every cell is a track of one
frame. With the challenge's evaluation software, and results in `{folder}01_RES/mask000.tif`, ...:

```bash
SEGMeasure {folder or "."} 01 3   # 3 = digits of the frame numbers; 4 in sequences of more than 1000 frames
```
"""


def plan_sequences(records: Sequence[Record]) -> dict[int, Place]:
    """Return the place of each sample, keyed by its index, in order of the indices."""
    places: dict[int, Place] = {}
    sequence, frame, offset = 1, 0, 0
    for record in sorted(records, key=lambda record: int(record["index"])):
        largest = max((int(cell["label"]) for cell in record["cells"]), default=0)
        if frame == MAX_FRAMES or offset + largest > MAX_LABEL:
            sequence, frame, offset = sequence + 1, 0, 0
        places[record["index"]] = Place(sequence, frame, offset)
        frame, offset = frame + 1, offset + largest
    return places


def _provisional(index: int) -> list[str]:
    return [f"01/t{index:03d}.tif", f"01_GT/SEG/man_seg{index:03d}.tif"]


def _final(place: Place, frames: int) -> list[str]:
    number = f"{place.frame:04d}" if frames > 1000 else f"{place.frame:03d}"
    folder = f"{place.sequence:02d}"
    truth = f"{folder}_GT"
    return [
        f"{folder}/t{number}.tif",
        f"{truth}/SEG/man_seg{number}.tif",
        f"{truth}/TRA/man_track{number}.tif",
    ]


def _move(source: Path, target: Path) -> None:
    """Rename `source` unless an interrupted `finish` has done so already."""
    if source == target or not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def _spacing(record: Record) -> tuple[tuple[float, ...], bool]:
    return tuple(record["spacing"]), bool(record["spacing_known"])


def _write_tracks(mask: Path, track_mask: Path, place: Place, spacing: tuple[tuple[float, ...], bool]) -> list[str]:
    """Write the TRA mask that belongs to a SEG mask and return its lines for ``man_track.txt``."""
    try:
        labels: Array = tifffile.imread(mask)
    except (OSError, tifffile.TiffFileError) as error:
        raise CytoCascadeError(
            f"The mask cannot be read ({error}).",
            path=mask,
            hint="Files of the data set were removed or changed; generate it again with --overwrite.",
        ) from error
    shifted = np.where(labels > 0, labels + np.uint32(place.offset), 0).astype(np.uint16)
    write_tiff(track_mask, shifted, *spacing)
    return [f"{label} {place.frame} {place.frame} 0\n" for label in np.unique(shifted[shifted > 0])]


def _write_track_list(root: Path, sequence: int, lines: list[str]) -> Path:
    path = root / f"{sequence:02d}_GT" / "TRA" / "man_track.txt"
    write_text(path, "".join(lines))
    return path
