"""Format ``stardist``: ``train/images`` with ``train/masks``, as in StarDist's example notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from cytocascade.export.base import Record, dimension, require_axes, stem
from cytocascade.export.holdout import HoldOut
from cytocascade.export.tiff import write_pair
from cytocascade.types import GeneratedSample


class StarDistExporter:
    """Images and masks of the same name under ``train/`` and, if asked for, ``test/``.

    Parameters
    ----------
    test_fraction : float, [0, 1)
        Share of the samples that goes to ``test/``; see `HoldOut`.
    """

    name: ClassVar[str] = "stardist"
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, *, test_fraction: float = 0.0) -> None:
        self._held_out = HoldOut(test_fraction)

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
        text = f"""\
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
        return text + _anisotropy_note(records) if dimension(records) == 3 else text

    def _files(self, index: int) -> list[str]:
        part = self._held_out.part(index)
        return [f"{part}/images/{stem(index)}.tif", f"{part}/masks/{stem(index)}.tif"]


def _anisotropy_note(records: Sequence[Record]) -> str:
    """Return how to tell StarDist that voxels are longer along z."""
    spacing = [float(size) for size in records[0]["spacing"]]
    factors = ", ".join(f"{size / min(spacing):.4g}" for size in spacing)
    return f"""
These are volumes, axes `(Z, Y, X)`. StarDist must know how much longer voxels are along z; by the spacing:

```python
from stardist import Rays_GoldenSpiral
from stardist.models import Config3D
anisotropy = ({factors})
grid = tuple(1 if factor > 1.5 else 2 for factor in anisotropy)
config = Config3D(rays=Rays_GoldenSpiral(96, anisotropy=anisotropy), grid=grid, anisotropy=anisotropy, n_channel_in=1)
```

For cells that are flat themselves StarDist's notebooks take the cells' extents instead:
`extents = calculate_extents(Y); anisotropy = tuple(extents.max() / extents)`.
"""
