"""Format ``coco``: ``images/*.png`` with one ``annotations.json``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TextIO

import imagecodecs
import numpy as np
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.export.base import Record, require_axes, stem
from cytocascade.export.outlines import outline, run_lengths
from cytocascade.storage import write_atomically, write_text
from cytocascade.types import Array, BoolArray, GeneratedSample

_PENDING = ".coco"  # annotations of single samples, until `finish` joins them


class CocoExporter:
    """COCO instance segmentation with the single category ``cell`` (id 1).

    - Images are PNG, uint8 or uint16. Float images are refused: PNG has no floats, and a range that fits
      one image would change the brightness of the others.
    - ``segmentation`` is a polygon along the pixel borders, which decodes to exactly the label's pixels;
      cells with holes or in several parts are uncompressed run lengths. ``iscrowd`` is always 0: each
      annotation is one cell. ``area`` counts pixels.
    - ``label`` is an extra field: the cell's label in the manifest. Ids of images are index + 1.
    """

    name: ClassVar[str] = "coco"
    dimensions: ClassVar[tuple[int, ...]] = (2,)

    def write(self, root: Path, sample: GeneratedSample) -> list[Path]:
        """Write the image, and its annotations aside until `finish`; see `Exporter.write`."""
        require_axes(self, sample)
        if sample.image.dtype not in (np.uint8, np.uint16):
            raise CytoCascadeError(
                f"Sample {sample.index} is {sample.image.dtype}; PNG images are uint8 or uint16.",
                hint="Export as 'folder' or 'ome-tiff', or fit the bundle on uint8 or uint16 images.",
            )
        path = root / _image_file(sample.index)
        encoded = imagecodecs.png_encode(np.ascontiguousarray(sample.image), level=6)
        write_atomically(path, lambda temporary: temporary.write_bytes(encoded))
        write_text(_pending_file(root, sample.index), _dump(annotations_of(sample.labels)))
        return [path]

    def finish(self, root: Path, records: Sequence[Record]) -> list[Path]:
        """Join the annotations of all samples; see `Exporter.finish`."""
        path = root / "annotations.json"
        ordered = sorted(records, key=lambda record: int(record["index"]))
        pending, discarded = root / _PENDING, root / f"{_PENDING}.0.tmp"
        if pending.exists() or not path.exists():
            finished = _finished_annotations(path, root, ordered)
            write_atomically(path, lambda temporary: _write_annotations(temporary, root, ordered, finished))
        # Renamed first: an interruption must not leave a folder that has lost some of its files.
        shutil.rmtree(discarded, ignore_errors=True)
        if pending.exists():
            pending.rename(discarded)
            shutil.rmtree(discarded)
        return [path]

    def sample_files(self, records: Sequence[Record]) -> dict[int, list[str]]:
        """Return the image of each sample; see `Exporter.sample_files`."""
        return {record["index"]: [_image_file(record["index"])] for record in records}

    def usage(self, folder: str, records: Sequence[Record] = ()) -> str:
        """Return how to load the data set; see `Exporter.usage`."""
        return f"""\
`{folder}images/*.png` with `{folder}annotations.json`, instance segmentation with one category, `cell`. Cells
with holes or in several parts are run-length encoded, the others are polygons.

```python
from pycocotools.coco import COCO
coco = COCO("{folder}annotations.json")
masks = [coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds(imgIds=1))]
```
"""


def annotations_of(labels: Array) -> list[dict[str, Any]]:
    """Return the COCO annotations of a label map (Y, X), ordered by label, without ids."""
    shape = (int(labels.shape[0]), int(labels.shape[1]))
    found = []
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        mask: BoolArray = labels[box] == label
        y, x = box[0].start, box[1].start
        height, width = mask.shape
        corners = outline(mask)
        segmentation: Any
        if corners is None:
            segmentation = run_lengths(mask, (y, x), shape)
        else:
            segmentation = [(corners + np.array([x, y])).ravel().tolist()]
        found.append(
            {
                "label": label,
                "category_id": 1,
                "iscrowd": 0,
                "area": int(mask.sum()),
                "bbox": [x, y, width, height],
                "segmentation": segmentation,
            }
        )
    return found


def _image_file(index: int) -> str:
    return f"images/{stem(index)}.png"


def _pending_file(root: Path, index: int) -> Path:
    return root / _PENDING / f"{stem(index)}.json"


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _finished_annotations(path: Path, root: Path, records: Sequence[Record]) -> dict[int, list[dict[str, Any]]]:
    """Return, by image id, the annotations of samples that an earlier `finish` has joined already."""
    missing = [record["index"] for record in records if not _pending_file(root, record["index"]).exists()]
    finished: dict[int, list[dict[str, Any]]] = {}
    if missing and path.exists():
        joined = json.loads(path.read_text(encoding="utf-8"))
        finished = {image["id"]: [] for image in joined["images"]}
        for annotation in joined["annotations"]:
            image_id = annotation.pop("image_id")
            finished[image_id].append({key: value for key, value in annotation.items() if key != "id"})
    lost = [index for index in missing if index + 1 not in finished]
    if lost:
        raise CytoCascadeError(
            f"The annotations of {len(lost)} samples are gone, the first is sample {lost[0]}.",
            path=path,
            hint="Files of the data set were removed; generate it again with --overwrite.",
        )
    return finished


def _write_annotations(
    target: Path, root: Path, records: Sequence[Record], finished: dict[int, list[dict[str, Any]]]
) -> None:
    """Write the joined file piece by piece, so that a large data set need not fit into memory."""
    with target.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"info":{"description":"Synthetic cells generated by CytoCascade"},\n')
        file.write('"categories":[{"id":1,"name":"cell","supercategory":"cell"}],\n"images":[')
        _write_items(file, map(_image_entry, records))
        file.write('],\n"annotations":[')
        _write_items(file, _numbered_annotations(root, records, finished))
        file.write("]}\n")


def _write_items(file: TextIO, items: Iterator[dict[str, Any]]) -> None:
    for position, item in enumerate(items):
        file.write(("\n" if position == 0 else ",\n") + _dump(item))


def _image_entry(record: Record) -> dict[str, Any]:
    index = int(record["index"])
    height, width = record["shape"]
    return {"id": index + 1, "file_name": f"{stem(index)}.png", "height": height, "width": width}


def _numbered_annotations(
    root: Path, records: Sequence[Record], finished: dict[int, list[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    number = 0
    for record in records:
        image_id, pending = int(record["index"]) + 1, _pending_file(root, record["index"])
        new = json.loads(pending.read_text(encoding="utf-8")) if pending.exists() else finished[image_id]
        for annotation in new:
            number += 1  # from 1: COCO's evaluation takes id 0 for "unmatched"
            yield {"id": number, "image_id": image_id, **annotation}
