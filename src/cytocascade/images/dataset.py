"""Reading the annotated images of a user: found, read, checked, with one pixel size for all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.images.layouts import find_pairs
from cytocascade.images.pairing import Pair
from cytocascade.images.readers import read_image, read_mask
from cytocascade.images.validation import MIN_AREA, MIN_CELLS, Census, check_geometry, check_instances, take_census
from cytocascade.types import AnnotatedImage, Array

GOLD_COVERAGE = 0.95
"""Share of a frame's cells that a gold mask needs to be complete; silver truth has false cells too."""

_SPACING_TOLERANCE = 0.01


@dataclass(frozen=True)
class AnnotatedDataset:
    """The annotated images of a user.

    Attributes
    ----------
    images : tuple of AnnotatedImage
        The images with their labels, in the order of their names.
    layout : str
        Layout found on disk: ``"folder"``, ``"cellpose"``, ``"ctc"`` or ``"stardist"``.
    root : Path
        Folder (or file) that was read.
    files : tuple of (Path, Path)
        Image and mask file of each entry of `images`.
    warnings : tuple of str
        What was skipped or looks odd, for the user to judge.
    """

    images: tuple[AnnotatedImage, ...]
    layout: str
    root: Path
    files: tuple[tuple[Path, Path], ...]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[AnnotatedImage]:
        return iter(self.images)


@dataclass(frozen=True)
class _Entry:
    pair: Pair
    image: Array
    labels: Array
    spacing: tuple[float, ...] | None
    census: Census
    sparse: bool


def read_dataset(
    images: str | Path,
    masks: str | Path | None = None,
    *,
    spacing: tuple[float, ...] | None = None,
    sparse: bool = False,
    layout: str = "auto",
    label_components: bool = False,
    dim: int = 2,
) -> AnnotatedDataset:
    """Read and check a data set of annotated images.

    Parameters
    ----------
    images : path-like
        Folder of the images or of the whole data set (or one image file).
    masks : path-like, optional
        Folder of the masks (or one mask file), where they do not lie with the images.
    spacing : tuple of float, optional
        Micrometres per pixel along each axis; overrides what the files state. Where neither tells, 1.0 is
        assumed and `AnnotatedImage.spacing_known` is False.
    sparse : bool
        Whether images and cells without annotation are normal. Images without a mask or with an empty one are
        then skipped; otherwise a missing mask is an error and an empty one means an image without cells.
    layout : str
        One of `cytocascade.images.layouts.LAYOUTS`; ``"auto"`` recognises it.
    label_components : bool
        Whether every connected region of a mask is one cell (masks that are binary).
    dim : int
        2 for (Y, X) images, 3 for (Z, Y, X) stacks.

    Returns
    -------
    AnnotatedDataset
        An image of the Cell Tracking Challenge is marked sparse by itself where its gold mask has clearly
        fewer cells than its silver mask or its tracking markers.

    Raises
    ------
    CytoCascadeError
        If no pair is found, files are damaged or of the wrong kind, shapes or pixel sizes differ, masks are
        binary or all empty, or there are fewer than `MIN_CELLS` whole cells.
    """
    images = Path(images)
    masks = None if masks is None else Path(masks)
    if dim not in (2, 3):
        raise CytoCascadeError(f"images have 2 or 3 dimensions, not {dim}", hint="Pass --dim 2 or --dim 3.")
    if spacing is not None:
        _check_given_spacing(spacing, dim)
    found = find_pairs(images, masks, layout=layout, sparse=sparse)
    entries = [_read(pair, sparse=sparse, label_components=label_components, dim=dim) for pair in found.pairs]
    _refuse_without_cells(images, entries, layout=found.layout)
    empty = [entry for entry in entries if entry.census.labelled == 0]
    if sparse:
        entries = [entry for entry in entries if entry.census.labelled > 0]
    common = spacing if spacing is not None else _common_spacing(entries)
    annotated = (
        AnnotatedImage(
            image=entry.image,
            labels=entry.labels,
            spacing=(1.0,) * dim if common is None else tuple(float(size) for size in common),
            name=entry.pair.name,
            spacing_known=common is not None,
            sparse=entry.sparse,
        )
        for entry in entries
    )
    return AnnotatedDataset(
        images=tuple(annotated),
        layout=found.layout,
        root=images,
        files=tuple((entry.pair.image, entry.pair.mask) for entry in entries),
        warnings=found.warnings + tuple(_remarks(entries, empty, sparse=sparse)),
    )


