"""One stack as read: its labels slice by slice, which slices are annotated, and whether all that can be meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage.measure import label as connected_components

from cytocascade.errors import CytoCascadeError
from cytocascade.images.entries import GOLD_COVERAGE, Entry
from cytocascade.images.label_continuity import check_links, refuse_gaps, separate_distant
from cytocascade.images.pairing import Pair
from cytocascade.images.readers import read_mask
from cytocascade.images.validation import check_geometry, check_instances, take_stack_census
from cytocascade.types import Array, label_dtype

MIN_SLICES = 4
"""Slices below which a file is no stack but a few images, channels or time points."""

_NOT_Z = (
    "Is the first axis really z, not time or channels? Save each time point or channel as a file of its own; "
    "single 2D images are read too."
)
_HOW_TO_GIVE_SLICES = (
    "Name it by its slice, counted from 0: {name}_z012.tif (man_seg_000_012.tif in the layout ctc). Or save a mask of "
    "the whole stack that is 0 in all other slices, and pass --sparse."
)


def read_stack_entry(
    pair: Pair,
    image: Array,
    spacing: tuple[float, ...] | None,
    *,
    sparse: bool,
    label_components: bool,
) -> Entry:
    """Read the masks of a stack.

    Parameters
    ----------
    pair : Pair
        The files: one mask of the whole stack, or masks of single slices.
    image : ndarray, (Z, Y, X)
        The stack.
    spacing : tuple of float or None
        Micrometres per voxel (z, y, x), if the file states them.
    sparse : bool
        Whether empty slices are not annotated, and cells may lack a label.
    label_components : bool
        Whether every connected region of equal value is one cell.

    Returns
    -------
    Entry
        `Entry.annotated` is empty if nothing is labelled and `sparse`. A label that goes on after slices without
        annotation, but at another place, has a new number there.

    Raises
    ------
    CytoCascadeError
        If the stack is thin or thinner than its cells, masks do not fit, slices seem not annotated without `sparse`,
        cells cannot be told apart, or labels are not linked through z.
    """
    _refuse_few_slices(image, pair.image)
    labels = _masks_of_slices(pair, image.shape) if pair.slices else _mask_of_stack(pair, image)
    annotated = tuple(z for z, _ in pair.slices) or tuple(range(len(image)))
    if sparse:
        annotated = tuple(z for z in annotated if labels[z].any())
    elif not pair.slices:
        refuse_gaps(labels, pair.mask)
    if label_components:
        labels = np.asarray(connected_components(labels))
        labels = labels.astype(label_dtype(int(labels.max(initial=0))))
    else:
        _check_instances(pair, labels, annotated)
    labels, renamed = separate_distant(labels, annotated)
    odd = check_links(labels, annotated, pair.mask)
    if renamed:
        odd += (f"{renamed} labels are at another place in the next annotated slice: taken for other cells",)
    census = take_stack_census(labels, annotated, from_components=label_components)
    census = replace(census, remarks=odd + census.remarks)
    if len(annotated) == len(image):
        _refuse_cells_without_ends(labels, pair.image)
    partial = _is_partial(pair, labels, annotated)
    return Entry(pair, image, labels, spacing, census, sparse or partial, annotated)


def refuse_shallow(entry: Entry, spacing: Sequence[float]) -> None:
    """Refuse a stack that is less deep than a quarter of its cells' width; `spacing` is (z, y, x) in micrometres."""
    widest: dict[int, int] = {}
    for z in entry.annotated:
        ids, areas = np.unique(entry.labels[z], return_counts=True)
        for label, area in zip(ids.tolist(), areas.tolist()):
            widest[label] = max(widest.get(label, 0), area)
    widest.pop(0, None)
    if not widest:
        return
    width = 2 * float(np.sqrt(np.median(list(widest.values())) * spacing[1] * spacing[2] / np.pi))
    depth = len(entry.image) * spacing[0]
    if depth < 0.25 * width:
        raise CytoCascadeError(
            f"the stack is {depth:.3g} um deep ({len(entry.image)} slices of {spacing[0]:g} um), but its cells are "
            f"{width:.3g} um wide: too thin to hold them",
            path=entry.pair.image,
            hint=f"Check the z step (--spacing z,y,x). {_NOT_Z}",
        )


