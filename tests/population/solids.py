"""Small stacks and bodies that the tests of volumes share."""

from __future__ import annotations

import numpy as np

from cytocascade.types import AnnotatedStack, Array, BoolArray

SPACING = (1.0, 0.5, 0.5)


def ellipsoid(height: float, length: float, width: float, spacing: tuple[float, float, float] = SPACING) -> BoolArray:
    """Return an ellipsoid of a size in micrometres in its tight box."""
    reach = [int(side / 2 / step) + 1 for side, step in zip((height, length, width), spacing)]
    grid = np.mgrid[tuple(slice(-side, side + 1) for side in reach)]
    semi = np.array((height, length, width)) / 2 / spacing
    mask = sum((grid[axis] / semi[axis]) ** 2 for axis in range(3)) <= 1
    inside = np.argwhere(mask)
    return np.asarray(mask[tuple(slice(a, b + 1) for a, b in zip(inside.min(axis=0), inside.max(axis=0)))])


def paint(shape: tuple[int, int, int], corners: list[tuple[int, int, int]], mask: BoolArray) -> Array:
    labels = np.zeros(shape, dtype=np.uint16)
    for label, corner in enumerate(corners, start=1):
        labels[tuple(slice(a, a + side) for a, side in zip(corner, mask.shape))][mask] = label
    return labels


def stack(labels: Array, annotated: tuple[int, ...] | None = None, name: str = "a") -> AnnotatedStack:
    """Return labels with an image, brighter inside cells; labels outside annotated slices are lost."""
    image = np.where(labels > 0, 200, 10).astype(np.uint8)
    planes = tuple(range(len(labels))) if annotated is None else annotated
    kept = np.zeros_like(labels)
    for plane in planes:
        # Labels of different slices do not agree.
        kept[plane] = labels[plane] if annotated is None else np.where(labels[plane] > 0, 90 - labels[plane], 0)
    return AnnotatedStack(image, kept, planes, SPACING, name, spacing_known=True)


def layer_labels(shift: int = 0) -> Array:
    """Return 9 flat cells of 6 x 8 x 8 micrometres in a layer 4 micrometres above the first plane."""
    corners = [(4 + (i + j) % 2, 3 + 25 * i + shift, 4 + 26 * j) for i in range(3) for j in range(3)]
    return paint((20, 80, 84), corners, ellipsoid(6, 8, 8))


def ball_labels() -> Array:
    """Return 8 cells in the corners of a cube in the middle of a much larger stack."""
    corners = [(8 + 7 * i, 30 + 14 * j, 30 + 14 * k) for i in range(2) for j in range(2) for k in range(2)]
    return paint((36, 90, 90), corners, ellipsoid(6, 6, 6))


def tissue_labels() -> Array:
    """Return cells everywhere in a stack, cut by all of its sides."""
    grid = [(i, j, k) for i in range(4) for j in range(4) for k in range(4) if (i + j + k) % 3]
    labels = paint((34, 72, 72), [(1 + 8 * i, 2 + 17 * j, 3 + 16 * k) for i, j, k in grid], ellipsoid(6, 6, 6))
    return labels[3:30, 6:62, 6:60]
