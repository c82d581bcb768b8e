"""The annotated slices of stacks: which ones to use, and each as a 2D image of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from skimage.measure import label as connected_components

from cytocascade.errors import CytoCascadeError
from cytocascade.images.validation import MIN_AREA, usable_outlines
from cytocascade.types import AnnotatedImage, AnnotatedStack, Array, label_dtype


def annotated_slices(stacks: Sequence[AnnotatedStack]) -> list[AnnotatedImage]:
    """Return the annotated slices of stacks as 2D images.

    Labels are those of the stack, so that a cell keeps its label through z. Where a slice cuts a cell into
    several pieces, the largest keeps the label and every other one of at least `MIN_AREA` pixels gets a new label above
    all labels of its stack: in a 2D image they are outlines of two cells. Smaller pieces are left with it.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack

    Returns
    -------
    list of AnnotatedImage
        In the order of the stacks and slices, named ``<stack>_z012``, with the spacing (y, x) and the sparsity of
        their stack. Slices without cells are left out if others have some.
    """
    images = []
    for stack in stacks:
        fresh = int(stack.labels.max(initial=0)) + 1
        for z in stack.annotated:
            labels, fresh = _split_pieces(stack.labels[z], fresh)
            images.append(
                AnnotatedImage(
                    image=np.ascontiguousarray(stack.image[z]),
                    labels=labels,
                    spacing=stack.spacing[1:],
                    name=f"{stack.name}_z{z:03d}",
                    spacing_known=stack.spacing_known,
                    sparse=stack.sparse,
                )
            )
    with_cells = [image for image in images if image.labels.any()]
    return with_cells or images


def widest_outlines(stacks: Sequence[AnnotatedStack]) -> list[AnnotatedImage]:
    """Return the annotated slices with every cell only where its outline is largest: about as it looks from above.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
        Labels must mean the same cell in all slices; where they do not, every outline is a cell of its own.

    Returns
    -------
    list of AnnotatedImage
        Slices that hold a cell at its widest, with those cells alone.
    """
    images = []
    for stack in stacks:
        planes = list(stack.annotated)
        count = 1 + int(stack.labels.max(initial=0))
        areas = np.stack([np.bincount(stack.labels[z].ravel(), minlength=count) for z in planes])
        widest = np.asarray(planes)[areas.argmax(axis=0)]
        for z in planes:
            labels = np.where(widest[stack.labels[z]] == z, stack.labels[z], 0).astype(stack.labels.dtype)
            if labels.any():
                images.append(
                    AnnotatedImage(
                        image=np.ascontiguousarray(stack.image[z]),
                        labels=labels,
                        spacing=stack.spacing[1:],
                        name=f"{stack.name}_z{z:03d}",
                        spacing_known=stack.spacing_known,
                        # What is left out is no background: not all cells of this image are annotated any more.
                        sparse=True,
                    )
                )
    return images


def choose_slices(stacks: Sequence[AnnotatedStack], count: int) -> tuple[AnnotatedStack, ...]:
    """Keep at most `count` annotated slices; the labels of the others are set to 0.

    Every stack gives as many as the others if it has them. Within a stack, the slices that hold whole cells are cut
    into equal parts by depth, and the middle of each part is taken; one slice is therefore the middle one, where
    cells are about as wide as they look from above. Nothing is drawn: the same stacks give the same slices.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
    count : int
        Slices in all, at least 1.

    Returns
    -------
    tuple of AnnotatedStack
        The stacks that keep a slice.

    Raises
    ------
    CytoCascadeError
        If `count` is not positive.
    """
    if count < 1:
        raise CytoCascadeError(f"{count} slices are none to learn from", hint="Pass --slices 1 or more.")
    candidates = [_slices_with_cells(stack) for stack in stacks]
    shares = _fair_shares([len(slices) for slices in candidates], count)
    chosen = [[slices[k] for k in _middles(len(slices), share)] for slices, share in zip(candidates, shares)]
    return tuple(_keep(stack, slices) for stack, slices in zip(stacks, chosen) if slices)


def _slices_with_cells(stack: AnnotatedStack) -> list[int]:
    """Return the annotated slices with a whole cell; those with any label if there are none."""
    whole = [z for z in stack.annotated if len(usable_outlines(stack.labels[z]))]
    return whole or [z for z in stack.annotated if stack.labels[z].any()]


def _fair_shares(available: Sequence[int], count: int) -> list[int]:
    """Return how many of `count` each takes, as evenly as what is available allows."""
    shares = [0] * len(available)
    left = min(count, sum(available))
    while left:
        hungry = [k for k, most in enumerate(available) if shares[k] < most]
        turn = hungry if left >= len(hungry) else [hungry[k] for k in _middles(len(hungry), left)]
        for k in turn:
            shares[k] += 1
        left -= len(turn)
    return shares


def _middles(length: int, parts: int) -> list[int]:
    """Return the middles of `parts` equal parts of range(length); parts must not exceed length."""
    return [(2 * part + 1) * length // (2 * parts) for part in range(parts)]


def _keep(stack: AnnotatedStack, slices: Sequence[int]) -> AnnotatedStack:
    labels = np.zeros_like(stack.labels)
    labels[list(slices)] = stack.labels[list(slices)]
    return replace(stack, labels=labels, annotated=tuple(slices))


def _split_pieces(plane: Array, fresh: int) -> tuple[Array, int]:
    """Give second pieces labels from `fresh` on; return the labels (own copy) and the next fresh one."""
    pieces = np.asarray(connected_components(plane))
    sizes = np.bincount(pieces.ravel())
    owner = np.zeros(len(sizes), dtype=np.int64)
    owner[pieces.ravel()] = plane.ravel()
    largest: dict[int, int] = {}
    for piece in range(1, len(sizes)):
        best = largest.setdefault(int(owner[piece]), piece)
        if sizes[piece] > sizes[best]:
            largest[int(owner[piece])] = piece
    for piece in range(1, len(sizes)):
        if largest[int(owner[piece])] != piece and sizes[piece] >= MIN_AREA:
            owner[piece] = fresh
            fresh += 1
    owner[0] = 0
    return owner[pieces].astype(label_dtype(int(owner.max()))), fresh
