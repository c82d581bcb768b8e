"""The few numbers that a cell is drawn by: size, shape, brightness and contrast."""

from __future__ import annotations

import numpy as np
from skimage.measure import label, regionprops

from cytocascade.images.cells import CROP_MARGIN, CROP_SIZE, SingleCells, fineness_of
from cytocascade.images.zoom import Zoom
from cytocascade.types import Array, BoolArray, FloatArray

SHAPE_NAMES = ("log_area", "eccentricity", "log_concavity")
"""What a mask is conditioned on; each is roughly centred and of unit scale over nuclei."""

TEXTURE_NAMES = ("brightness", "contrast")
"""What a texture is conditioned on."""

DESCRIPTOR_NAMES = SHAPE_NAMES + TEXTURE_NAMES


def describe_shape(mask: BoolArray) -> FloatArray:
    """Return `SHAPE_NAMES` of one mask on the canonical grid, or a finer one, (3,) float32.

    ``log_area`` is the logarithm of the area over 800 canonical pixels, twice; ``eccentricity`` is
    (e - 0.7) / 0.2; ``log_concavity`` is the logarithm of 1 - solidity, centred at 0.035.
    """
    region = max(regionprops(label(mask).astype(np.int32)), key=lambda r: r.area)
    return np.asarray(
        [
            2.0 * np.log(region.area / fineness_of(mask) ** 2 / 800.0),
            (region.eccentricity - 0.7) / 0.2,
            np.log((1.005 - region.solidity) / 0.04),
        ],
        dtype=np.float32,
    )


def canonical_area(log_area: Array) -> Array:
    """Return the area in canonical pixels for the descriptor ``log_area``."""
    return np.asarray(800.0 * np.exp(np.asarray(log_area) / 2.0))


def wished_size(shape: FloatArray) -> tuple[float, float]:
    """Return area (canonical pixels) and eccentricity for one row of `SHAPE_NAMES`."""
    return float(canonical_area(shape[0])), float(np.clip(0.7 + 0.2 * shape[1], 0.0, 0.995))


def mask_solidity(mask: BoolArray) -> float:
    """Return the area of a mask over that of its convex hull."""
    return float(regionprops(mask.astype(np.uint8))[0].solidity)


def wished_solidity(shape: FloatArray) -> float:
    """Return the solidity on the canonical grid for one row of `SHAPE_NAMES`."""
    return float(np.clip(1.005 - 0.04 * np.exp(shape[2]), 0.3, 1.0))


def zoom_factors(described: FloatArray, zoom: Zoom | None) -> FloatArray:
    """Return the magnification of cells by their descriptors, (n,) float32; 1 without `zoom`."""
    if zoom is None or not len(described):
        return np.ones(len(described), dtype=np.float32)
    eccentricity = np.clip(0.7 + 0.2 * described[:, 1], 0.0, 0.995)
    return zoom.factors(canonical_area(described[:, 0]), eccentricity)


def for_networks(described: FloatArray, factors: FloatArray, zoom: Zoom | None) -> FloatArray:
    """Return descriptors as networks are told them.

    Parameters
    ----------
    described : ndarray, (n, 5) float32
        `DESCRIPTOR_NAMES`, which tell the true size.
    factors : ndarray, (n,) float32
        Magnification of the cells.
    zoom : Zoom or None
        What they were magnified by.

    Returns
    -------
    ndarray, (n, 5) or (n, 6) float32
        With the size that cells have in the crop; where they are magnified, followed by the logarithm of the factor.
    """
    if zoom is None:
        return described
    logarithm = np.log(factors)[:, None]
    seen = described.copy()
    # log_area is twice a logarithm, and an area grows with the square.
    seen[:, :1] += 4.0 * logarithm
    return np.asarray(np.concatenate([seen, logarithm], axis=1), dtype=np.float32)


def describe_cells(cells: SingleCells) -> FloatArray:
    """Return `DESCRIPTOR_NAMES` of every cell, (n, 5) float32.

    In fluorescence ``brightness`` is the logarithm of the cell's mean signal over the image's gain, and
    ``contrast`` that of its coefficient of variation over 0.3. In phase contrast they are the mean and
    the logarithm of the standard deviation of the signal in the mask, in units of the image's gain.
    """
    inner = slice(CROP_MARGIN * cells.fineness, (CROP_MARGIN + CROP_SIZE) * cells.fineness)
    rows = []
    for number in range(len(cells)):
        mask = cells.distance[number, inner, inner] > 0
        values = cells.signal[number, inner, inner][mask]
        if cells.modality == "fluorescence":
            brightness = np.log(max(float(cells.level[number] / cells.gain[number]), 1e-2))
            contrast = np.log(max(float(values.std()) / max(float(values.mean()), 0.1), 0.02) / 0.3)
        else:
            brightness, contrast = float(values.mean()), np.log(max(float(values.std()), 0.02) / 0.5)
        size, *shape = describe_shape(mask)
        rows.append([size - 4.0 * np.log(cells.zoom[number]), *shape, brightness, contrast])
    return np.asarray(rows, dtype=np.float32)
