"""Format ``cellpose``: ``000000.tif`` beside ``000000_masks.tif``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from cytocascade.export.base import Record, require_axes, stem
from cytocascade.export.tiff import write_pair
from cytocascade.types import GeneratedSample


class CellposeExporter:
    """One flat folder that ``cellpose --train`` reads with its default mask filter ``_masks``.

    Cellpose trains on planes, so volumes are refused rather than written in a form it would misread.
    Cellpose itself leaves out images with fewer than 5 cells (``--min_train_masks``).
    """

    name: ClassVar[str] = "cellpose"
    dimensions: ClassVar[tuple[int, ...]] = (2,)

    def write(self, root: Path, sample: GeneratedSample) -> list[Path]:
        """Write image and mask; see `Exporter.write`."""
        require_axes(self, sample)
        image, mask = (root / file for file in _files(sample.index))
        return write_pair(image, mask, sample)

    def finish(self, root: Path, records: Sequence[Record]) -> list[Path]:
        """Do nothing: the format has no files beyond the samples'."""
        return []

    def sample_files(self, records: Sequence[Record]) -> dict[int, list[str]]:
        """Return the files of each sample; see `Exporter.sample_files`."""
        return {record["index"]: _files(record["index"]) for record in records}

    def usage(self, folder: str) -> str:
        """Return how to load the data set; see `Exporter.usage`."""
        return f"""\
`{folder}000000.tif` with `{folder}000000_masks.tif`. Train Cellpose 3 from scratch, or fine-tune Cellpose 4:

```bash
cellpose --train --dir {folder or "."} --mask_filter _masks --pretrained_model None --chan 0 --verbose  # 3.x
cellpose --train --dir {folder or "."} --mask_filter _masks --pretrained_model cpsam --verbose          # 4.x
```
"""


def _files(index: int) -> list[str]:
    return [f"{stem(index)}.tif", f"{stem(index)}_masks.tif"]
