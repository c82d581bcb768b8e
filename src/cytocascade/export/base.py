"""What every export format can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.types import Array, GeneratedSample, label_dtype

Record = Mapping[str, Any]
"""One line of ``manifest.jsonl``.

Exporters read ``index``, ``shape``, ``spacing``, ``spacing_known`` and the ``label`` of each of ``cells``.
"""


class Exporter(Protocol):
    """One file format of a data set.

    An exporter holds options but no state: samples may be written in any order, by several processes,
    and again after an interruption; the bytes on disk depend on the samples alone.
    """

    name: ClassVar[str]
    """Name of the format on the command line."""

    dimensions: ClassVar[tuple[int, ...]]
    """Numbers of axes that the format can hold: 2 for images, 3 for volumes."""

    def write(self, root: Path, sample: GeneratedSample) -> list[Path]:
        """Write the files of one sample below `root` and return them; a folder that is one unit is returned as such.

        Raises
        ------
        CytoCascadeError
            If the format cannot hold the sample (axes, dtype, number of labels).
        """
        ...

    def finish(self, root: Path, records: Sequence[Record]) -> list[Path]:
        """Write what belongs to the data set as a whole and return those files.

        May rename files of samples; `sample_files` tells where they are afterwards. Can be repeated.
        """
        ...

    def sample_files(self, records: Sequence[Record]) -> dict[int, list[str]]:
        """Return the files of each sample after `finish`, as POSIX paths relative to the format's folder.

        Samples that are not in the result keep the files that `write` returned.
        """
        ...

    def usage(self, folder: str, records: Sequence[Record] = ()) -> str:
        """Return Markdown that tells how to load the data set when it lies in `folder`.

        `records` tell whether it holds images or volumes, and their spacing; without any it holds images.
        """
        ...


def stem(index: int) -> str:
    """Return the file name of a sample, without suffix: its index, six digits or more."""
    return f"{index:06d}"


def dimension(records: Sequence[Record]) -> int:
    """Return the number of axes of a data set's samples, 2 or 3; without samples 2."""
    return len(records[0]["shape"]) if records else 2


def as_labels(labels: Array) -> Array:
    """Return `labels` as uint16, or as uint32 if the largest does not fit."""
    largest = int(labels.max(initial=0))
    if labels.min(initial=0) < 0 or largest > np.iinfo(np.uint32).max:
        raise CytoCascadeError(f"Labels reach from {labels.min()} to {largest}; they must fit into uint32.")
    return labels.astype(label_dtype(largest), copy=False)


def require_axes(exporter: Exporter, sample: GeneratedSample) -> None:
    """Raise `CytoCascadeError` if `exporter` cannot hold an array with as many axes as the sample's.

    Parameters
    ----------
    exporter : Exporter
        The format.
    sample : GeneratedSample
        The sample about to be written; its image and labels must have one shape.
    """
    if sample.image.shape != sample.labels.shape:
        raise CytoCascadeError(
            f"Sample {sample.index}: the image is {sample.image.shape}, its labels are {sample.labels.shape}."
        )
    if sample.image.ndim not in exporter.dimensions:
        raise CytoCascadeError(
            f"The format {exporter.name!r} holds no {sample.image.ndim}D arrays.",
            hint="Formats for volumes are folder, ome-tiff, ome-zarr, ctc, cellpose, stardist and nnunet.",
        )
