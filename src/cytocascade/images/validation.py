"""Whether a mask can be what it is given for, and what in it looks odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import label as connected_components
from skimage.measure import regionprops

from cytocascade.errors import CytoCascadeError
from cytocascade.types import Array

MIN_CELLS = 5
"""Whole cells of at least `MIN_AREA` pixels that a data set must have."""

MIN_AREA = 20
"""Pixels (voxels) below which a labelled region is a speck, not a usable cell."""

_SPECK = 0.05  # of the largest piece: smaller pieces are slips of the brush
_MERGED_BLOB = 0.6  # solidity; 95 % of angular whole cells (T98G) and all nuclei of our data lie above
_LOOKS_MERGED = 0.8  # solidity; 99 % of nuclei lie above


@dataclass(frozen=True)
class Census:
    """Counts over the cells of one mask.

    Attributes
    ----------
    labelled : int
        Cells in the mask.
    cut, small : int
        Cells that touch the frame; others with fewer than `MIN_AREA` pixels.
    usable : int
        The rest, whole cells that shapes can be learned from.
    remarks : tuple of str
        What looks odd in the mask but may be meant.
    """

    labelled: int = 0
    cut: int = 0
    small: int = 0
    usable: int = 0
    remarks: tuple[str, ...] = ()


def check_geometry(image: Array, labels: Array, *, image_path: Path, mask_path: Path, dim: int) -> None:
    """Refuse an image that has not `dim` dimensions and a mask of another shape than its image."""
    if image.ndim != dim:
        if image.ndim == 3:
            problem = f"the image is a 3D stack of shape {image.shape}, but 2D images are read"
            hint = "Pass --dim 3 to read (Z, Y, X) stacks, or save single slices."
        else:
            problem = f"the image is 2D (shape {image.shape}), but --dim 3 asks for (Z, Y, X) stacks"
            hint = "Pass --dim 2."
        raise CytoCascadeError(problem, path=image_path, hint=hint)
    if image.shape != labels.shape:
        swapped = image.ndim == labels.ndim and image.shape[-2:] == labels.shape[:-3:-1]
        raise CytoCascadeError(
            f"the mask has the shape {labels.shape}, its image {image_path} has {image.shape}",
            path=mask_path,
            hint="The mask seems to be transposed (rows and columns swapped)."
            if swapped
            else "Image and mask must cover the same pixels; check that they belong together.",
        )


def check_instances(labels: Array, path: Path) -> None:
    """Refuse a mask that tells cells from background but not from each other.

    That is a mask with a single non-zero value whose pixels form several regions, or (in 2D) one region far
    from convex. One cell alone passes, and so does a compact clump of merged cells: nothing in the mask tells
    the two apart.
    """
    highest = labels.max(initial=0)
    if highest == 0 or ((labels != 0) & (labels != highest)).any():
        return
    pieces = np.asarray(connected_components(labels != 0))
    sizes = np.bincount(pieces.ravel())[1:]
    count = int((sizes >= _SPECK * sizes.max()).sum())
    if count > 1:
        seen = f"in {count} separate regions"
    elif labels.ndim == 2 and sizes.max() >= MIN_AREA and _solidities(pieces).min() < _MERGED_BLOB:
        seen = "in one region too ragged for one cell"
    else:
        return
    raise CytoCascadeError(
        f"the mask is binary: its only label is {int(highest)}, {seen}, so cells cannot be told apart",
        path=path,
        hint="Pass --label-components to take every connected region for one cell; cells that touch will "
        "then be merged, so separate them first (by a watershed in Fiji, say), or save instance labels.",
    )


def take_census(labels: Array, *, from_components: bool = False) -> Census:
    """Count the cells of a mask and note what looks odd.

    Parameters
    ----------
    labels : ndarray of int, (Y, X) or (Z, Y, X)
        Instance labels.
    from_components : bool
        Whether the labels are connected components of a binary mask, where touching cells may be merged.

    Returns
    -------
    Census
    """
    if not labels.any():
        return Census()
    pieces = np.asarray(connected_components(labels))
    sizes = np.bincount(pieces.ravel())
    owner = np.zeros(len(sizes), dtype=np.int64)
    owner[pieces.ravel()] = labels.ravel()
    ids, index, count = np.unique(owner[1:], return_inverse=True, return_counts=True)
    areas = np.bincount(index, weights=sizes[1:])
    cut = np.isin(ids, _labels_at_frame(labels))
    small = ~cut & (areas < MIN_AREA)
    remarks = []
    scattered = [
        int(ids[k]) for k in np.flatnonzero(count > 1) if _far_apart(pieces, 1 + np.flatnonzero(index == k), sizes)
    ]
    if scattered:
        remarks.append(f"{_labels_text(scattered)} in pieces far apart: is it one cell?")
    largest = int(areas.argmax())
    if areas[largest] > 0.5 * labels.size:
        share = areas[largest] / labels.size
        remarks.append(f"label {ids[largest]} covers {share:.0%} of the image: is it the background?")
    if from_components:
        remarks += _component_remarks(labels, areas)
    usable = len(ids) - int(cut.sum()) - int(small.sum())
    return Census(len(ids), int(cut.sum()), int(small.sum()), usable, tuple(remarks))


def take_stack_census(labels: Array, annotated: Sequence[int], *, from_components: bool = False) -> Census:
    """Count the cells of a stack by their outlines in its annotated slices.

    A cell is usable if it is whole in the plane of one slice and has at least `MIN_AREA` pixels there; it may be cut by
    the first or last slice. Slices without annotation between two others are left out when pieces are looked at.

    Parameters
    ----------
    labels : ndarray of int, (Z, Y, X)
        Instance labels.
    annotated : sequence of int
        Indices of the annotated slices, ascending.
    from_components : bool
        As in `take_census`.

    Returns
    -------
    Census
    """
    planes = labels[list(annotated)]
    remarks = take_census(planes[0] if len(planes) == 1 else planes, from_components=from_components).remarks
    seen: set[int] = set()
    inside: set[int] = set()
    usable: set[int] = set()
    for plane in planes:
        outlines = np.unique(plane)
        seen.update(outlines[outlines > 0].tolist())
        inside.update(np.setdiff1d(outlines[outlines > 0], _labels_at_frame(plane)).tolist())
        usable.update(usable_outlines(plane).tolist())
    return Census(len(seen), len(seen - inside), len(inside - usable), len(usable), remarks)


def usable_outlines(plane: Array) -> Array:
    """Return the labels (ascending) that are whole in a 2D mask and have at least `MIN_AREA` pixels."""
    ids, areas = np.unique(plane, return_counts=True)
    large = ids[(ids > 0) & (areas >= MIN_AREA)]
    return np.asarray(np.setdiff1d(large, _labels_at_frame(plane)))


def _component_remarks(labels: Array, areas: Array) -> list[str]:
    remarks = []
    specks = int((areas < MIN_AREA).sum())
    if specks:
        remarks.append(f"{specks} of {len(areas)} components have fewer than {MIN_AREA} pixels")
    if labels.ndim == 2:
        solidity = _solidities(labels)
        merged = int((solidity < _LOOKS_MERGED).sum())
        if merged:
            remarks.append(f"{merged} of {len(areas)} components are not convex: touching cells may be merged")
    return remarks


def _solidities(labels: Array) -> Array:
    """Return area / area of the convex hull of every region of at least `MIN_AREA` pixels; never empty."""
    regions = regionprops(labels.astype(np.int64))
    return np.array([1.0, *(region.solidity for region in regions if region.area >= MIN_AREA)])


def _labels_at_frame(labels: Array) -> Array:
    faces = [labels.take(end, axis=axis).ravel() for axis in range(labels.ndim) for end in (0, -1)]
    return np.asarray(np.unique(np.concatenate(faces)))


def _far_apart(pieces: Array, ids: Array, sizes: Array) -> bool:
    """Return whether a piece lies further from the largest one than half the diameter of that one.

    Pieces split by another cell that lies across are nearer; they are left alone.
    """
    main = ids[sizes[ids].argmax()]
    others = [piece for piece in ids if piece != main and sizes[piece] >= _SPECK * sizes[main]]
    if not others:
        return False
    dimensions = pieces.ndim
    diameter = 2 * (sizes[main] / np.pi) ** 0.5 if dimensions == 2 else (6 * sizes[main] / np.pi) ** (1 / 3)
    tree = cKDTree(np.argwhere(pieces == main))
    gaps = [tree.query(np.argwhere(pieces == piece))[0].min() for piece in others]
    return bool(max(gaps) > max(2.0, 0.5 * diameter))


def _labels_text(labels: list[int]) -> str:
    shown = ", ".join(map(str, labels[:5])) + (", ..." if len(labels) > 5 else "")
    return f"label {shown} is" if len(labels) == 1 else f"labels {shown} are"
