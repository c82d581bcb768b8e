"""Which pixels of a real image show nothing but background, and how bright its cells are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.images.background import background_noise, background_pixels, estimate_background
from cytocascade.imaging.texture import smooth_inside
from cytocascade.types import AnnotatedImage, Array, BoolArray, FloatArray

LOCAL = 4.0
"""Standard deviation, in pixels, of the Gaussian that separates texture from noise."""
_SPECK = 1.5


@dataclass(frozen=True)
class PreparedImage:
    """One image, its background pixels and what its cells emit.

    Attributes
    ----------
    image, labels : ndarray
        As read.
    free : ndarray of bool
        Background pixels.
    signal : ndarray of float32
        Image minus local background inside the cells, 0 elsewhere.
    gain : float
        Median over the cells of their mean signal.
    noise : float
        Standard deviation of the background.
    radius : float
        Radius of the median cell, in pixels.
    """

    image: Array
    labels: Array
    free: BoolArray
    signal: FloatArray
    gain: float
    noise: float
    radius: float


def prepare(source: AnnotatedImage) -> PreparedImage:
    """Separate background and cells of an annotated image.

    Raises
    ------
    CytoCascadeError
        Shapes of image and labels differ, or the image holds NaN.
    """
    image, labels = source.image, source.labels
    if image.shape != labels.shape or image.ndim < 2:
        raise CytoCascadeError(
            f"image {image.shape} and labels {labels.shape} differ in shape",
            path=source.name,
            hint="Give images and masks of the same size.",
        )
    if not np.isfinite(image).all():
        raise CytoCascadeError("the image holds NaN or infinite values", path=source.name, hint="Repair the file.")
    # Faint cells are often left out of the masks, so the background is always cleared of what looks like one.
    background = estimate_background(image, labels, sparse=True)
    free = background_pixels(image, labels, sparse=True)
    if not free.any():
        free = background_pixels(image, labels)
    above = np.asarray(image, dtype=np.float32) - background
    ids = np.flatnonzero(np.bincount(labels.ravel()))[1:] if (labels > 0).any() else np.zeros(0, dtype=int)
    ids = ids[ids > 0]
    areas = np.bincount(labels.ravel())[ids]
    means = np.atleast_1d(ndi.mean(above, labels, ids)) if len(ids) else np.zeros(1)
    size = float(np.median(areas)) if len(ids) else 400.0
    radius = (size / np.pi) ** 0.5 if image.ndim == 2 else (0.75 * size / np.pi) ** (1 / 3)
    return PreparedImage(
        image=image,
        labels=labels,
        free=free,
        signal=np.where(labels > 0, above, np.float32(0)),
        gain=float(np.median(means)),
        noise=background_noise(image, background, free),
        radius=radius,
    )


def away_from(labels: Array, free: BoolArray, distance: float) -> BoolArray:
    """Return the background farther than `distance` from the cells, or less far where little is left."""
    gap = np.asarray(ndi.distance_transform_edt(labels == 0)) if (labels > 0).any() else np.full(labels.shape, np.inf)
    for part in (1.0, 0.7, 0.4):
        away = free & (gap > part * distance)
        if away.sum() > 0.3 * free.sum():
            return away
    return free


def without_debris(residual: Array, quiet: BoolArray) -> BoolArray:
    """Return `quiet` without specks and other spots far from the spread of the rest."""
    kept = quiet
    for _ in range(2):
        fine, _ = smooth_inside(residual, quiet, _SPECK)
        coarse, _ = smooth_inside(residual, kept, LOCAL)
        difference = np.abs(fine - coarse)
        spread = 1.4826 * float(np.median(difference[kept]))
        centre = float(np.median(coarse[kept]))
        wide = 1.4826 * float(np.median(np.abs(coarse[kept] - centre)))
        specks = (difference > 5 * spread) & (spread > 0)
        specks |= (np.abs(coarse - centre) > 8 * wide) & (wide > 0)
        cleaned = quiet & ~ndi.binary_dilation(specks & quiet, iterations=5)
        if cleaned.sum() < 0.3 * quiet.sum():
            break
        kept = cleaned
    return kept
