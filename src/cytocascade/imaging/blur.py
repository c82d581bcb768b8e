"""Spreading the light of a volume by a point-spread function, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy import fft
from scipy import ndimage as ndi

from cytocascade.imaging.axis import discrete_gaussian
from cytocascade.imaging.illumination import blur_wide
from cytocascade.imaging.measured_psf import MeasuredPsf
from cytocascade.imaging.planes import sample_planes
from cytocascade.imaging.psf import Psf, separable_parts
from cytocascade.types import Array, FloatArray

_CHUNK = 2**22
_TILE = 2**22
_LATERAL_REACH = 3.0
_WIDE = 8.0


def blur(
    volume: FloatArray,
    spacing: Sequence[float],
    psf: Psf,
    *,
    out_step: float | None = None,
    planes: int | None = None,
) -> FloatArray:
    """Return the light of `volume` as a microscope with `psf` sees it.

    Beyond its faces the volume is mirrored, so that no light gets lost (exactly, for a symmetric PSF).

    Parameters
    ----------
    volume : ndarray of float32, (Z, Y, X)
        Light per voxel.
    spacing : sequence of float
        Micrometres per voxel along (z, y, x).
    psf : GaussianPsf, ConePsf or MeasuredPsf
    out_step, planes : float and int, optional
        Distance in micrometres and number of the planes where the microscope focuses, by default those of `volume`; see
        `cytocascade.imaging.planes.sample_planes`.

    Returns
    -------
    ndarray of float32, (planes, Y, X)
        The result and one more volume of its size are in memory, beside small pieces.
    """
    step = spacing[0] if out_step is None else out_step
    if isinstance(psf, MeasuredPsf):
        return sample_planes(_convolve(volume, psf.on_grid(spacing)), spacing[0], step, planes=planes)
    total: FloatArray | None = None
    for kernel, lateral in separable_parts(psf, spacing):
        part = _blur_along_z(volume, kernel, spacing[0], step, planes)
        _blur_laterally(part, lateral, spacing, "reflect")
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def blur_alone(
    volume: FloatArray, spacing: Sequence[float], psf: Psf, *, at_face: Sequence[tuple[bool, bool]]
) -> FloatArray:
    """Return what the PSF makes of `volume` within its box when all around is dark.

    Parameters
    ----------
    volume, spacing, psf
        As for `blur`.
    at_face : sequence of (bool, bool)
        For every axis whether the box begins and ends at a face of the stack, where light is mirrored.

    Returns
    -------
    ndarray of float32, shape of `volume`
    """
    reach = _reach(psf, spacing)
    bounded = any(any(ends) for ends in at_face) or isinstance(psf, MeasuredPsf)
    pad = [[0 if end or not bounded else r for end in ends] for ends, r in zip(at_face, reach, strict=True)]
    box = tuple(slice(low, low + side) for (low, _), side in zip(pad, volume.shape, strict=True))
    padded = np.pad(volume, pad) if bounded else volume
    if isinstance(psf, MeasuredPsf):
        return _convolve(padded, psf.on_grid(spacing))[box]
    mode = "reflect" if bounded else "constant"
    total = np.zeros(padded.shape, dtype=np.float32)
    for kernel, lateral in separable_parts(psf, spacing):
        part = np.array(ndi.correlate1d(padded, kernel, axis=0, mode=mode), dtype=np.float32)
        _blur_laterally(part, lateral, spacing, mode)
        total += part
    return total[box]


def _reach(psf: Psf, spacing: Sequence[float]) -> list[int]:
    if isinstance(psf, MeasuredPsf):
        return [side // 2 for side in psf.on_grid(spacing).shape]
    parts = separable_parts(psf, spacing)
    lateral = max(width for _, width in parts)
    return [len(parts[0][0]) // 2, *[len(_lateral_kernel(lateral / side)) // 2 for side in spacing[1:]]]


def _blur_along_z(volume: FloatArray, kernel: Array, step: float, out_step: float, planes: int | None) -> FloatArray:
    depth, rows, columns = volume.shape
    chunk = max(1, _CHUNK // (depth * columns))
    pieces = []
    for start in range(0, rows, chunk):
        piece = np.asarray(volume[:, start : start + chunk], dtype=np.float32)
        if len(kernel) > 1:
            piece = ndi.correlate1d(piece, kernel, axis=0, mode="reflect")
        pieces.append(np.array(sample_planes(piece, step, out_step, planes=planes), dtype=np.float32))
    return np.concatenate(pieces, axis=1) if len(pieces) > 1 else pieces[0]


def _lateral_kernel(sigma: float) -> Array:
    return discrete_gaussian(sigma, reach=_LATERAL_REACH)


def _blur_laterally(stack: FloatArray, sigma: float, spacing: Sequence[float], mode: str) -> None:
    if sigma <= 0:
        return
    widths = [sigma / side for side in spacing[1:]]
    coarse = min(widths) >= _WIDE and abs(widths[0] - widths[1]) < 1e-3 * widths[0]
    kernels = [_lateral_kernel(width) for width in widths]
    for plane in stack:
        if not plane.any():
            continue
        if coarse:
            plane[...] = _blur_coarsely(plane, widths[0], mode)
            continue
        for axis, kernel in enumerate(kernels):
            plane[...] = ndi.correlate1d(plane, kernel, axis=axis, mode=mode)


def _blur_coarsely(plane: FloatArray, width: float, mode: str) -> FloatArray:
    if mode == "reflect":
        return blur_wide(plane, width)
    pad = int(np.ceil(_LATERAL_REACH * width))
    return blur_wide(np.pad(plane, pad), width)[pad:-pad, pad:-pad]


def _convolve(volume: FloatArray, kernel: FloatArray) -> FloatArray:
    """Convolve tile by tile with FFTs (overlap-save), mirrored at the faces."""
    reach = [side // 2 for side in kernel.shape]
    tiles = _tile_sides(volume.shape, reach)
    padded = [fft.next_fast_len(tile + 2 * r, real=True) for tile, r in zip(tiles, reach, strict=True)]
    spectrum = fft.rfftn(kernel, padded, workers=1)
    result = np.empty(volume.shape, dtype=np.float32)
    for corner in product(*[range(0, side, tile) for side, tile in zip(volume.shape, tiles, strict=True)]):
        ends = [min(c + tile, side) for c, tile, side in zip(corner, tiles, volume.shape, strict=True)]
        seen = np.ix_(
            *[
                _mirrored(np.arange(c - r, e + r), side)
                for c, e, r, side in zip(corner, ends, reach, volume.shape, strict=True)
            ]
        )
        product_ = fft.rfftn(np.asarray(volume[seen], dtype=np.float32), padded, workers=1) * spectrum
        tile = fft.irfftn(product_, padded, workers=1)
        inner = tuple(slice(2 * r, 2 * r + e - c) for c, e, r in zip(corner, ends, reach, strict=True))
        result[tuple(slice(c, e) for c, e in zip(corner, ends, strict=True))] = tile[inner]
    return result


def _tile_sides(shape: Sequence[int], reach: Sequence[int]) -> list[int]:
    tiles = list(shape)
    while np.prod([tile + 2 * r for tile, r in zip(tiles, reach, strict=True)]) > _TILE and max(tiles) > 16:
        longest = int(np.argmax(tiles))
        tiles[longest] = -(-tiles[longest] // 2)
    return tiles


def _mirrored(index: Array, side: int) -> Array:
    """Return the indices within ``range(side)`` that mirroring at both ends (edges doubled) makes of `index`."""
    folded = np.mod(index, 2 * side)
    return np.asarray(np.minimum(folded, 2 * side - 1 - folded))