def _read(pair: Pair, *, sparse: bool, label_components: bool, dim: int) -> _Entry:
    image, spacing = read_image(pair.image)
    labels = read_mask(pair.mask, label_components=label_components)
    check_geometry(image, labels, image_path=pair.image, mask_path=pair.mask, dim=dim)
    if not label_components:
        check_instances(labels, pair.mask)
    census = take_census(labels, from_components=label_components)
    partial = any(census.labelled < GOLD_COVERAGE * _count_labels(file) for file in pair.references)
    return _Entry(pair, image, labels, spacing, census, sparse or partial)


def _count_labels(path: Path) -> int:
    labels = np.unique(read_mask(path))
    return int((labels != 0).sum())


def _check_given_spacing(spacing: Sequence[float], dim: int) -> None:
    axes = "(z, y, x)" if dim == 3 else "(y, x)"
    if len(spacing) != dim:
        raise CytoCascadeError(
            f"spacing has {len(spacing)} values, {dim} are needed {axes}",
            hint="Give micrometres per pixel for every axis by --spacing.",
        )
    if not all(math.isfinite(size) and size > 0 for size in spacing):
        raise CytoCascadeError(
            f"spacing {tuple(spacing)} is not positive", hint="Give micrometres per pixel by --spacing."
        )


def _common_spacing(entries: Sequence[_Entry]) -> tuple[float, ...] | None:
    """Return the pixel size that all images state (the first one's), or None if none states any."""
    first = next((entry for entry in entries if entry.spacing is not None), None)
    if first is None or first.spacing is None:
        return None
    for entry in entries:
        if entry.spacing is None:
            states = "states no pixel size"
        elif any(abs(a - b) > _SPACING_TOLERANCE * b for a, b in zip(entry.spacing, first.spacing)):
            states = f"has pixels of {_micrometres(entry.spacing)}"
        else:
            continue
        raise CytoCascadeError(
            f"the image {states}, but {first.pair.image.name} has pixels of {_micrometres(first.spacing)}",
            path=entry.pair.image,
            hint="All images need one pixel size: resample them, or if they only say it wrongly, give the "
            "true one by --spacing.",
        )
    return first.spacing


def _micrometres(spacing: Sequence[float]) -> str:
    return " x ".join(f"{size:g}" for size in spacing) + " um"


def _refuse_without_cells(root: Path, entries: Sequence[_Entry], *, layout: str) -> None:
    total = sum(entry.census.labelled for entry in entries)
    if total == 0:
        raise CytoCascadeError(
            f"all {len(entries)} masks are empty (layout '{layout}', first {entries[0].pair.mask})",
            path=root,
            hint="Masks need values above 0 where cells are.",
        )
    usable = sum(entry.census.usable for entry in entries)
    if usable >= MIN_CELLS:
        return
    cut = sum(entry.census.cut for entry in entries)
    small = sum(entry.census.small for entry in entries)
    raise CytoCascadeError(
        f"only {usable} usable cells; at least {MIN_CELLS} are needed. Of {total} labelled cells in "
        f"{len(entries)} images {cut} are cut by the frame and {small} have fewer than {MIN_AREA} pixels",
        path=root,
        hint="Annotate more cells that lie wholly inside the images.",
    )


def _remarks(entries: Sequence[_Entry], empty: Sequence[_Entry], *, sparse: bool) -> Iterator[str]:
    if empty:
        names = ", ".join(entry.pair.name for entry in empty[:3]) + (", ..." if len(empty) > 3 else "")
        yield f"{len(empty)} masks are empty ({names}): " + ("skipped" if sparse else "taken for background")
    partial = [entry for entry in entries if entry.sparse] if not sparse else []
    if partial:
        yield (
            f"{len(partial)} gold masks cover only some cells (first {partial[0].pair.mask.name}): "
            "these images are taken as sparsely annotated"
        )
    kinds = sorted({str(entry.image.dtype) for entry in entries})
    if len(kinds) > 1:
        yield f"images differ in pixel type ({', '.join(kinds)}): were they acquired alike?"
    for entry in entries:
        if entry.image.min() == entry.image.max():
            yield f"{entry.pair.image}: all pixels have the same value"
        for remark in entry.census.remarks:
            yield f"{entry.pair.mask}: {remark}"
