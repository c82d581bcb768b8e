"""Labels of a volume by Cellpose's 3D mode, in tiles that suit the volume's planes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cytocascade.segmentation.cellpose_network import CHANNELS, cellpose_module
from cytocascade.types import Array, FloatArray

USUAL_TILE = 224
"""Side of Cellpose's tiles, in rescaled pixels."""

MOST_TILE = 640
"""Largest side that is chosen here; one tile of it takes about twice the memory of Cellpose's usual batch."""

_OVERLAP = 0.1
_MARGIN, _MULTIPLE = 16, 16
_PIXELS_AT_ONCE = 4 * USUAL_TILE**2
_STEPS_OF_FLOW = 200


def label_volume(
    net: Any, grey: FloatArray, *, rescale: float, anisotropy: float, min_size: int, max_size_fraction: float
) -> Array:
    """Return the labels that ``CellposeModel.eval(do_3D=True)`` returns, in less time.

    Planes from three sides go through the network and their flows are added up. Cellpose cuts planes into tiles of 224
    pixels that overlap, made for the memory of graphics cards: a plane of 256 pixels becomes four tiles, 2.7 times its
    area. Here the tiles are as large as is best; nothing else differs.

    Parameters
    ----------
    net : torch.nn.Module
        Cellpose's network.
    grey : ndarray of float32, (Z, Y, X)
        Normalised intensities; at least two slices.
    rescale : float
        Pixels that the network sees per pixel along y and x.
    anisotropy : float
        Spacing along z as a multiple of that along y and x.
    min_size : int
        Voxels of the smallest cell that is kept.
    max_size_fraction : float
        Part of the volume that the largest cell may fill.

    Returns
    -------
    ndarray of uint16 or uint32, (Z, Y, X)
        0 is background.
    """
    flows = _flows(net, grey, rescale, anisotropy)
    labels = cellpose_module("dynamics").resize_and_compute_masks(
        flows[..., :3].transpose(3, 0, 1, 2),
        flows[..., 3],
        niter=_STEPS_OF_FLOW / rescale,
        do_3D=True,
        min_size=min_size,
        max_size_fraction=max_size_fraction,
        device=net.device,
    )
    return np.asarray(labels)


def tile_side(planes: Sequence[tuple[int, int]]) -> int:
    """Return the side of the tiles that cover planes with the fewest pixels.

    Parameters
    ----------
    planes : sequence of (int, int)
        Rows and columns of the planes that the network sees.
    """

    def pixels(side: int) -> int:
        return sum(_covered(rows, side) * _covered(columns, side) for rows, columns in planes)

    return min(range(USUAL_TILE, MOST_TILE + 1, _MULTIPLE), key=pixels)


def _covered(length: int, side: int) -> int:
    """Return the pixels that tiles cover along an axis, as `cellpose.transforms.make_tiles` lays them."""
    padded = _padded(length)
    return padded if padded <= side else math.ceil((1 + 2 * _OVERLAP) * padded / side) * side


def _padded(length: int) -> int:
    return math.ceil(length / _MULTIPLE) * _MULTIPLE + _MARGIN


def _flows(net: Any, grey: FloatArray, rescale: float, anisotropy: float) -> FloatArray:
    """Return flows along z, y and x and the cell probability, (Z, Y, X, 4); steps are those of Cellpose."""
    resize = cellpose_module("transforms").resize_image
    depth, height, width = grey.shape
    seen = np.stack([grey, *[np.zeros_like(grey)] * (CHANNELS - 1)], axis=-1)
    rows, columns, slices = int(height * rescale), int(width * rescale), int(depth * anisotropy * rescale)
    if rescale != 1.0:
        seen = resize(seen, Ly=rows, Lx=columns)
    if slices != depth:
        seen = resize(seen.transpose(1, 0, 2, 3), Ly=slices, Lx=columns).transpose(1, 0, 2, 3)
    planes = [(rows, columns), (slices, columns), (slices, rows)]
    side = tile_side(planes)
    area = max(min(side, _padded(a)) * min(side, _padded(b)) for a, b in planes)
    found = cellpose_module("core").run_3D(
        net, seen, batch_size=max(1, _PIXELS_AT_ONCE // area), tile_overlap=_OVERLAP, bsize=side
    )[0]
    if rescale != 1.0:
        found = resize(found, Ly=height, Lx=width)
    if slices != depth:
        found = resize(found.transpose(1, 0, 2, 3), Ly=depth, Lx=width).transpose(1, 0, 2, 3)
    return np.asarray(found)
