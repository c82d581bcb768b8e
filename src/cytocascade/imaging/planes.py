"""From one raster of planes to another: sampling along an axis, and fields that are correlated from plane to plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from cytocascade.imaging.axis import discrete_gaussian, overlap_weights
from cytocascade.types import FloatArray


def sample_planes(
    volume: FloatArray, step: float, out_step: float, *, planes: int | None = None, average: bool = False
) -> FloatArray:
    """Return `volume` on planes of another distance.

    Parameters
    ----------
    volume : ndarray of float32, (Z, Y, X)
        Values on planes `step` apart.
    step, out_step : float
        Micrometres between planes; the ratio need not be whole.
    planes : int, optional
        Number of output planes, by default as many as fit; both stacks have the same middle.
    average : bool
        Mean over the slab of every output plane, as for a share of volume; by default interpolation at the plane,
        as a microscope focuses there.

    Returns
    -------
    ndarray of float32, (planes, Y, X)
    """
    count = volume.shape[0]
    planes = max(1, round(count * step / out_step)) if planes is None else planes
    if planes == count and abs(step / out_step - 1) < 1e-6:
        return volume
    weights = overlap_weights(count, step, planes, out_step, width=max(step, out_step) if average else step)
    result = np.empty((planes, *volume.shape[1:]), dtype=np.float32)
    for plane, row in enumerate(weights):
        seen = np.flatnonzero(row > 0)
        result[plane] = np.tensordot(row[seen].astype(np.float32), volume[seen[0] : seen[-1] + 1], axes=1)
    return result


def correlated_fields(draw: Callable[[int], FloatArray], planes: int, sigma: float) -> Iterator[FloatArray]:
    """Yield standard normal fields, one per plane, correlated as white noise is by a Gaussian along z.

    The correlation over ``d`` planes is about ``exp(-d^2 / (4 sigma^2))``, every field stays standard normal, and only
    the fields within reach are in memory.

    Parameters
    ----------
    draw : callable
        Returns an independent standard normal field (Y, X) for a number; may be asked for the same one twice.
    planes : int
        Number of fields.
    sigma : float
        Standard deviation of the Gaussian, in planes.
    """
    kernel = discrete_gaussian(sigma, reach=3.0)
    kernel = kernel[kernel > 1e-3 * kernel.max()]
    kernel = (kernel / np.sqrt((kernel**2).sum())).astype(np.float32)
    window: dict[int, FloatArray] = {}
    for plane in range(planes):
        window.pop(plane - 1, None)
        field = np.zeros((), dtype=np.float32)
        for offset, weight in enumerate(kernel):
            node = plane + offset
            if node not in window:
                window[node] = draw(node)
            field = field + weight * window[node]
        yield np.asarray(field, dtype=np.float32)
