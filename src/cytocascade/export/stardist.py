"""Format ``stardist``: ``train/images`` with ``train/masks``, as in StarDist's example notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from cytocascade.errors import CytoCascadeError
from cytocascade.export.base import Record, require_axes, stem
from cytocascade.export.tiff import write_pair
from cytocascade.types import GeneratedSample


class StarDistExporter:
    """Images and masks of the same name under ``train/`` and, if asked for, ``test/``.

    Parameters
    ----------
    test_fraction : float, [0, 1)
        Share of the samples that goes to ``test/``. Which ones depends on the index alone: they are
        spread evenly, the last of every ``1 / test_fraction``.
    """

    name: ClassVar[str] = "stardist"
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, *, test_fraction: float = 0.0) -> None:
        if not 0.0 <= test_fraction < 1.0:
            raise CytoCascadeError(
                f"The test fraction is {test_fraction}; it must be at least 0 and below 1.",
                hint="For example 0.1 for every tenth image.",
            )
        # A fraction such as 0.1 has no exact float; rounding errors must not decide where a sample goes.
        self._test_fraction = Fraction(test_fraction).limit_denominator(10_000)

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

    def usage(self, folder: str) -> str:
        """Return how to load the data set; see `Exporter.usage`."""
        return f"""\
`{folder}train/images/*.tif` and `{folder}train/masks/*.tif`, read as in StarDist's training notebooks:

```python
from glob import glob
from csbdeep.utils import normalize
from stardist import fill_label_holes
from tifffile import imread
X = [normalize(imread(file), 1, 99.8) for file in sorted(glob("{folder}train/images/*.tif"))]
Y = [fill_label_holes(imread(file)) for file in sorted(glob("{folder}train/masks/*.tif"))]
```
"""

    def is_test(self, index: int) -> bool:
        """Return whether the sample with this index belongs to ``test/``."""
        share = self._test_fraction
        return int((index + 1) * share) > int(index * share)

    def _files(self, index: int) -> list[str]:
        part = "test" if self.is_test(index) else "train"
        return [f"{part}/images/{stem(index)}.tif", f"{part}/masks/{stem(index)}.tif"]
