"""Masks as pictures, white on black, and back: what diffusers' pipelines learn and make."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from skimage.measure import label
from torch import Tensor
from torch.nn import functional

from cytocascade.images.cells import CROP_SIZE, signed_distance
from cytocascade.masks.maskddpm import clean_mask
from cytocascade.types import FloatArray

SMALLEST = 12
"""Fewest pixels of a mask in a picture."""

FINE = 256
"""Height and width at which outlines are looked at, so that they are smooth on the canonical grid."""


def to_picture(distance: Tensor, size: int) -> Tensor:
    """Return pictures of masks, white on black, with soft edges two pixels wide.

    Parameters
    ----------
    distance : Tensor, (B, 1, 64, 64)
        Signed distance to the outline in canonical pixels, positive inside.
    size : int
        Height and width of the pictures, which show the whole crop.

    Returns
    -------
    Tensor, (B, 1, size, size), in [-1, 1]
    """
    scale = size / distance.shape[-1]
    if scale < 1:
        resized = functional.interpolate(distance, size=(size, size), mode="area")
    elif scale > 1:
        resized = functional.interpolate(distance, size=(size, size), mode="bilinear", align_corners=False)
    else:
        resized = distance
    return (resized * scale).clamp(-1, 1)


def largest_mask(picture: FloatArray) -> FloatArray | None:
    """Return the signed distance to the outline of the largest white region, without its holes.

    Parameters
    ----------
    picture : ndarray, (size, size) float32
        Grey values in [0, 1].

    Returns
    -------
    ndarray, (F, F) float32, or None
        In pixels of the picture, positive inside; F is a multiple of `size`, at least `FINE`. None if nothing is white,
        or the region reaches the border of the picture: it is then no whole cell.
    """
    factor = -(-FINE // len(picture))
    fine = ndi.zoom(picture, factor, order=1, mode="nearest", grid_mode=True) if factor > 1 else picture
    components = label(fine > 0.5, connectivity=1)
    areas = np.bincount(components.ravel())[1:]
    if not len(areas) or areas.max() < SMALLEST * factor**2:
        return None
    filled = ndi.binary_fill_holes(components == 1 + int(areas.argmax()))
    if filled[[0, -1]].any() or filled[:, [0, -1]].any():
        return None
    return np.asarray(signed_distance(filled, (1.0, 1.0)) / factor, dtype=np.float32)


def mask_area(distance: FloatArray, size: int) -> float:
    """Return the area, in pixels of the picture of this `size`, of a mask from `largest_mask`."""
    return float((distance > 0).sum()) * (size / len(distance)) ** 2


def fitting_scale(distance: FloatArray, size: int) -> float:
    """Return the largest scale at which a mask from `largest_mask` fits into the canonical crop."""
    extent = max(int(np.ptp(axis)) + 1 for axis in np.nonzero(distance > 0)) * size / len(distance)
    return (CROP_SIZE - 4) / extent


def on_crop(distance: FloatArray, size: int, scale: float) -> FloatArray | None:
    """Put a mask into the middle of the canonical crop.

    Parameters
    ----------
    distance : ndarray, (F, F) float32
        From `largest_mask`.
    size : int
        Height and width of the picture.
    scale : float
        Canonical pixels per pixel of the picture.

    Returns
    -------
    ndarray, (64, 64) float32, or None
        Signed distance in canonical pixels, positive inside; None if the mask does not fit into the crop.
    """
    inside = np.nonzero(distance > 0)
    middle = np.asarray([(axis.min() + axis.max()) / 2 for axis in inside])
    step = len(distance) / size / scale
    offset = middle - step * (CROP_SIZE - 1) / 2
    moved = ndi.affine_transform(
        distance, [step, step], offset, output_shape=(CROP_SIZE, CROP_SIZE), order=1, mode="nearest"
    )
    return clean_mask(np.asarray(moved * scale, dtype=np.float32))
