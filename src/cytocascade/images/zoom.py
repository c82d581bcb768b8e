"""How large cells of very different sizes are shown to the networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from skimage.measure import regionprops

from cytocascade.types import AnnotatedImage, Array, FloatArray

WORTH_IT = 1.25
"""Factor that the median cell is magnified by at least, or all are left as they are."""


class Zoom(BaseModel):
    """Magnification of every cell, by its size and elongation, until it fills the crop.

    At one scale for all, the crop has to hold the largest cells. Where these are many times as long as the usual ones,
    as spread and spindle-shaped cells are, the usual ones are left with a few pixels, and their outlines and halos
    are lost.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reach: float = Field(gt=0)
    """Length, in pixels of the crop, that the major axis of a cell is magnified to."""
    most: float = Field(ge=1)
    """Largest factor: pixels of the crop are then those of the images."""

    @classmethod
    def fit(cls, images: Sequence[AnnotatedImage], crop_spacing: float, *, extent: float) -> Self | None:
        """Choose it for the cells of annotated images.

        Parameters
        ----------
        images : sequence of AnnotatedImage
            2D images.
        crop_spacing : float
            Micrometres per pixel of the crop without magnification.
        extent : float
            Length in pixels of the crop that nearly all cells are to have at most.

        Returns
        -------
        Zoom or None
            None if it would not be worth it, see `WORTH_IT`.
        """
        axes, longer = [], []
        for image in images:
            pixel = float(np.mean(image.spacing)) / crop_spacing
            for region in regionprops(image.labels):
                axis = float(major_axis(region.area * pixel**2, region.eccentricity))
                axes.append(axis)
                longer.append(region.feret_diameter_max * pixel / axis)
        if not axes:
            return None
        zoom = cls(
            reach=round(extent / float(np.percentile(longer, 97)), 4),
            most=round(max(1.0, crop_spacing / min(float(np.mean(image.spacing)) for image in images)), 4),
        )
        return zoom if float(np.median(zoom._factors(np.asarray(axes)))) >= WORTH_IT else None

    def factors(self, area: Array | float, eccentricity: Array | float) -> FloatArray:
        """Return the magnification of cells, float32, by area (pixels of the crop without it) and eccentricity."""
        return self._factors(major_axis(area, eccentricity))

    def _factors(self, axis: Array) -> FloatArray:
        return np.asarray(np.clip(self.reach / axis, 1.0, self.most), dtype=np.float32)


def major_axis(area: Array | float, eccentricity: Array | float) -> Array:
    """Return the length of the major axis of an ellipse of this area and eccentricity."""
    flattening = np.maximum(1.0 - np.square(np.asarray(eccentricity, dtype=np.float64)), 0.01)
    return np.asarray(2.0 * np.sqrt(np.asarray(area) / np.pi) / flattening**0.25)
