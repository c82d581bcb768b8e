"""Dark spots in fluorescent cells: vacuoles, nucleoli, folds, and what else keeps the stain out."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from skimage.measure import regionprops
from skimage.morphology import reconstruction

from cytocascade.images.features import cut_by_frame
from cytocascade.types import Array, BoolArray, FloatArray

DEEP = 0.3
"""Light that a dark spot lacks of what surrounds it on all sides, relative to the mean of its cell, at the least."""

_SMOOTH = 0.03
_LEAST_AREA = 0.5


def spotted_cells(image: Array, labels: Array, background: FloatArray) -> tuple[int, int]:
    """Return how many whole cells have a dark spot, and how many whole cells there are.

    A cell is spotted where its light, smoothed by a Gaussian of 3 % of the usual cell's diameter, has a basin deeper
    than `DEEP`: filled with water up to the lowest way out of the cell, so deep is the water. Fragments, much smaller
    than the usual cell, are left out.

    Parameters
    ----------
    image, labels : ndarray, (Y, X)
        Intensities and instance labels.
    background : ndarray, (Y, X) float32
        Local background.
    """
    regions = regionprops(np.asarray(labels))
    if not regions:
        return 0, 0
    usual = float(np.median([region.area for region in regions]))
    light = np.asarray(image, dtype=np.float32) - background
    smooth = ndi.gaussian_filter(light, _SMOOTH * 2.0 * float(np.sqrt(usual / np.pi)))
    spotted = whole = 0
    for region in regions:
        mean = float(light[region.slice][region.image].mean())
        if cut_by_frame(region.slice, labels.shape) or region.area < _LEAST_AREA * usual or mean <= 0:
            continue
        whole += 1
        spotted += basin_depth(smooth[region.slice] / mean, region.image) > DEEP
    return spotted, whole


def basin_depth(light: Array, mask: BoolArray) -> float:
    """Return the depth of the deepest basin of the light inside a mask, 0 where all ways down lead to its outline.

    The difference to morphological reconstruction by erosion (Vincent, IEEE Trans. Image Processing 2, 1993), which
    fills all basins.
    """
    inside = np.pad(mask, 1)
    ground = np.where(inside, np.pad(np.asarray(light, dtype=np.float64), 1), -np.inf)
    if not inside.any():
        return 0.0
    lowest = float(ground[inside].min()) - 1.0
    ground[~inside] = lowest
    flooded = np.where(ndi.binary_erosion(inside), float(ground.max()), ground)
    return float((reconstruction(flooded, ground, method="erosion") - ground).max())
