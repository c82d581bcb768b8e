"""One annotated image as read: its pixels, its labels, and what they tell for and against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.images.pairing import Pair
from cytocascade.images.readers import read_image, read_mask
from cytocascade.images.validation import MIN_AREA, MIN_CELLS, Census, check_geometry, check_instances, take_census
from cytocascade.types import Array

GOLD_COVERAGE = 0.95
"""Share of a frame's cells that a gold mask needs to be complete; silver truth has false cells too."""


@dataclass(frozen=True)
class Entry:
    """An image that was read and checked by itself.

    Attributes
    ----------
    pair : Pair
        The files.
    image, labels : ndarray, (Y, X) or (Z, Y, X)
        Intensities and instance labels.
    spacing : tuple of float or None
        Micrometres per pixel along each axis, if the file states them.
    census : Census
        Counts over the cells.
    sparse : bool
        Whether cells may be visible that carry no label.
    annotated : tuple of int
        For a stack: indices of its annotated slices, ascending.
    """

    pair: Pair
    image: Array
    labels: Array
    spacing: tuple[float, ...] | None
    census: Census
    sparse: bool
    annotated: tuple[int, ...] = ()


def read_entry(pair: Pair, *, sparse: bool, label_components: bool, dim: int) -> Entry:
    """Read a pair of files and check that they are an image of `dim` dimensions and its instance mask.

    Raises
    ------
    CytoCascadeError
        If a file cannot be read, or image and mask do not fit to each other or to `dim`.
    """
    image, spacing = read_image(pair.image)
    labels = read_mask(pair.mask, label_components=label_components)
    return check_entry(pair, image, labels, spacing, sparse=sparse, label_components=label_components, dim=dim)


def check_entry(
    pair: Pair,
    image: Array,
    labels: Array,
    spacing: tuple[float, ...] | None,
    *,
    sparse: bool,
    label_components: bool,
    dim: int,
) -> Entry:
    """Do as `read_entry` with pixels that are read already."""
    check_geometry(image, labels, image_path=pair.image, mask_path=pair.mask, dim=dim)
    if not label_components:
        check_instances(labels, pair.mask)
    census = take_census(labels, from_components=label_components)
    partial = any(census.labelled < GOLD_COVERAGE * _count_labels(file) for file in pair.references)
    return Entry(pair, image, labels, spacing, census, sparse or partial)


def _count_labels(path: Path) -> int:
    labels = np.unique(read_mask(path))
    return int((labels != 0).sum())


def refuse_without_cells(root: Path, entries: Sequence[Entry], *, layout: str) -> None:
    """Refuse a data set without labels, or with fewer than `MIN_CELLS` whole cells in all."""
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


def remarks(entries: Sequence[Entry], empty: Sequence[Entry], *, sparse: bool) -> Iterator[str]:
    """Yield what looks odd in `entries`; `empty` are those without any label."""
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
