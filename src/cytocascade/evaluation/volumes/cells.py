"""Shape and light of every sampled cell of a set of volumes."""

from __future__ import annotations

import numpy as np
from scipy.spatial import QhullError

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.volumes.axial import slice_means, unevenness
from cytocascade.evaluation.volumes.measured import CellReference, VolumeSet
from cytocascade.shapes.descriptors import describe_voxels
from cytocascade.types import Array, BoolArray

SHAPE_NAMES = ("relative_volume", "sphericity", "axial_ratio", "solidity", "volume", "projected_area", "axial_extent")
LIGHT_NAMES = ("signal", "intensity_cv", "mean_intensity", "contrast", "flicker")
CELL_NAMES = SHAPE_NAMES + LIGHT_NAMES


def measure_cells(measured: VolumeSet) -> dict[str, Array]:
    """Measure the sampled cells.

    Returns
    -------
    dict of str to ndarray of float64, (n,)
        In the order of `VolumeSet.cells`:

        - ``volume`` (µm³), ``projected_area`` along z (µm²), ``relative_volume`` = volume / projected area^1.5,
          ``sphericity``, ``axial_ratio`` = axial / lateral extent, ``solidity``: as
          `cytocascade.shapes.descriptors.describe_voxels` defines them; NaN for a mask that makes no surface;
        - ``axial_extent``, slices times their distance, in micrometres;
        - ``signal``, mean intensity above the local background, and ``mean_intensity``, in grey values;
        - ``intensity_cv``, standard deviation inside / ``|signal|``;
        - ``contrast``, ``signal`` / standard deviation of the background noise;
        - ``flicker``, see `cytocascade.evaluation.volumes.axial.unevenness`; NaN for cells of few slices.
    """
    rows = [_measure(measured, cell) for cell in measured.cells]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in CELL_NAMES}


def _measure(measured: VolumeSet, cell: CellReference) -> dict[str, float]:
    volume = measured.volumes[cell.volume]
    box, own = volume.boxes[cell.row], measured.mask(cell)
    inside = volume.image[box][own].astype(np.float64)
    above = inside - volume.background[box][own]
    signal = float(above.mean())
    light = {
        "signal": signal,
        "intensity_cv": float(above.std()) / max(abs(signal), 1e-6),
        "mean_intensity": float(inside.mean()),
        "contrast": signal / max(volume.noise, 1e-6),
        "flicker": unevenness(*slice_means(volume.image[box] - volume.background[box], own)),
    }
    return describe_cell(own, measured.spacing) | light


def describe_cell(own: BoolArray, spacing: tuple[float, float, float]) -> dict[str, float]:
    """Return the values of `SHAPE_NAMES` of one mask (Z, Y, X) at `spacing` micrometres per voxel.

    All but the axial extent are NaN for a mask that makes no surface (scattered voxels, a sheet of one slice).
    """
    extent = float(own.any(axis=(1, 2)).sum()) * spacing[0]
    try:
        described = describe_voxels(own, spacing)
    except (CytoCascadeError, ValueError, QhullError):
        described = {}
    return {name: float(described.get(name, np.nan)) for name in SHAPE_NAMES} | {"axial_extent": extent}
