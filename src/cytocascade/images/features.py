"""Per-cell measurements: the statistics that synthetic cells must match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from skimage.measure import regionprops_table

from cytocascade.types import Array, FloatArray

FEATURE_NAMES = (
    "area",
    "eccentricity",
    "solidity",
    "mean_intensity",
    "signal",
    "intensity_cv",
    "contrast",
    "nearest_neighbour_distance",
)


def cut_by_frame(box: Sequence[slice], shape: Sequence[int]) -> bool:
    """Return whether a bounding box reaches the first or last pixel of an axis, so that its cell may go on outside."""
    return any(side.start == 0 or side.stop == size for side, size in zip(box, shape))


@dataclass(frozen=True)
class CellTable:
    """Measurements of all cells of one image; every array has one entry per cell, ordered by label.

    Attributes
    ----------
    label : ndarray of int
        Label in the image.
    centroid : ndarray, (n, 2)
        Centroid (y, x) in pixels.
    touches_border : ndarray of bool
        Whether the cell is cut by (touches) the frame.
    values : dict of str to ndarray of float64
        One array per name in `FEATURE_NAMES`:

        - ``area`` in square micrometres;
        - ``eccentricity`` in [0, 1) and ``solidity`` in (0, 1], of the mask;
        - ``mean_intensity``, the mean raw intensity in the mask, in the image's units;
        - ``signal``, the mean intensity above the local background, in the image's units;
        - ``intensity_cv``, standard deviation in the mask / ``|signal|``;
        - ``contrast``, ``signal`` / standard deviation of the background noise;
        - ``nearest_neighbour_distance``, centroid to nearest other centroid, in micrometres
          (NaN for a lone cell).
    """

    label: Array
    centroid: Array
    touches_border: Array
    values: dict[str, Array]

    def __len__(self) -> int:
        return len(self.label)


def measure_cells(
    image: Array, labels: Array, spacing: tuple[float, ...], background: FloatArray, noise: float
) -> CellTable:
    """Measure every cell of a 2D image.

    Parameters
    ----------
    image, labels : ndarray, (Y, X)
        Intensities and instance labels.
    spacing : tuple of float
        Micrometres per pixel (y, x).
    background : ndarray, (Y, X) float32
        Local background, from `cytocascade.images.background.estimate_background`.
    noise : float
        Standard deviation of the background noise, in the image's units.

    Returns
    -------
    CellTable
    """
    shape_props = regionprops_table(
        labels, properties=("label", "area", "bbox", "centroid", "eccentricity", "solidity")
    )
    label = np.asarray(shape_props["label"], dtype=np.int64)
    centroid = np.stack([shape_props["centroid-0"], shape_props["centroid-1"]], axis=1)
    raw = np.asarray(image, dtype=np.float64)
    above = raw - background
    mean = np.atleast_1d(ndi.mean(raw, labels, label)) if len(label) else np.zeros(0)
    signal = np.atleast_1d(ndi.mean(above, labels, label)) if len(label) else np.zeros(0)
    square = np.atleast_1d(ndi.mean(above**2, labels, label)) if len(label) else np.zeros(0)
    deviation = np.sqrt(np.maximum(square - signal**2, 0.0))
    border = (
        (shape_props["bbox-0"] == 0)
        | (shape_props["bbox-1"] == 0)
        | (shape_props["bbox-2"] == labels.shape[0])
        | (shape_props["bbox-3"] == labels.shape[1])
    )
    values = {
        "area": np.asarray(shape_props["area"], dtype=np.float64) * spacing[0] * spacing[1],
        "eccentricity": np.asarray(shape_props["eccentricity"], dtype=np.float64),
        "solidity": np.asarray(shape_props["solidity"], dtype=np.float64),
        "mean_intensity": mean,
        "signal": signal,
        "intensity_cv": deviation / np.maximum(np.abs(signal), 1e-6),
        "contrast": signal / max(noise, 1e-6),
        "nearest_neighbour_distance": nearest_neighbour_distances(centroid * np.asarray(spacing)),
    }
    return CellTable(label=label, centroid=centroid, touches_border=np.asarray(border), values=values)


def nearest_neighbour_distances(points: Array) -> Array:
    """Return the distance of each point (n, d) to the nearest other one; NaN if it is alone."""
    if len(points) < 2:
        return np.full(len(points), np.nan)
    distances, _ = cKDTree(points).query(points, k=2)
    return np.asarray(distances[:, 1], dtype=np.float64)