def _refuse_few_slices(image: Array, path: Path) -> None:
    if len(image) < MIN_SLICES:
        raise CytoCascadeError(
            f"the stack has only {len(image)} slices (shape {image.shape}); at least {MIN_SLICES} are needed",
            path=path,
            hint=_NOT_Z,
        )


def _refuse_cells_without_ends(labels: Array, path: Path) -> None:
    """Refuse a stack most of whose cells run from the first to the last slice."""
    through = np.intersect1d(labels[0], labels[-1])
    through = through[through > 0]
    total = int((np.unique(labels) > 0).sum())
    if len(through) > 0.5 * total:
        raise CytoCascadeError(
            f"the stack is thinner than its cells: {len(through)} of {total} run from the first to the last slice",
            path=path,
            hint=_NOT_Z,
        )


def _mask_of_stack(pair: Pair, image: Array) -> Array:
    labels = read_mask(pair.mask)
    if labels.ndim == 2:
        raise CytoCascadeError(
            f"the mask is 2D, but its image {pair.image} is a stack of {len(image)} slices, and nothing tells which "
            "one it is of",
            path=pair.mask,
            hint=_HOW_TO_GIVE_SLICES.format(name=pair.name),
        )
    if labels.shape[1:] == image.shape[1:] and len(labels) != len(image):
        raise CytoCascadeError(
            f"the mask has {len(labels)} slices, its image {pair.image} has {len(image)}",
            path=pair.mask,
            hint="Image and mask must cover the same slices. If only some are annotated, put them at their place, "
            "leave the others 0 and pass --sparse.",
        )
    if labels.shape == image.shape[::-1] != image.shape:
        raise CytoCascadeError(
            f"the mask has the shape {labels.shape}, its image {pair.image} has {image.shape}",
            path=pair.mask,
            hint="The axes of one of them seem to be in the order (X, Y, Z); both must be (Z, Y, X).",
        )
    check_geometry(image, labels, image_path=pair.image, mask_path=pair.mask, dim=3)
    return labels


def _masks_of_slices(pair: Pair, shape: tuple[int, ...]) -> Array:
    """Put the masks of single slices into a stack that is 0 elsewhere."""
    labels = np.zeros(shape, dtype=np.uint32)
    for z, path in pair.slices:
        if z >= shape[0]:
            counted = " Slices are counted from 0." if z == shape[0] else ""
            raise CytoCascadeError(
                f"the mask is of slice {z}, but the stack {pair.image} has {shape[0]} slices (0 to {shape[0] - 1})",
                path=path,
                hint=f"Check the slice number in the mask's name.{counted}",
            )
        plane = read_mask(path)
        if plane.shape != shape[1:]:
            raise CytoCascadeError(
                f"the mask has the shape {plane.shape}, a slice of {pair.image} has {shape[1:]}",
                path=path,
                hint="The mask of one slice must be 2D and cover the same pixels.",
            )
        labels[z] = plane
    return labels.astype(label_dtype(int(labels.max())))


def _check_instances(pair: Pair, labels: Array, annotated: Sequence[int]) -> None:
    """Check every slice that has a mask of its own, or every run of neighbouring annotated slices."""
    if pair.slices:
        for z, path in pair.slices:
            check_instances(labels[z], path)
        return
    for run in _runs(annotated):
        check_instances(labels[run[0]] if len(run) == 1 else labels[run[0] : run[-1] + 1], pair.mask)


def _runs(annotated: Sequence[int]) -> Iterator[list[int]]:
    run: list[int] = []
    for z in annotated:
        if run and z != run[-1] + 1:
            yield run
            run = []
        run.append(z)
    if run:
        yield run


def _is_partial(pair: Pair, labels: Array, annotated: Sequence[int]) -> bool:
    """Return whether clearly fewer cells are labelled than a mask that names all cells knows in these slices."""
    for path in pair.references:
        complete = read_mask(path)
        check_geometry(labels, complete, image_path=pair.image, mask_path=path, dim=3)
        if pair.slices:
            here, there = (sum(_count(stack[z]) for z in annotated) for stack in (labels, complete))
        else:
            here, there = (_count(stack[list(annotated)]) for stack in (labels, complete))
        if here < GOLD_COVERAGE * there:
            return True
    return False


def _count(labels: Array) -> int:
    return int((np.unique(labels) > 0).sum())
