"""Neighbours look alike: cells that lie side by side are about as bright as each other.

Daughters of one cell share what it held, and stain, focus and illumination vary slowly over a field. In four sets of
real fluorescence images the light of nearest neighbours correlates by 0.4 to 0.65 within an image, that of touching
nuclei by more. A segmenter that learns from touching cells of unlike brightness learns to look for the step between
them, which is not there where it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from cytocascade.types import AnnotatedImage, Array, FloatArray

USUAL = 0.55
"""Correlation of the light of nearest neighbours where few or none have been measured."""

USUAL_WORTH = 15
"""How many measured pairs that outweighs."""

REACH = 2.0
"""Distance of centres, in diameters of the usual cell, at which the correlation has fallen to 0.61."""

_NEAR = 1.6
"""Farthest distance of nearest neighbours, in diameters."""

_BESIDE = 1.15
"""Usual distance of nearest neighbours, in diameters."""

_APART = 0.33
"""Mean of the Gaussian of `REACH` over all pairs of a field of some twenty cells."""

_WAVES = 256
_LEAST_AREA = 0.3
_FEW = 6


def fit_neighbours(images: Sequence[AnnotatedImage]) -> float:
    """Return the correlation of the light of nearest neighbours within an image, shrunk towards `USUAL`.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Fluorescence. Light is the logarithm of a cell's mean above the median of the background; cells much smaller
        than the others (fragments) are left out.

    Returns
    -------
    float
        In [0, 1).
    """
    unlike: list[float] = []
    spread: list[float] = []
    for image in images:
        light, centres, diameter = _cells_of(image)
        if len(light) < _FEW:
            continue
        distance, index = cKDTree(centres).query(centres, k=2)
        near = distance[:, 1] < _NEAR * diameter
        unlike += [float(value) for value in (light - light[index[:, 1]])[near] ** 2]
        spread += [float(value) for value in (light - light.mean()) ** 2 * len(light) / (len(light) - 1)]
    # Most pairs are found from both sides.
    count = len(unlike) / 2
    if not count or np.mean(spread) == 0:
        return USUAL
    measured = 1.0 - float(np.mean(unlike)) / (2.0 * float(np.mean(spread)))
    shrunk = (count * measured + USUAL_WORTH * USUAL) / (count + USUAL_WORTH)
    return round(float(np.clip(shrunk, 0.0, 0.99)), 4)


def _cells_of(image: AnnotatedImage) -> tuple[Array, Array, float]:
    labels = np.asarray(image.labels)
    present = np.unique(labels[labels > 0])
    if not len(present) or not (labels == 0).any():
        return np.empty(0), np.empty((0, labels.ndim)), 1.0
    level = float(np.median(image.image[labels == 0]))
    mean = np.asarray(ndi.mean(np.asarray(image.image, dtype=np.float64), labels, present)) - level
    area = np.bincount(labels.ravel())[present]
    centres = np.asarray(ndi.center_of_mass(labels > 0, labels, present)) * np.asarray(image.spacing)
    used = (area >= _LEAST_AREA * np.median(area)) & (mean > 0)
    size = float(np.median(area)) * float(np.prod(image.spacing))
    return np.log(mean[used]), centres[used], 2 * float(np.sqrt(size / np.pi))


def alike(
    light: Array, centres: Array, diameter: float, correlation: float, generator: np.random.Generator
) -> FloatArray:
    """Return light that was drawn for every cell alone as it is where neighbours are alike.

    Parameters
    ----------
    light : ndarray, (n,)
        Logarithm of how bright cells are, drawn independently.
    centres : ndarray, (n, 2)
        Where they are.
    diameter : float
        Of the usual cell, in units of `centres`.
    correlation : float, [0, 1)
        Between nearest neighbours, within a field.
    generator : numpy.random.Generator
        Source of what neighbours share.

    Returns
    -------
    ndarray of float32, (n,)
        Mean and standard deviation over the field are those of `light`. What neighbours share is a Gaussian process,
        whose correlation falls with the distance as a Gaussian does, to 0.61 at `REACH` diameters; drawn from random
        waves (Rahimi and Recht, NIPS 2007), which takes no longer per cell in large fields.
    """
    if len(light) < 3 or np.std(light) == 0:
        return np.asarray(light, dtype=np.float32)
    beside = np.exp(-0.5 * (_BESIDE / REACH) ** 2)
    # What all cells of a field share is no difference between them: neighbours are less alike within it than in all.
    share = min(correlation / (beside - _APART * (1.0 - correlation)), 0.99)
    waves = generator.standard_normal((centres.shape[1], _WAVES)) / (REACH * diameter)
    phases = generator.uniform(0.0, 2.0 * np.pi, _WAVES)
    shared = np.sqrt(2.0 / _WAVES) * np.cos(np.asarray(centres) @ waves + phases).sum(axis=1)
    mean, spread = np.mean(light), float(np.std(light))
    mixed = np.sqrt(1.0 - share) * (light - mean) + np.sqrt(share) * spread * shared
    mixed -= mixed.mean()
    return np.asarray(mean + mixed * (spread / max(float(np.std(mixed)), 1e-9)), dtype=np.float32)
