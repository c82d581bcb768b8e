"""TIFF files that carry their spacing, with the same bytes on every write."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cytocascade.export.base import as_labels
from cytocascade.storage import write_atomically
from cytocascade.types import Array, GeneratedSample

_AXES = {2: "YX", 3: "ZYX"}
_MICROMETRES_PER_CENTIMETRE = 1e4


def write_tiff(path: Path, array: Array, spacing: tuple[float, ...], spacing_known: bool) -> None:
    """Write an image or label map as zlib-compressed OME-TIFF, whatever the suffix of `path`.

    A known spacing is stored twice: as ``PhysicalSizeX/Y/Z`` in the OME-XML (Fiji's Bio-Formats importer,
    QuPath, tifffile) and as TIFF resolution (plain ImageJ, X and Y only). Readers that know neither see a
    plain TIFF with one page per z-slice.

    Parameters
    ----------
    path : Path
        File to write, atomically.
    array : ndarray, (Y, X) or (Z, Y, X)
        Bool arrays are not allowed; the dtype is kept.
    spacing : tuple of float
        Micrometres per pixel along each axis.
    spacing_known : bool
        If false, no spacing is stored.
    """
    array = np.ascontiguousarray(array)
    metadata: dict[str, Any] = {
        "axes": _AXES[array.ndim],
        # OME asks for a UUID. A random one would change the bytes on every write, so it names the contents.
        "UUID": str(_content_uuid(array)),
        "Creator": "CytoCascade",
    }
    options: dict[str, Any] = {}
    if spacing_known:
        for axis, size in zip(_AXES[array.ndim], spacing, strict=True):
            metadata[f"PhysicalSize{axis}"] = float(size)
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
        per_centimetre = tuple(_MICROMETRES_PER_CENTIMETRE / size for size in (spacing[-1], spacing[-2]))
        options = {"resolution": per_centimetre, "resolutionunit": "CENTIMETER"}

    def write(temporary: Path) -> None:
        tifffile.imwrite(
            temporary,
            array,
            ome=True,
            photometric="minisblack",
            compression="zlib",
            metadata=metadata,
            software="CytoCascade",
            **options,
        )

    write_atomically(path, write)


def write_pair(image: Path, mask: Path, sample: GeneratedSample) -> list[Path]:
    """Write image and labels of `sample` as two TIFF files and return both paths."""
    write_tiff(image, sample.image, sample.spacing, sample.spacing_known)
    write_tiff(mask, as_labels(sample.labels), sample.spacing, sample.spacing_known)
    return [image, mask]


def _content_uuid(array: Array) -> uuid.UUID:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.data)
    return uuid.UUID(bytes=digest.digest()[:16], version=4)
