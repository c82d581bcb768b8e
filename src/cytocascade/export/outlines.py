"""Shapes of cells as COCO writes them: polygons on the pixel borders, and run lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from cytocascade.types import Array, BoolArray

_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # right, down, left, up, as (y, x); the next one is a right turn


def outline(mask: BoolArray) -> Array | None:
    """Return the corners of the border of a shape, or None if one closed line cannot describe it.

    Pixel (y, x) covers [x, x + 1) x [y, y + 1), so the outline runs along pixel borders and filling it
    (pycocotools, or `skimage.draw.polygon` after subtracting 0.5) gives back exactly the same pixels.

    Parameters
    ----------
    mask : ndarray of bool, (Y, X)
        Where the shape is.

    Returns
    -------
    ndarray of int, (n, 2), or None
        Corners (x, y), clockwise on the screen. None for empty shapes, shapes in several parts (pixels that
        touch only at a corner are separate) and shapes with holes.
    """
    exits = _border_steps(mask)
    if not exits:
        return None
    left = sum(len(directions) for directions in exits.values())
    position = start = min(exits)
    first = direction = 0  # the topmost left corner is always left along the top of its pixel
    corners = [position]
    while True:
        step = _STEPS[direction]
        position = (position[0] + step[0], position[1] + step[1])
        left -= 1
        # Where two pixels touch at a corner, the right turn keeps to the same pixel.
        following = next(
            turned for turned in ((direction + 1) % 4, direction, (direction + 3) % 4) if turned in exits[position]
        )
        if position == start and following == first:
            break
        if following != direction:
            corners.append(position)
        direction = following
    return np.array(corners)[:, ::-1] if left == 0 else None


def run_lengths(mask: BoolArray, offset: tuple[int, int], shape: tuple[int, int]) -> dict[str, Any]:
    """Return a shape as uncompressed COCO run-length encoding.

    Parameters
    ----------
    mask : ndarray of bool, (Y, X)
        The shape in its bounding box.
    offset : tuple of int
        Position (y, x) of the box in the image.
    shape : tuple of int
        Shape (Y, X) of the image.

    Returns
    -------
    dict
        ``size`` is [height, width]; ``counts`` are lengths of alternating runs of background and
        shape, column by column, beginning with background.
    """
    columns, rows = np.nonzero(mask.T)
    position = (columns + offset[1]) * shape[0] + rows + offset[0]
    breaks = np.flatnonzero(np.diff(position) != 1)
    begins = position[np.r_[0, breaks + 1]]
    ends = position[np.r_[breaks, len(position) - 1]] + 1
    edges = np.stack([begins, ends], axis=1).ravel()
    total = shape[0] * shape[1]
    counts = np.diff(np.r_[0, edges, total] if edges[-1] < total else np.r_[0, edges])
    return {"counts": counts.tolist(), "size": [int(shape[0]), int(shape[1])]}


def _border_steps(mask: BoolArray) -> dict[tuple[int, int], set[int]]:
    """Return, per corner (y, x), the directions in which a border leaves it with the shape at its right."""
    padded = np.pad(mask, 1)
    here = padded[1:-1, 1:-1]
    sides = (
        (here & ~padded[:-2, 1:-1], 0, (0, 0)),  # top side, from its left corner to the right
        (here & ~padded[1:-1, 2:], 1, (0, 1)),  # right side, downwards
        (here & ~padded[2:, 1:-1], 2, (1, 1)),  # bottom side, to the left
        (here & ~padded[1:-1, :-2], 3, (1, 0)),  # left side, upwards
    )
    exits: dict[tuple[int, int], set[int]] = {}
    for border, direction, (down, right) in sides:
        for y, x in np.argwhere(border).tolist():
            exits.setdefault((y + down, x + right), set()).add(direction)
    return exits
