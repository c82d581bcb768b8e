"""Reading annotated stacks: found, read, checked, with one voxel size for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.images.common_spacing import SPACING_TOLERANCE, check_given_spacing, common_spacing, micrometres
from cytocascade.images.entries import Entry, check_entry, refuse_without_cells, remarks
from cytocascade.images.layouts import find_pairs
from cytocascade.images.pairing import Pair
from cytocascade.images.readers import read_image, read_mask
from cytocascade.images.slices import annotated_slices, choose_slices
from cytocascade.images.spacing import lateral_spacing
from cytocascade.images.stack_entries import read_stack_entry, refuse_shallow
from cytocascade.images.validation import MIN_CELLS, take_stack_census
from cytocascade.types import AnnotatedImage, AnnotatedStack

_PLAUSIBLE_STEPS = (0.7, 20.0)
"""Steps in z, in pixels, that are common; others are remarked."""


@dataclass(frozen=True)
class StackDataset:
    """The annotated stacks of a user, and 2D images that lie with them or in their stead.

    Attributes
    ----------
    stacks : tuple of AnnotatedStack
        The stacks, in the order of their names; all have one spacing.
    images : tuple of AnnotatedImage
        Images that are 2D, in the order of their names.
    layout : str
        Layout found on disk: ``"folder"``, ``"cellpose"``, ``"ctc"`` or ``"stardist"``.
    root : Path
        Folder (or file) that was read.
    files : tuple of tuple of Path
        For each stack, then for each image: its file and those of its masks.
    warnings : tuple of str
        What was skipped or looks odd, for the user to judge.
    """

    stacks: tuple[AnnotatedStack, ...]
    images: tuple[AnnotatedImage, ...]
    layout: str
    root: Path
    files: tuple[tuple[Path, ...], ...]
    warnings: tuple[str, ...] = ()

    def annotated_images(self) -> list[AnnotatedImage]:
        """Return all that is annotated as 2D images: the slices of the stacks, then the images."""
        return [*annotated_slices(self.stacks), *self.images]


def read_stacks(
    images: str | Path,
    masks: str | Path | None = None,
    *,
    spacing: tuple[float, ...] | None = None,
    sparse: bool = False,
    layout: str = "auto",
    label_components: bool = False,
    slices: int | None = None,
) -> StackDataset:
    """Read and check a data set of annotated stacks, or of 2D images to learn 3D cells from.

    Parameters
    ----------
    images : path-like
        Folder of the stacks (or images) or of the whole data set, or one file.
    masks : path-like, optional
        Folder of the masks (or one mask file), where they do not lie with the images. A mask is a stack itself, or
        of one slice if its name says which (see `cytocascade.images.layouts`).
    spacing : tuple of float, optional
        Micrometres per voxel (z, y, x); overrides what the files state. For 2D images alone also (y, x).
    sparse : bool
        Whether slices and cells without annotation are normal: slices of a mask that are empty are then not annotated,
        otherwise they hold no cell. Stacks without a mask are skipped.
    layout : str
        One of `cytocascade.images.layouts.LAYOUTS`; ``"auto"`` recognises it.
    label_components : bool
        Whether every connected region of a mask is one cell (masks that are binary).
    slices : int, optional
        At most so many annotated slices are kept (`cytocascade.images.slices.choose_slices`); 2D images do not count.

    Returns
    -------
    StackDataset
        Stacks of the Cell Tracking Challenge are marked sparse by themselves where the gold masks have clearly fewer
        cells than the silver masks or the tracking markers in the same slices.

    Raises
    ------
    CytoCascadeError
        As `read_dataset`; and if a stack's spacing is not known, a stack is too thin, slices seem not annotated without
        `sparse`, or masks do not fit to their stacks.
    """
    images = Path(images)
    masks = None if masks is None else Path(masks)
    if spacing is not None:
        check_given_spacing(spacing, 2 if len(spacing) == 2 else 3)
    if slices is not None and slices < 1:
        raise CytoCascadeError(f"{slices} slices are none to learn from", hint="Pass --slices 1 or more.")
    found = find_pairs(images, masks, layout=layout, sparse=sparse, slices=True)
    entries = [_read(pair, sparse=sparse, label_components=label_components) for pair in found.pairs]
    refuse_without_cells(images, entries, layout=found.layout)
    empty = [entry for entry in entries if entry.census.labelled == 0]
    if sparse:
        entries = [entry for entry in entries if entry.census.labelled > 0]
    deep = [entry for entry in entries if entry.image.ndim == 3]
    flat = [entry for entry in entries if entry.image.ndim == 2]
    voxel = _voxel_size(deep, spacing) if deep else None
    pixel = _pixel_size(flat, spacing, voxel)
    stacks = tuple(_as_stack(entry, voxel) for entry in deep if voxel is not None)
    read = sum(len(stack.annotated) for stack in stacks)
    if slices is not None:
        stacks = choose_slices(stacks, slices)
        _refuse_few_cells(images, stacks, flat)
    kept = {stack.name for stack in stacks}
    return StackDataset(
        stacks=stacks,
        images=tuple(_as_image(entry, pixel) for entry in flat),
        layout=found.layout,
        root=images,
        files=tuple(_files(entry.pair) for entry in (*(e for e in deep if e.pair.name in kept), *flat)),
        warnings=(
            *found.warnings,
            *remarks(entries, empty, sparse=sparse),
            *_stack_remarks(deep, voxel),
            *_slice_remarks(stacks, deep, read),
        ),
    )


def _read(pair: Pair, *, sparse: bool, label_components: bool) -> Entry:
    image, spacing = read_image(pair.image)
    if image.ndim == 3:
        return read_stack_entry(pair, image, spacing, sparse=sparse, label_components=label_components)
    if pair.slices:
        raise CytoCascadeError(
            f"the image is 2D (shape {image.shape}), but its masks are of slices ({pair.slices[0][1].name})",
            path=pair.image,
            hint="Save the whole (Z, Y, X) stack, or name the mask like its image.",
        )
    labels = read_mask(pair.mask, label_components=label_components)
    return check_entry(pair, image, labels, spacing, sparse=sparse, label_components=label_components, dim=2)


def _voxel_size(deep: Sequence[Entry], given: tuple[float, ...] | None) -> tuple[float, float, float]:
    """Return micrometres per voxel (z, y, x) of all stacks, as given or as all files state it."""
    if given is not None:
        check_given_spacing(given, 3)
    common = given or common_spacing([(entry.pair.image, entry.spacing) for entry in deep])
    if common is None:
        first = deep[0].pair.image
        lateral = lateral_spacing(first)
        known = f"states pixels of {micrometres(lateral)}, but no z step" if lateral else "states no voxel size"
        example = f"Z,{lateral[0]:g},{lateral[1]:g} with the z step for Z" if lateral else "z,y,x"
        raise CytoCascadeError(
            f"the stack {known}; without it the shapes of cells are unknown",
            path=first,
            hint=f"Give micrometres per voxel by --spacing {example}.",
        )
    z, y, x = (float(size) for size in common)
    for entry in deep:
        refuse_shallow(entry, (z, y, x))
    return z, y, x


def _pixel_size(
    flat: Sequence[Entry], given: tuple[float, ...] | None, voxel: tuple[float, float, float] | None
) -> tuple[float, ...] | None:
    """Return micrometres per pixel (y, x) of the 2D images, which must be that of the stacks if there are any."""
    if given is not None:
        return tuple(float(size) for size in given[-2:])
    stated = [(entry.pair.image, entry.spacing) for entry in flat]
    common = common_spacing(stated)
    if voxel is None or not flat:
        return common
    if common is None or any(abs(a - b) > SPACING_TOLERANCE * b for a, b in zip(common, voxel[1:])):
        states = "states no pixel size" if common is None else f"has pixels of {micrometres(common)}"
        raise CytoCascadeError(
            f"the image {states}, but the stacks have pixels of {micrometres(voxel[1:])}",
            path=flat[0].pair.image,
            hint="Images and stacks need one pixel size: resample the images, or give the true size of all by "
            "--spacing z,y,x.",
        )
    return common


def _refuse_few_cells(root: Path, stacks: Sequence[AnnotatedStack], flat: Sequence[Entry]) -> None:
    usable = sum(take_stack_census(stack.labels, stack.annotated).usable for stack in stacks)
    usable += sum(entry.census.usable for entry in flat)
    if usable < MIN_CELLS:
        used = sum(len(stack.annotated) for stack in stacks)
        raise CytoCascadeError(
            f"only {usable} usable cells in the {used} slices used; at least {MIN_CELLS} are needed",
            path=root,
            hint="Allow more slices by --slices.",
        )


def _as_stack(entry: Entry, spacing: tuple[float, float, float]) -> AnnotatedStack:
    return AnnotatedStack(
        image=entry.image,
        labels=entry.labels,
        annotated=entry.annotated,
        spacing=spacing,
        name=entry.pair.name,
        spacing_known=True,
        sparse=entry.sparse,
    )


def _as_image(entry: Entry, spacing: tuple[float, ...] | None) -> AnnotatedImage:
    return AnnotatedImage(
        image=entry.image,
        labels=entry.labels,
        spacing=spacing or (1.0, 1.0),
        name=entry.pair.name,
        spacing_known=spacing is not None,
        sparse=entry.sparse,
    )


def _files(pair: Pair) -> tuple[Path, ...]:
    return (pair.image, *(path for _, path in pair.slices)) if pair.slices else (pair.image, pair.mask)


def _stack_remarks(deep: Sequence[Entry], voxel: tuple[float, float, float] | None) -> Iterator[str]:
    if voxel is not None:
        step = voxel[0] / voxel[1]
        if not _PLAUSIBLE_STEPS[0] <= step <= _PLAUSIBLE_STEPS[1] or (step == 1 and voxel[1] != voxel[2]):
            yield f"voxels of {micrometres(voxel)} are unusual: is the order z, y, x?"
    for entry in deep:
        deepness, height, width = entry.image.shape
        if 2 * width < min(deepness, height):
            yield f"{entry.pair.image}: the shape {entry.image.shape} is unusual: is z the last axis?"


def _slice_remarks(stacks: Sequence[AnnotatedStack], deep: Sequence[Entry], read: int) -> Iterator[str]:
    total = sum(len(entry.image) for entry in deep)
    if read < total:
        yield f"{read} of {total} slices are annotated"
    used = sum(len(stack.annotated) for stack in stacks)
    if used < read:
        without = len(deep) - len(stacks)
        yield f"used {used} of {read} annotated slices" + (f"; {without} stacks are left out" if without else "")
