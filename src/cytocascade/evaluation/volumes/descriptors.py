"""Shape, light and texture of single cells in about fifty numbers, for telling real from synthetic."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.evaluation.descriptors import describe_intensity
from cytocascade.evaluation.volumes.axial import relative_profile, slice_means
from cytocascade.evaluation.volumes.cells import CELL_NAMES
from cytocascade.evaluation.volumes.measured import VolumeSet, Window
from cytocascade.types import Array, BoolArray, FloatArray

SIGMAS = (0.0, 0.7, 1.4, 2.8)
PROFILE = (-4, -2, -1, 0, 1, 2, 4)


def describe_cells(measured: VolumeSet, table: dict[str, Array]) -> tuple[tuple[str, ...], Array]:
    """Return the descriptors' names and their values (n, k) float64 for the sampled cells, in their order.

    Parameters
    ----------
    measured : VolumeSet
        One side.
    table : dict of str to ndarray
        From `cytocascade.evaluation.volumes.cells.measure_cells`.
    """
    rows = []
    for index, cell in enumerate(measured.cells):
        own = {name.replace("_", " "): float(table[name][index]) for name in CELL_NAMES}
        noise = measured.volumes[cell.volume].noise
        rows.append(own | _describe(measured.window(cell), noise, measured.spacing))
    names = tuple(rows[0])
    values = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
    return names, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _describe(window: Window, noise: float, spacing: tuple[float, float, float]) -> dict[str, float]:
    scale = max(abs(float(window.above[window.own].mean())), noise, 1e-6)
    relative = window.above / scale
    return (
        describe_intensity(relative[window.own])
        | _bands(window, relative, noise / scale)
        | _along_z(window, relative)
        | _edge(window, relative, spacing)
    )


def _bands(window: Window, relative: FloatArray, noise: float) -> dict[str, float]:
    """Texture energy per lateral scale inside, and its correlations along all axes; noise outside."""
    smooth = [relative if s == 0 else ndi.gaussian_filter(relative, (0, s, s)) for s in SIGMAS]
    core = ndi.binary_erosion(window.own, np.ones((1, 3, 3), dtype=bool))
    core = core if core.sum() >= 20 else window.own
    outside = ~ndi.binary_dilation(window.own, np.ones((3, 5, 5), dtype=bool)) & window.free
    result: dict[str, float] = {}
    for sigma, fine, coarse in zip(SIGMAS[1:], smooth[:-1], smooth[1:]):
        band = fine - coarse
        result[f"texture energy inside, below {sigma:g} px"] = float(band[core].std())
        if sigma < 2:
            result[f"noise outside, below {sigma:g} px"] = float(band[outside].std()) if outside.sum() >= 20 else noise
        for axis, name in enumerate("zyx"):
            result[f"correlation along {name} inside, below {sigma:g} px"] = _lag_correlation(band, core, axis)
    result["correlation along x of noise outside"] = _lag_correlation(smooth[0] - smooth[1], outside, 2)
    result["correlation along z of noise outside"] = _lag_correlation(smooth[0] - smooth[1], outside, 0)
    return result


def _lag_correlation(values: FloatArray, where: BoolArray, axis: int) -> float:
    """Return the correlation of neighbours along `axis` that both lie in `where`."""
    after = [slice(None)] * 3
    before = [slice(None)] * 3
    after[axis], before[axis] = slice(1, None), slice(None, -1)
    both = where[tuple(after)] & where[tuple(before)]
    if both.sum() < 8:
        return 0.0
    first, second = values[tuple(after)][both], values[tuple(before)][both]
    power = float(np.sqrt((first**2).mean() * (second**2).mean()))
    return float((first * second).mean()) / power if power > 1e-12 else 0.0


def _along_z(window: Window, relative: FloatArray) -> dict[str, float]:
    """Light near the bottom, in the middle and near the top, and beyond both ends over the cell's middle."""
    profile = relative_profile(*slice_means(relative, window.own))
    slices = np.flatnonzero(window.own.any(axis=(1, 2)))
    column = window.own.any(axis=0)
    result = {f"light at {height:.0%} of the height": float(profile[int(height * 10)]) for height in (0, 0.2, 0.5, 0.7)}
    result["light at 90% of the height"] = float(profile[-1])
    for name, slab in (("below", slices[0] - 1), ("above", slices[-1] + 1)):
        if 0 <= slab < len(relative):
            result[f"light one slice {name}"] = float(relative[slab][column].mean())
        else:
            result[f"light one slice {name}"] = 0.0
    return result


def _edge(window: Window, relative: FloatArray, spacing: tuple[float, float, float]) -> dict[str, float]:
    """Mean light along the way from inside the surface to outside, in lateral pixels, sideways and up and down."""
    sampling = tuple(step / spacing[2] for step in spacing)
    inside = ndi.distance_transform_edt(window.own, sampling)
    outside = ndi.distance_transform_edt(~window.own, sampling)
    distance = np.where(window.own, 0.5 - inside, outside - 0.5)
    allowed = window.own | window.free
    result = {}
    for offset in PROFILE:
        band = (np.abs(distance - offset) <= 0.75) & allowed
        side = "inside" if offset < 0 else "outside"
        name = "light on the surface" if offset == 0 else f"light {abs(offset)} px {side} the surface"
        result[name] = float(relative[band].mean()) if band.any() else 0.0
    core = window.own & (inside > 0.5 * inside.max())
    shell = window.own & ~core
    result["core / shell brightness"] = float(relative[core].mean() - relative[shell].mean()) if shell.any() else 0.0
    steep_xy = ndi.gaussian_gradient_magnitude(relative, (0, 1, 1))
    surface = (np.abs(distance) <= 1) & allowed
    result["gradient on the surface"] = float(steep_xy[surface].mean()) if surface.any() else 0.0
    return result
