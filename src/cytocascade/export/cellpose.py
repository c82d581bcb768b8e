"""Format ``cellpose``: ``000000.tif`` beside ``000000_masks.tif``; volumes as isotropic slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from cytocascade.errors import CytoCascadeError
from cytocascade.export.base import Record, dimension, require_axes, stem
from cytocascade.export.holdout import HoldOut
from cytocascade.export.planes import anisotropy, cut
from cytocascade.export.slice_list import SLICE_LIST, write_slice_list
from cytocascade.export.tiff import write_pair, write_tiff
from cytocascade.types import GeneratedSample

DEFAULT_SLICE_STEP = 8
"""Pixels of the isotropic slices between neighbouring slices of a volume. Closer ones are nearly equal."""


class CellposeExporter:
    """Folders that ``cellpose --train`` reads with its default mask filter ``_masks``.

    Images lie in one flat folder, or below ``train/`` and ``test/`` if some are held out.

    Cellpose trains on planes and segments volumes plane by plane, from three sides. So a volume becomes 2D images
    with square pixels: ``v000000_yx_012.tif`` is slice 12 of volume 0; ``zy`` and ``zx`` are planes along z, which
    is resampled to the lateral spacing. Labels are numbered anew in each slice. All slices of a volume lie in
    ``train/`` or all in ``test/``. ``slices.json`` lists them; see `cytocascade.export.slice_list`.

    Cellpose itself leaves out images with fewer than 5 cells unless told otherwise (``--min_train_masks``).

    Parameters
    ----------
    test_fraction : float, [0, 1)
        Share of the samples that goes to ``test/``; see `HoldOut`.
    slice_step : int, >= 1
        Of volumes: pixels of the isotropic slices from one slice to the next.
    min_cells : int
        Of volumes: slices with fewer cells are not written.
    """

    name: ClassVar[str] = "cellpose"
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, *, test_fraction: float = 0.0, slice_step: int = DEFAULT_SLICE_STEP, min_cells: int = 1) -> None:
        if slice_step < 1:
            raise CytoCascadeError(
                f"The slice step is {slice_step}; it must be at least 1.", hint="1 writes every slice of a volume."
            )
        self._held_out = HoldOut(test_fraction)
        self._slice_step = slice_step
        self._min_cells = min_cells

    def write(self, root: Path, sample: GeneratedSample) -> list[Path]:
        """Write image and mask, or all slices of a volume; see `Exporter.write`."""
        require_axes(self, sample)
        if sample.image.ndim == 3:
            return self._write_slices(root / self._held_out.part(sample.index), sample)
        image, mask = (root / file for file in self._files(sample.index))
        return write_pair(image, mask, sample)

    def finish(self, root: Path, records: Sequence[Record]) -> list[Path]:
        """Write ``slices.json`` for volumes, nothing for images; see `Exporter.finish`."""
        if dimension(records) != 3:
            return []
        return [write_slice_list(root, records, self._held_out)]

    def sample_files(self, records: Sequence[Record]) -> dict[int, list[str]]:
        """Return the files of each image; those of volumes stay as written. See `Exporter.sample_files`."""
        return {record["index"]: self._files(record["index"]) for record in records if len(record["shape"]) == 2}

    def usage(self, folder: str, records: Sequence[Record] = ()) -> str:
        """Return how to load the data set; see `Exporter.usage`."""
        if dimension(records) == 3:
            return self._usage_of_slices(folder, records)
        if self._held_out:
            where, directories = f"{folder}train/", f"--dir {folder}train --test_dir {folder}test"
        else:
            where, directories = folder, f"--dir {folder or '.'}"
        return f"""\
`{where}000000.tif` with `{where}000000_masks.tif`. Train Cellpose 3 from scratch, or fine-tune Cellpose 4:

```bash
cellpose --train {directories} --mask_filter _masks --pretrained_model None --chan 0 --verbose  # 3.x
cellpose --train {directories} --mask_filter _masks --pretrained_model cpsam --verbose          # 4.x
```
"""

    def _usage_of_slices(self, folder: str, records: Sequence[Record]) -> str:
        factors = sorted({f"{anisotropy(record['spacing']):.4g}" for record in records})
        others = f" (volumes differ: {', '.join(factors)})" if len(factors) > 1 else ""
        directories = f"--dir {folder}train" + (f" --test_dir {folder}test" if self._held_out else "")
        return f"""\
`{folder}train/v*_yx_*.tif` and their `zy` and `zx` companions are slices of the volumes with square pixels, each with
its `_masks.tif`: along z they are resampled to the lateral spacing, cells are numbered anew in each slice, and all
slices of one volume are on the same side of a split. `{folder}{SLICE_LIST}` tells volume, plane and position. Train
on the slices, then segment whole stacks, whose z-step is {factors[0]} pixels{others}:

```bash
cellpose --train {directories} --mask_filter _masks --min_train_masks 1 --pretrained_model None --chan 0 --verbose
cellpose --dir STACKS --pretrained_model {folder}train/models/MODEL --do_3D --anisotropy {factors[0]} \\
    --chan 0 --diameter 0 --save_tif --verbose
```

This is Cellpose 3. Cellpose 4 takes `--pretrained_model cpsam` and no `--chan`.
"""

    def _write_slices(self, folder: Path, sample: GeneratedSample) -> list[Path]:
        files = []
        for plane in cut(sample, step=self._slice_step, min_cells=self._min_cells):
            name = f"v{stem(sample.index)}_{plane.name}_{plane.position:03d}"
            image, mask = folder / f"{name}.tif", folder / f"{name}_masks.tif"
            write_tiff(image, plane.image, plane.spacing, sample.spacing_known)
            write_tiff(mask, plane.labels, plane.spacing, sample.spacing_known)
            files += [image, mask]
        return files

    def _files(self, index: int) -> list[str]:
        folder = f"{self._held_out.part(index)}/" if self._held_out else ""
        return [f"{folder}{stem(index)}.tif", f"{folder}{stem(index)}_masks.tif"]
