"""Format ``folder``: ``images/000000.tif`` with ``masks/000000.tif``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from cytocascade.export.base import Record, require_axes, stem
from cytocascade.export.tiff import write_pair
from cytocascade.types import GeneratedSample


class FolderExporter:
    """Images and masks of the same name in two folders; OME-TIFF content, plain ``.tif`` names.

    Masks are uint16, or uint32 for an image with more than 65 535 labels.
    """

    name: ClassVar[str] = "folder"
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    suffix: ClassVar[str] = ".tif"

    def write(self, root: Path, sample: GeneratedSample) -> list[Path]:
        """Write image and mask; see `Exporter.write`."""
        require_axes(self, sample)
        image, mask = (root / file for file in self._files(sample.index))
        return write_pair(image, mask, sample)

    def finish(self, root: Path, records: Sequence[Record]) -> list[Path]:
        """Do nothing: the format has no files beyond the samples'."""
        return []

    def sample_files(self, records: Sequence[Record]) -> dict[int, list[str]]:
        """Return the files of each sample; see `Exporter.sample_files`."""
        return {record["index"]: self._files(record["index"]) for record in records}

    def usage(self, folder: str, records: Sequence[Record] = ()) -> str:
        """Return how to load the data set; see `Exporter.usage`."""
        suffix = self.suffix
        return f"""\
`{folder}images/*{suffix}` and `{folder}masks/*{suffix}`, matched by name; 0 is background, every other
value one cell. Fiji: *Plugins > Bio-Formats > Bio-Formats Importer* shows the spacing in µm. Python:

```python
from pathlib import Path
import tifffile
images = [tifffile.imread(file) for file in sorted(Path("{folder}images").glob("*{suffix}"))]
masks = [tifffile.imread(file) for file in sorted(Path("{folder}masks").glob("*{suffix}"))]
```
"""

    def _files(self, index: int) -> list[str]:
        return [f"images/{stem(index)}{self.suffix}", f"masks/{stem(index)}{self.suffix}"]
