"""Segmenting the images of a user: files in, label files out, and never the same work twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cytocascade.errors import CytoCascadeError
from cytocascade.export.tiff import write_tiff
from cytocascade.images.common_spacing import check_given_spacing
from cytocascade.images.ome_zarr import is_zarr
from cytocascade.images.readers import read_image
from cytocascade.images.spacing import lateral_spacing
from cytocascade.segmentation.base import Segmenter
from cytocascade.segmentation.inputs import named_images
from cytocascade.segmentation.registry import load_segmenter, segmenter_hash
from cytocascade.storage import hash_files, write_json
from cytocascade.types import Array

RECORD_FILE = "segment.json"

SegmentProgress = Callable[[int, int, str], None]
"""Called with (images done, images in all, the one that is worked on)."""


class LabelsMade(BaseModel):
    """What one file of labels was made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str
    """SHA-256 of the image file; of an OME-Zarr image, over its files."""
    segmenter: str
    """SHA-256 of the segmenter's settings and weights."""
    spacing: tuple[float, ...] | None
    """Micrometres per pixel that were asked for; null where those of the image were taken."""
    masks: str
    """SHA-256 of the file of labels."""


class SegmentRecord(BaseModel):
    """``segment.json``: the label files of a folder that `segment_files` made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: dict[str, LabelsMade] = {}
    """By name of the image."""


def segment_files(
    images: Sequence[Path],
    segmenter: Path,
    out: Path,
    *,
    spacing: tuple[float, ...] | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    progress: SegmentProgress | None = None,
) -> list[Path]:
    """Segment images or volumes and write ``NAME_masks.tif`` for each.

    What was made before by the same segmenter from the same image is left as it is, so that an interrupted call can be
    repeated. All images are looked at before the first one is segmented.

    Parameters
    ----------
    images : sequence of Path
        Images or folders of images, as `cytocascade.segmentation.inputs.named_images` takes them.
    segmenter : Path
        Folder of a kept segmenter.
    out : Path
        Folder for the labels (uint16 or uint32, OME-TIFF with the spacing of the image if known) and `RECORD_FILE`.
    spacing : tuple of float, optional
        Micrometres per pixel along each axis of all images, instead of what their files state.
    device : str
        Torch device.
    overwrite : bool
        Whether files that are there already, by whomever, are replaced.
    progress : callable, optional
        Called before each image and at the end.

    Returns
    -------
    list of Path
        The files of labels, those of before included, in the order of the images.

    Raises
    ------
    CytoCascadeError
        If an image is missing or cannot be read, two have the same name, the z step of a volume is unknown, the
        segmenter is missing or damaged, or a file is in the way.
    """
    if out.exists() and not out.is_dir():
        raise CytoCascadeError("this is a file, and a folder is needed for the labels", path=out)
    named = named_images(images)
    trained = load_segmenter(segmenter, device=device)
    made_by = segmenter_hash(segmenter)
    targets = {name: labels_file(out, name) for name in named}
    todo = [name for name in named if overwrite or not targets[name].exists()]
    _refuse_others({name: path for name, path in named.items() if name not in todo}, out, made_by, spacing)
    for name in todo:
        _read(named[name], spacing)
    for number, name in enumerate(todo, len(named) - len(todo)):
        if progress is not None:
            progress(number, len(named), name)
        _segment_one(trained, named[name], out, name, made_by=made_by, spacing=spacing)
    if progress is not None:
        progress(len(named), len(named), "")
    return list(targets.values())


def labels_file(out: Path, name: str) -> Path:
    """Return where the labels of an image are written."""
    return out / f"{name}_masks.tif"


def load_record(out: Path) -> SegmentRecord:
    """Return what is known of the labels in a folder; nothing if it has no record.

    Raises
    ------
    CytoCascadeError
        If the record is damaged.
    """
    file = out / RECORD_FILE
    try:
        return SegmentRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return SegmentRecord()
    except (OSError, ValidationError) as error:
        raise CytoCascadeError(
            "the record of what was segmented is damaged", path=file, hint="Choose another --out, or remove the file."
        ) from error


def _refuse_others(done: dict[str, Path], out: Path, made_by: str, spacing: tuple[float, ...] | None) -> None:
    """Refuse files of labels that are not what this call would write."""
    known = load_record(out).labels
    for name, path in done.items():
        file = labels_file(out, name)
        made = LabelsMade(image=_hash(path), segmenter=made_by, spacing=spacing, masks=_hash(file))
        if known.get(name) != made:
            raise CytoCascadeError(
                f"the labels are there already, but were {_difference(known.get(name), made)}",
                path=file,
                hint="Choose another --out, or replace what is there with --overwrite.",
            )


def _difference(known: LabelsMade | None, now: LabelsMade) -> str:
    if known is None:
        return "not written by this command"
    if known.masks != now.masks:
        return "changed since they were written"
    if known.image != now.image:
        return "made from another image"
    return "made by another segmenter" if known.segmenter != now.segmenter else "made with another spacing"


def _read(path: Path, given: tuple[float, ...] | None) -> tuple[Array, tuple[float, ...] | None]:
    """Return an image and its spacing; for a volume, that must be known."""
    image, spacing = read_image(path)
    if not image.size:
        raise CytoCascadeError("the image is empty", path=path)
    if given is not None:
        check_given_spacing(given, image.ndim)
        return image, given
    if image.ndim == 3 and spacing is None:
        lateral = lateral_spacing(path)
        known = "" if lateral is None else f" (its pixels are {lateral[0]:g} x {lateral[1]:g} um)"
        raise CytoCascadeError(
            f"how far the slices of this volume are apart is unknown{known}",
            path=path,
            hint="Give micrometres along z, y and x: --spacing 0.5,0.2,0.2. Only the ratios matter to the segmenter; "
            "1,1,1 means cubic voxels.",
        )
    return image, spacing


def _segment_one(
    trained: Segmenter, path: Path, out: Path, name: str, *, made_by: str, spacing: tuple[float, ...] | None
) -> None:
    image, used = _read(path, spacing)
    labels = trained.segment(image, used)
    file = labels_file(out, name)
    beside = out / f".{file.name}.new"
    try:
        write_tiff(beside, labels, used or (1.0,) * image.ndim, used is not None)
        made = LabelsMade(image=_hash(path), segmenter=made_by, spacing=spacing, masks=_hash(beside))
        # Read anew each time: other processes may segment other images into the same folder.
        record = SegmentRecord(labels={**load_record(out).labels, name: made})
        # The record first, then the file: if we are killed in between, the image is segmented again.
        write_json(out / RECORD_FILE, record.model_dump(mode="json"))
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


def _hash(path: Path) -> str:
    if is_zarr(path):
        return hash_files(path, [file for file in path.rglob("*") if file.is_file()])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
