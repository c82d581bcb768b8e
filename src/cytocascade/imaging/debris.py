"""What lies between the cells and is no cell: flecks of dirt, remains of dead cells, grains of a medium."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import ndimage as ndi

from cytocascade.images.background import background_pixels, estimate_background
from cytocascade.imaging.regions import away_from
from cytocascade.seeding import numpy_generator
from cytocascade.types import AnnotatedImage, Array, BoolArray, FloatArray

SURE, LIKELY = 5.0, 2.5
"""Deviations from the background, in its robust spread, at which a fleck is one, and at which it ends."""

SMALLEST = 4
"""Fewest pixels of a fleck that are surely one."""

FEWEST, MOST = 5, 150
"""Fewest flecks that are worth keeping, and most flecks that are kept."""

MOST_PIXELS = 40_000
"""Most pixels of all kept flecks together."""

STEP = 0.005
"""Step in which light is kept, relative to the gain of the image."""

_SMOOTH = 1.0
_RAMP = 3


class Debris(BaseModel):
    """Flecks that were seen in the background of real images.

    They are kept as they were seen, so that what a segmenter must not take for a cell is in synthetic images, too.
    """

    model_config = ConfigDict(extra="forbid")

    flecks: list[list[list[int]]]
    """Light above the background, row by row, in steps of `STEP` of the image's gain; 0 beside the fleck."""
    densities: list[float]
    """Flecks per pixel of background, one per fitted image."""

    @classmethod
    def fit(cls, images: Sequence[AnnotatedImage], gains: Sequence[float]) -> Self | None:
        """Find flecks in the background of completely annotated images.

        Parameters
        ----------
        images : sequence of AnnotatedImage
            2D images. In those that are not completely annotated nothing is looked for: it could be a cell.
        gains : sequence of float
            Gain of every image, in its units.

        Returns
        -------
        Debris or None
            None if there are fewer than `FEWEST`.
        """
        flecks: list[Array] = []
        densities = []
        for image, gain in zip(images, gains, strict=True):
            found, density = ([], 0.0) if image.sparse else _flecks(image)
            flecks += [np.rint(light / (STEP * abs(gain))).astype(int) for light in found]
            densities.append(density)
        if len(flecks) < FEWEST:
            return None
        return cls(flecks=[fleck.tolist() for fleck in _some(flecks)], densities=densities)

    def render(self, density: float, seed: int, shape: Sequence[int]) -> FloatArray:
        """Scatter flecks over an image.

        Parameters
        ----------
        density : float
            Flecks per pixel.
        seed : int
            Seed of their number, kinds, places and turns.
        shape : sequence of int
            Pixels (y, x) of the image.

        Returns
        -------
        ndarray of float32, `shape`
            Light above the background, relative to the gain.
        """
        generator = numpy_generator(seed, "debris")
        height, width = shape
        # Flecks may reach into the frame from outside.
        reach = max(max(len(fleck), len(fleck[0])) for fleck in self.flecks)
        canvas = np.zeros((height + 2 * reach, width + 2 * reach), dtype=np.float32)
        for _ in range(generator.poisson(density * (height + reach) * (width + reach))):
            fleck = np.asarray(self.flecks[generator.integers(len(self.flecks))], dtype=np.float32)
            fleck = np.rot90(fleck, generator.integers(4))
            if generator.random() < 0.5:
                fleck = fleck[:, ::-1]
            row, column = (int(generator.integers(side + reach)) for side in (height, width))
            canvas[row : row + fleck.shape[0], column : column + fleck.shape[1]] += fleck
        return canvas[reach : reach + height, reach : reach + width] * np.float32(STEP)


def _flecks(image: AnnotatedImage) -> tuple[list[FloatArray], float]:
    """Return the light of the flecks that are seen whole, and how many there are per pixel of background."""
    background = estimate_background(image.image, image.labels)
    free = background_pixels(image.image, image.labels)
    counts = np.bincount(image.labels.ravel())[1:]
    radius = float(np.sqrt(np.median(counts[counts > 0]) / np.pi)) if counts.any() else 0.0
    # Next to a cell it would be the cell's halo.
    away = away_from(image.labels, free, radius)
    light = np.asarray(image.image, dtype=np.float32) - background
    smooth = ndi.gaussian_filter(light, _SMOOTH)
    middle = float(np.median(smooth[away]))
    spread = 1.4826 * float(np.median(np.abs(smooth[away] - middle)))
    if spread <= 0:
        return [], 0.0
    departure = np.abs(smooth - middle) / spread
    parts, count = ndi.label(ndi.binary_closing(departure > LIKELY) & away, structure=np.ones((3, 3)))
    if not count:
        return [], 0.0
    sure = np.bincount(parts[departure > SURE], minlength=count + 1)
    beside = ndi.binary_dilation(~away) & away
    cut = np.bincount(parts[beside | _border(parts.shape)], minlength=count + 1) > 0
    flecks = []
    boxes = ndi.find_objects(parts)
    usable = [number for number in range(1, count + 1) if sure[number] >= SMALLEST]
    for number in usable:
        if not cut[number]:
            box = tuple(
                slice(max(side.start - _RAMP, 0), min(side.stop + _RAMP, most))
                for side, most in zip(boxes[number - 1], parts.shape)
            )
            gap = ndi.distance_transform_edt(parts[box] != number)
            flecks.append(np.asarray(light[box] * np.clip(1 - gap / _RAMP, 0, 1), dtype=np.float32))
    return flecks, len(usable) / float(away.sum())


def _border(shape: tuple[int, ...]) -> BoolArray:
    border = np.ones(shape, dtype=bool)
    border[_RAMP:-_RAMP, _RAMP:-_RAMP] = False
    return border


def _some(flecks: list[Array]) -> list[Array]:
    """Return at most `MOST` flecks with at most `MOST_PIXELS`, evenly chosen."""
    count = min(len(flecks), MOST)
    mean = sum(fleck.size for fleck in flecks) / len(flecks)
    count = max(1, min(count, int(MOST_PIXELS / mean)))
    return [flecks[int((k + 0.5) * len(flecks) / count)] for k in range(count)]
