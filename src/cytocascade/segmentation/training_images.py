"""Annotated images as Cellpose trains on them: normalised, and volumes as isotropic slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.export.planes import cut
from cytocascade.types import AnnotatedImage, Array, FloatArray


@dataclass(frozen=True)
class TrainingImage:
    """One 2D image.

    Attributes
    ----------
    image : ndarray of float32, (2, Y, X)
        0 at the first and 1 at the 99th percentile of the grey levels; the second channel is empty.
    labels : ndarray of uint16 or uint32, (Y, X)
        0 is background.
    """

    image: FloatArray
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
        yield TrainingImage(np.stack([grey, np.zeros_like(grey)]), image.labels)
        return
    for plane in cut(replace(image, image=grey), step=slice_step, min_cells=1):
        channel = plane.image.astype(np.float32)
        yield TrainingImage(np.stack([channel, np.zeros_like(channel)]), plane.labels)


def normalised(image: Array) -> FloatArray:
    """Return the image as Cellpose normalises it: percentiles 1 and 99 become 0 and 1."""
    grey = image.astype(np.float32)
    low, high = np.percentile(grey, (1, 99))
    if high - low < 1e-3:
        return np.zeros_like(grey)
    return np.asarray((grey - low) / (high - low), dtype=np.float32)


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
    planes = labels[None] if labels.ndim == 2 else labels
    counts = np.stack([np.bincount(plane.ravel(), minlength=int(labels.max()) + 1) for plane in planes])
    widest = counts.max(axis=0)[1:]
    return np.asarray(widest[widest > 0], dtype=np.float32)
