"""Format ``ome-zarr``: ``000000.ome.zarr`` with the image and, inside, ``labels/cells``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.export.base import Record, as_labels, require_axes, stem
from cytocascade.export.pyramid import level_factors, pyramid, shrink_by_mean, shrink_by_nearest
from cytocascade.storage import directory_written_whole
from cytocascade.types import Array, GeneratedSample

VERSION = "0.5"
"""Version of the OME-Zarr specification (ngff.openmicroscopy.org/0.5)."""

LABELS = "cells"
"""Name of the label image."""

_CHUNK = {2: (512, 512), 3: (32, 128, 128)}
"""Voxels of a chunk: 0.5 to 1 MB of 16-bit pixels, as viewers like to fetch them."""


class OmeZarrExporter:
    """OME-Zarr 0.5 (Zarr 3): one folder per sample, image and labels as pyramids.

    - Axes are ``z, y, x`` or ``y, x``; a known spacing is stored as scale, in micrometres. An unknown one has no
      unit. The smaller levels of the pyramid also have a translation: their first voxel spans several of the full
      image, and its centre lies in the middle of them.
    - The image's levels are means; those of the labels keep one voxel of each block.
    - Labels are uint16, or uint32 for more than 65 535 cells.

    Raises
    ------
    CytoCascadeError
        On construction, if the package zarr is missing.
    """

    name: ClassVar[str] = "ome-zarr"
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self) -> None:
        if find_spec("zarr") is None:
            raise CytoCascadeError(
                "The format 'ome-zarr' needs the package zarr.", hint="pip install 'cytocascade[zarr]'"
            )

    def write(self, root: Path, sample: GeneratedSample) -> list[Path]:
        """Write one folder, which appears whole; see `Exporter.write`."""
        require_axes(self, sample)
        path = root / _folder(sample.index)
        with directory_written_whole(path) as temporary:
            _write(temporary, sample)
        return [path]

    def finish(self, root: Path, records: Sequence[Record]) -> list[Path]:
        """Do nothing: the format has no files beyond the samples'."""
        return []

    def sample_files(self, records: Sequence[Record]) -> dict[int, list[str]]:
        """Return the folder of each sample; see `Exporter.sample_files`."""
        return {record["index"]: [_folder(record["index"])] for record in records}

    def usage(self, folder: str, records: Sequence[Record] = ()) -> str:
        """Return how to load the data set; see `Exporter.usage`."""
        return f"""\
`{folder}000000.ome.zarr`: OME-Zarr {VERSION}, one folder per sample; image and `labels/{LABELS}` as pyramids. In napari
with the plugin napari-ome-zarr: `napari --plugin napari-ome-zarr {folder}000000.ome.zarr`. Python:

```python
import zarr
group = zarr.open_group("{folder}000000.ome.zarr", mode="r")
image, labels = group["0"][:], group["labels/{LABELS}/0"][:]
scale = group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
```
"""


def _folder(index: int) -> str:
    return f"{stem(index)}.ome.zarr"


def _write(folder: Path, sample: GeneratedSample) -> None:
    import zarr

    axes, spacing = "zyx"[-sample.image.ndim :], sample.spacing
    levels = level_factors(sample.image.shape, spacing)
    datasets = [_dataset(number, spacing, factors) for number, factors in enumerate(levels)]

    def attributes(name: str, method: str, **more: Any) -> dict[str, Any]:
        multiscale = {
            "name": name,
            "axes": [_axis(axis, sample.spacing_known) for axis in axes],
            "datasets": datasets,
            "type": method,
        }
        return {"ome": {"version": VERSION, "multiscales": [multiscale], **more}}

    root = zarr.create_group(folder, zarr_format=3, attributes=attributes(stem(sample.index), "mean"))
    _add_levels(root, pyramid(sample.image, levels, shrink_by_mean), axes)
    labels = root.create_group("labels", attributes={"ome": {"version": VERSION, "labels": [LABELS]}})
    source = {"image-label": {"version": VERSION, "source": {"image": "../../"}}}
    cells = labels.create_group(LABELS, attributes=attributes(LABELS, "nearest", **source))
    _add_levels(cells, pyramid(as_labels(sample.labels), levels, shrink_by_nearest), axes)


def _axis(name: str, spacing_known: bool) -> dict[str, str]:
    axis = {"name": name, "type": "space"}
    return {**axis, "unit": "micrometer"} if spacing_known else axis


def _dataset(number: int, spacing: Sequence[float], factors: Sequence[int]) -> dict[str, Any]:
    scale = [float(size * factor) for size, factor in zip(spacing, factors)]
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if number:
        shift = [float(size * (factor - 1) / 2) for size, factor in zip(spacing, factors)]
        transformations.append({"type": "translation", "translation": shift})
    return {"path": str(number), "coordinateTransformations": transformations}


def _add_levels(group: Any, arrays: Sequence[Array], axes: str) -> None:
    from zarr.codecs import ZstdCodec

    for number, array in enumerate(arrays):
        target = group.create_array(
            str(number),
            shape=array.shape,
            dtype=array.dtype,
            chunks=tuple(min(size, most) for size, most in zip(array.shape, _CHUNK[array.ndim], strict=True)),
            compressors=ZstdCodec(level=5),
            fill_value=0,
            dimension_names=tuple(axes),
        )
        target[...] = np.ascontiguousarray(array)
