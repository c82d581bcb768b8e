"""How alike the texture inside cells is in slices at a distance: one measure for real and synthetic stacks.

For one cell and two slices, over the pixels inside the cell in both (eroded by two pixels, so that the outline does
not count): each slice's quadratic trend over (y, x) is taken off (its mean, a slant and a dome are shape and
illumination, no texture), and the Pearson correlation of what remains is taken. It is averaged over cells and pairs of
slices of the same distance, weighted by pixels.

Camera noise differs from slice to slice and multiplies the correlation at every distance but 0 by the texture's share
of the variance. What a microscope shows is blurred along z, so its correlation starts like a Gaussian; extrapolated
as such from the two smallest distances to 0, it gives that share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.types import AnnotatedStack, Array, BoolArray

REACH = 6.0
"""Largest axial distance, in micrometres, at which slices are compared."""

FEWEST_PIXELS = 80
"""Slices are compared if they have as many pixels of a cell in common."""

_EROSION = 2
_STILL_LIT = 0.7
_RARE = 0.02


class AxialCorrelation(BaseModel):
    """Correlation of the texture inside cells as a function of the axial distance."""

    model_config = ConfigDict(extra="forbid")

    distance: list[float]
    """Axial distances in micrometres, ascending, without 0."""
    correlation: list[float]
    """Correlation at each of them as measured, camera noise included."""
    pixels: list[float]
    """Pixels that were compared at each of them."""
    texture_share: float
    """Share of the variance inside cells that is texture, not noise that differs from slice to slice, in (0, 1]."""

    @property
    def noise_free(self) -> Array:
        """Correlation of the texture alone at `distance`, float64."""
        return np.asarray(self.correlation) / self.texture_share

    def at(self, distance: Array, *, noise_free: bool = True) -> Array:
        """Return the correlation at other distances (micrometres), linearly interpolated; 1 at 0 if `noise_free`."""
        known = self.noise_free if noise_free else np.asarray(self.correlation)
        start = 1.0 if noise_free else self.texture_share
        return np.asarray(np.interp(np.abs(distance), [0.0, *self.distance], [start, *known]))


def measure_axial_correlation(
    image: Array,
    labels: Array,
    spacing: tuple[float, float, float],
    *,
    annotated: Sequence[int] | None = None,
    reach: float = REACH,
) -> AxialCorrelation | None:
    """Return the axial correlation of the texture inside the cells of one stack.

    Parameters
    ----------
    image : ndarray, (Z, Y, X)
        Intensities.
    labels : ndarray of int, (Z, Y, X)
        Instance labels, 0 is background.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    annotated : sequence of int, optional
        Slices whose labels count; by default all. A slice between them is compared with an annotated one inside
        that one's cells, as far as they are still lit there: the mean of the slice inside, above the annotated
        slice's background, is at least 70 %.
    reach : float
        Largest distance in micrometres.

    Returns
    -------
    AxialCorrelation or None
        None if no two slices have enough pixels of a cell in common.

    Raises
    ------
    CytoCascadeError
        If image, labels and spacing do not belong together.
    """
    if image.ndim != 3 or image.shape != labels.shape or len(spacing) != 3:
        raise CytoCascadeError(
            f"image {image.shape}, labels {labels.shape} and spacing {spacing} are no stack with labels",
            hint="Both have the axes (Z, Y, X) and the same shape; the spacing is micrometres along (z, y, x).",
        )
    slices = range(len(image)) if annotated is None else sorted(annotated)
    total: dict[int, float] = defaultdict(float)
    pixels: dict[int, float] = defaultdict(float)
    offsets = range(1, min(len(image) - 1, int(reach / spacing[0] + 1e-6)) + 1)
    for one, other, inside in _pairs(image, labels, list(slices), offsets):
        found = texture_correlation(image[one], image[other], inside)
        if found is not None:
            step = abs(other - one)
            count = float(inside.sum())
            total[step] += found * count
            pixels[step] += count
    steps = sorted(step for step in pixels if pixels[step] >= _RARE * max(pixels.values()))
    if not steps:
        return None
    return _with_share(
        [step * spacing[0] for step in steps],
        [total[step] / pixels[step] for step in steps],
        [pixels[step] for step in steps],
    )


def measure_stacks(stacks: Iterable[AnnotatedStack], *, reach: float = REACH) -> AxialCorrelation | None:
    """Return the axial correlation over several stacks, or None if nothing could be measured.

    Parameters
    ----------
    stacks : iterable of AnnotatedStack
        Stacks of like cells; z-spacings may differ.
    reach : float
        Largest distance in micrometres.
    """
    found = [
        measure_axial_correlation(s.image, s.labels, s.spacing, annotated=s.annotated, reach=reach) for s in stacks
    ]
    return pool_correlations([one for one in found if one is not None])


def pool_correlations(measured: Sequence[AxialCorrelation]) -> AxialCorrelation | None:
    """Return the mean over several stacks, weighted by pixels, at the distances of the coarsest; None of none."""
    if not measured:
        return None
    distances = max((one.distance for one in measured), key=lambda d: (d[0], len(d)))
    total, pixels = np.zeros(len(distances)), np.zeros(len(distances))
    for one in measured:
        weight = np.interp(distances, one.distance, one.pixels, left=0.0, right=0.0)
        total += weight * one.at(np.asarray(distances), noise_free=False)
        pixels += weight
    known = pixels > _RARE * pixels.max()
    return _with_share(
        list(np.asarray(distances)[known]), list(total[known] / pixels[known]), [float(p) for p in pixels[known]]
    )


def texture_correlation(one: Array, other: Array, inside: BoolArray) -> float | None:
    """Return the correlation of two slices inside a mask without their quadratic trends.

    Parameters
    ----------
    one, other : ndarray, (Y, X)
        Intensities or relative signal.
    inside : ndarray of bool, (Y, X)
        Pixels to compare.

    Returns
    -------
    float or None
        In [-1, 1]; None for fewer than `FEWEST_PIXELS` pixels, or without any texture.
    """
    y, x = np.nonzero(inside)
    if len(y) < FEWEST_PIXELS:
        return None
    v, u = (y - y.mean()) / (y.std() + 1e-9), (x - x.mean()) / (x.std() + 1e-9)
    trend = np.linalg.qr(np.stack([np.ones(len(y)), u, v, u * u, u * v, v * v], axis=1))[0]
    values = np.stack([one[y, x], other[y, x]], axis=1).astype(np.float64)
    rest = values - trend @ (trend.T @ values)
    power = np.square(rest).sum(axis=0)
    if not (power > 1e-12 * np.square(values).sum(axis=0)).all():
        return None
    return float(rest[:, 0] @ rest[:, 1] / np.sqrt(power[0] * power[1]))


def _pairs(
    image: Array, labels: Array, annotated: list[int], offsets: Iterable[int]
) -> Iterator[tuple[int, int, BoolArray]]:
    """Give pairs of slices and the pixels inside one cell in both; each pair of annotated slices once."""
    known = set(annotated)
    inner = {z: _eroded(labels[z]) for z in annotated}
    for z in annotated:
        dark = float(np.median(image[z][labels[z] == 0])) if (labels[z] == 0).any() else 0.0
        for label in np.unique(inner[z][inner[z] > 0]):
            inside = inner[z] == label
            lit = float(image[z][inside].mean()) - dark
            for offset in offsets:
                for other in (z + offset, z - offset):
                    if not 0 <= other < len(image) or (other in known and other < z):
                        continue
                    if other in known:
                        yield z, other, inside & (inner[other] == label)
                    elif float(image[other][inside].mean()) - dark >= _STILL_LIT * lit:
                        yield z, other, inside


def _eroded(labels: Array) -> Array:
    """Return the labels of one slice, (Y, X), without the outer two pixels of every cell; an image's border is none."""
    disc = np.hypot(*np.mgrid[-_EROSION : _EROSION + 1, -_EROSION : _EROSION + 1]) <= _EROSION + 0.3
    alone = ndi.minimum_filter(labels, footprint=disc, mode="nearest") == ndi.maximum_filter(
        labels, footprint=disc, mode="nearest"
    )
    return np.asarray(np.where(alone, labels, 0))


def _with_share(distance: list[float], correlation: list[float], pixels: list[float]) -> AxialCorrelation:
    return AxialCorrelation(
        distance=[float(d) for d in distance],
        correlation=[float(c) for c in correlation],
        pixels=[float(p) for p in pixels],
        texture_share=texture_share(distance, correlation),
    )


def texture_share(distance: Sequence[float], correlation: Sequence[float]) -> float:
    """Return the correlation extrapolated to distance 0 as a Gaussian through the two smallest distances.

    Parameters
    ----------
    distance : sequence of float
        Micrometres, ascending.
    correlation : sequence of float
        As measured.

    Returns
    -------
    float
        In (0, 1]. 1, which is to say no noise is known of, if there are fewer than two distances with a positive
        correlation to extrapolate from.
    """
    if len(correlation) < 2 or min(correlation[:2]) <= 0:
        return 1.0
    (near, far), (c_near, c_far) = distance[:2], correlation[:2]
    exponent = near**2 / (far**2 - near**2)
    return float(np.clip(c_near * max(c_near / c_far, 1.0) ** exponent, min(c_near, 1.0), 1.0))
