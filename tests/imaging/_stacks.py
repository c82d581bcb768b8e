"""Stacks of ellipsoids seen through a known microscope, with few annotated slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cytocascade.imaging.blur import blur
from cytocascade.imaging.camera import to_output
from cytocascade.imaging.psf import ConePsf
from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.imaging.volume import take_volume
from cytocascade.types import AnnotatedStack, Array, FloatArray

SPACING = (0.5, 0.4, 0.4)


def ellipsoids(
    shape: Sequence[int], centres: Sequence[Sequence[float]], radii: Sequence[float], spacing: Sequence[float] = SPACING
) -> Array:
    """Return labels of equal ellipsoids; `centres` and `radii` (z, y, x) in um."""
    labels = np.zeros(tuple(shape), dtype=np.uint16)
    grid = np.ix_(*[np.arange(n) * step for n, step in zip(shape, spacing, strict=True)])
    for number, centre in enumerate(centres, start=1):
        distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True))
        labels[np.asarray(distance) <= 1] = number
    return labels


def grid_of_cells(planes: int = 41, side: int = 120, *, radii: Sequence[float] = (3.5, 5.0, 5.0)) -> Array:
    """Return labels of nine cells at slightly different heights."""
    places = [(k + 0.5) * side / 3 * SPACING[1] for k in range(3)]
    middle = (planes - 1) / 2 * SPACING[0]
    centres = [(middle + 0.6 * (3 * i + j - 4) / 4, y, x) for i, y in enumerate(places) for j, x in enumerate(places)]
    return ellipsoids((planes, side, side), centres, radii)


def light_of(labels: Array, *, seed: int = 0, gain: float = 400.0) -> FloatArray:
    """Return light with brightness that differs from cell to cell, and slow structure within cells."""
    generator = np.random.default_rng(seed)
    brightness = np.r_[0.0, gain * generator.uniform(0.8, 1.25, int(labels.max()))]
    structure = ndi.gaussian_filter(generator.standard_normal(labels.shape), 2.5)
    return (brightness[labels] * (1 + 0.1 * structure / structure.std())).astype(np.float32)


def stack_of(
    labels: Array,
    psf: ConePsf,
    *,
    level: Array | float = 100.0,
    seed: int = 0,
    gain: float = 400.0,
    annotated: Sequence[int] | None = None,
    fading: Array | float = 1.0,
) -> AnnotatedStack:
    """Return the stack that a microscope with `psf` takes, with Poisson-Gaussian noise and a few annotated slices."""
    seen = blur(light_of(labels, seed=seed, gain=gain), SPACING, psf)
    seen = seen * np.reshape(fading, (-1, 1, 1)) + np.reshape(level, (-1, 1, 1))
    noise = np.random.default_rng(seed + 1).standard_normal(labels.shape)
    image = np.clip(np.rint(seen + np.sqrt(16 + 0.3 * np.maximum(seen - 100, 0)) * noise), 0, 65535).astype(np.uint16)
    middle = len(labels) // 2
    chosen = tuple(annotated) if annotated is not None else (middle - 2, middle, middle + 2)
    sparse = np.zeros_like(labels)
    sparse[list(chosen)] = labels[list(chosen)]
    return AnnotatedStack(image, sparse, chosen, SPACING, f"stack{seed}", True)


def exposed(light: FloatArray, statistics: ImagingStatistics, *args: Any, **options: Any) -> Array:
    """Return what the camera of `statistics` makes of light, in its grey levels."""
    return to_output(take_volume(light, statistics, *args, **options), statistics)
