"""Small stacks on disk, for the tests of what reads stacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

SPACING = (1.0, 0.25, 0.25)
SHAPE = (9, 48, 48)


def cells(count: int = 6, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Return `count` balls, flat in voxels, in two layers of a stack whose end slices are empty."""
    labels = np.zeros(shape, np.uint16)
    z, y, x = np.indices(shape)
    for k in range(count):
        centre = 4 + k % 2, 8 + 15 * (k // 3), 8 + 15 * (k % 3)
        labels[((z - centre[0]) / 2.9) ** 2 + ((y - centre[1]) / 6) ** 2 + ((x - centre[2]) / 6) ** 2 < 1] = k + 1
    return labels


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return path


def image_of(labels: np.ndarray) -> np.ndarray:
    return (100 + np.random.default_rng(0).integers(0, 9, labels.shape) + 50 * (labels > 0)).astype(np.uint16)


def add(root: Path, name: str, labels: np.ndarray, mask: np.ndarray | None = None, **options: object) -> Path:
    """Write the image of `labels` and a mask (`labels` itself) into the folders images/ and masks/."""
    options = options or {"ome": True, "metadata": voxels()}
    save(root / "images" / f"{name}.tif", image_of(labels), **options)
    save(root / "masks" / f"{name}.tif", labels if mask is None else mask)
    return root


def challenge(root: Path, labels: np.ndarray, slices: dict[tuple[int, int], np.ndarray]) -> Path:
    """Write frames of the Cell Tracking Challenge with masks of single slices, by (frame, slice)."""
    for frame in sorted({frame for frame, _ in slices}):
        save(root / f"01/t{frame:03d}.tif", image_of(labels))
    for (frame, z), plane in slices.items():
        save(root / f"01_GT/SEG/man_seg_{frame:03d}_{z:03d}.tif", plane)
    return root


def voxels(spacing: tuple[float, float, float] = SPACING) -> dict[str, object]:
    return {"axes": "ZYX", **{f"PhysicalSize{axis}": size for axis, size in zip("ZYX", spacing)}}


def only(labels: np.ndarray, *slices: int) -> np.ndarray:
    """Return `labels` with all but some slices empty."""
    mask = np.zeros_like(labels)
    mask[list(slices)] = labels[list(slices)]
    return mask
