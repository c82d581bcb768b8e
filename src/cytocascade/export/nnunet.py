"""Format ``nnunet``: the raw layout of nnU-Net v2, with cells as semantic classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from cytocascade.export.base import Record, dimension, require_axes, stem
from cytocascade.export.border_core import CLASSES, to_classes
from cytocascade.export.holdout import HoldOut
from cytocascade.export.tiff import write_pair, write_tiff
from cytocascade.storage import write_json
from cytocascade.types import GeneratedSample

DATASET = "Dataset501_Cells"
"""Folder of the data set below ``nnUNet_raw``. The number is its id there."""

_READERS = {2: "NaturalImage2DIO", 3: "Tiff3DIO"}


class NnUNetExporter:
    """``imagesTr``, ``labelsTr`` and ``dataset.json`` (nnU-Net's documentation/dataset_format.md).

    - ``imagesTr/case_000000_0000.tif`` is the image (its only channel), ``labelsTr/case_000000.tif`` its classes:
      see `cytocascade.export.border_core`. ``instances/case_000000.tif`` keeps the cells as they are.
    - TIFF has no place where nnU-Net looks for the spacing. Beside each volume and its classes lies
      ``case_000000.json`` with ``{"spacing": [z, y, x]}`` in micrometres, as its reader ``Tiff3DIO`` expects it.
    - Samples that are held out lie in ``imagesTs`` and ``labelsTs``.

    Parameters
    ----------
    test_fraction : float, [0, 1)
        Share of the samples that is held out; see `HoldOut`.
    """

    name: ClassVar[str] = "nnunet"
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, *, test_fraction: float = 0.0) -> None:
        self._held_out = HoldOut(test_fraction)

    def write(self, root: Path, sample: GeneratedSample) -> list[Path]:
        """Write image, classes, instances and spacing; see `Exporter.write`."""
        require_axes(self, sample)
        files = [root / file for file in self._files(sample.index, sample.image.ndim)]
        image, classes, instances, *spacings = files
        write_pair(image, instances, sample)
        write_tiff(classes, to_classes(sample.labels, sample.spacing), sample.spacing, sample.spacing_known)
        for file in spacings:
            write_json(file, {"spacing": [float(size) for size in sample.spacing]})
        return files

    def finish(self, root: Path, records: Sequence[Record]) -> list[Path]:
        """Write ``dataset.json``; see `Exporter.finish`."""
        content: dict[str, Any] = {
            # Any name but "CT" stands for intensities that are normalised image by image.
            "channel_names": {"0": "microscopy"},
            "labels": CLASSES,
            "numTraining": sum(not self._held_out.is_test(int(record["index"])) for record in records),
            "file_ending": ".tif",
        }
        if records:
            content["overwrite_image_reader_writer"] = _READERS[dimension(records)]
        path = root / DATASET / "dataset.json"
        write_json(path, content)
        return [path]

    def sample_files(self, records: Sequence[Record]) -> dict[int, list[str]]:
        """Return the files of each sample; see `Exporter.sample_files`."""
        return {record["index"]: self._files(record["index"], len(record["shape"])) for record in records}

    def usage(self, folder: str, records: Sequence[Record] = ()) -> str:
        """Return how to load the data set; see `Exporter.usage`."""
        configuration = "3d_fullres" if dimension(records) == 3 else "2d"
        return f"""\
`{folder}{DATASET}/imagesTr/*_0000.tif` and `{folder}{DATASET}/labelsTr/*.tif` for nnU-Net v2.
Copy the folder `{DATASET}` into `$nnUNet_raw`, under another number if you have a data set 501:

```bash
nnUNetv2_plan_and_preprocess -d 501 --verify_dataset_integrity -c {configuration}
nnUNetv2_train 501 {configuration} 0
```

nnU-Net does semantic segmentation: it does not know one cell from the next. The classes are therefore background (0),
interior (1) and border (2) of cells, and the interiors of two cells never touch. To get cells out of a prediction,
count connected interiors and grow them over the border; `spacing` is µm per pixel along each axis:

```python
from scipy.ndimage import distance_transform_edt, label
cores, count = label(classes == 1)
nearest = distance_transform_edt(cores == 0, sampling=spacing, return_distances=False, return_indices=True)
cells = cores[tuple(nearest)] * (classes > 0)
```

`cytocascade.export.border_core.to_instances` does the same. The true cells, for scoring, are
`{folder}{DATASET}/instances/*.tif`; nnU-Net does not read them.
"""

    def _files(self, index: int, dim: int) -> list[str]:
        part = "Ts" if self._held_out.is_test(index) else "Tr"
        case = f"case_{stem(index)}"
        files = [f"images{part}/{case}_0000.tif", f"labels{part}/{case}.tif", f"instances/{case}.tif"]
        if dim == 3:
            files += [f"images{part}/{case}.json", f"labels{part}/{case}.json"]
        return [f"{DATASET}/{file}" for file in files]
