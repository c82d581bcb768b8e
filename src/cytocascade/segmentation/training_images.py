"""Annotated images as Cellpose trains on them: normalised, and volumes as isotropic slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.export.planes import cut
from cytocascade.types import AnnotatedImage, Array, FloatArray

_LEAST_RANGE = 1e-6
"""Of the grey levels, relative to them: below, 32-bit floats hold rounding errors only."""


@dataclass(frozen=True)
class TrainingImage:
    """One 2D image.

    Attributes
    ----------
    image : ndarray of float32, (Y, X)
        0 at the first and 1 at the 99th percentile of the grey levels. Slices of volumes, of which there are thousands,
        are float16.
    labels : ndarray of uint8, uint16 or uint32, (Y, X)
        0 is background.
    """

    image: Array
    labels: Array


def training_images(images: Sequence[AnnotatedImage], slice_step: int) -> list[TrainingImage]:
    """Return the images, or the isotropic slices of the volumes, ready for training.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        2D images or volumes.
    slice_step : int
        Volumes: see `cytocascade.export.planes.cut`.

    Raises
    ------
    CytoCascadeError
        If there is no image with cells.
    """
    found = [one for image in images for one in _planes(image, slice_step)]
    if not any(one.labels.any() for one in found):
        raise CytoCascadeError("there are no cells to train a segmenter on", hint="Give images with annotated cells.")
    return found


def _planes(image: AnnotatedImage, slice_step: int) -> Iterator[TrainingImage]:
    # Cellpose normalises a volume as a whole before it looks at its planes.
    grey = normalised(image.image)
    if image.image.ndim == 2:
        yield TrainingImage(grey, image.labels)
        return
    for plane in cut(replace(image, image=grey), step=slice_step, min_cells=1):
        most = np.finfo(np.float16).max
        slim = np.uint8 if plane.labels.max() <= np.iinfo(np.uint8).max else plane.labels.dtype
        yield TrainingImage(np.clip(plane.image, -most, most).astype(np.float16), plane.labels.astype(slim))


def normalised(image: Array) -> FloatArray:
    """Return the image as Cellpose normalises it: percentiles 1 and 99 become 0 and 1.

    Beyond Cellpose, images work that hold few grey levels outside a uniform background (then the smallest and the
    largest become 0 and 1), and floats of any range. A constant image becomes 0.

    Parameters
    ----------
    image : ndarray, (Y, X) or (Z, Y, X)
        Intensities in any dtype.

    Returns
    -------
    ndarray of float32, same shape
        A new array.
    """
    grey = np.array(image, dtype=np.float32)
    if not grey.size:
        return grey
    low, high = np.percentile(grey, 1), np.percentile(grey, 99)
    if not _differ(low, high):
        low, high = grey.min(), grey.max()
    if not _differ(low, high):
        return np.zeros_like(grey)
    # In place, as Cellpose does: the same rounding, and volumes need no memory twice.
    grey -= low
    grey /= high - low
    return grey


def _differ(low: Any, high: Any) -> bool:
    return bool(high - low > _LEAST_RANGE * max(abs(low), abs(high)))


def mean_diameter(images: Sequence[AnnotatedImage]) -> float:
    """Return the mean diameter of the cells, in pixels: median over the cells of each image, mean over images.

    As Cellpose measures it: the diameter of the disk of the same area (`cellpose.utils.diameters`). In volumes, the
    areas are those in the slices through z that a cell is widest in.
    """
    medians = []
    for image in images:
        areas = _areas(image.labels)
        if areas.size:
            medians.append(float(np.median(2 * np.sqrt(areas / np.pi))))
    if not medians:
        raise CytoCascadeError("there are no cells to train a segmenter on", hint="Give images with annotated cells.")
    return max(5.0, float(np.mean(medians)))


def _areas(labels: Array) -> FloatArray:
    widest: dict[int, int] = {}
    for plane in labels[None] if labels.ndim == 2 else labels:
        # Not by np.bincount: label values may be anything up to 2**32.
        for label, area in zip(*np.unique(plane[plane > 0], return_counts=True)):
            widest[label] = max(widest.get(label, 0), area)
    return np.array(list(widest.values()), dtype=np.float32)
