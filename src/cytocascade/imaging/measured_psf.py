"""A PSF measured with beads: reading it, and bringing it to a volume's grid."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from pydantic import BaseModel, ConfigDict

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.axis import overlap_weights
from cytocascade.types import Array, FloatArray

_LIGHT = 0.998
_FEW = 8


class MeasuredPsf(BaseModel):
    """A measured PSF; it travels inside the model, so that nothing depends on the file any more."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["measured"] = "measured"
    spacing: tuple[float, float, float]
    """Micrometres per voxel along (z, y, x)."""
    shape: tuple[int, int, int]
    """Voxels along (z, y, x)."""
    centre: tuple[float, float, float]
    """Centroid of the light, in voxels along (z, y, x)."""
    values: str
    """Shares of the light, sum 1: float32 in C order, little-endian, zlib, base64."""

    def array(self) -> FloatArray:
        """Return the PSF, (Z, Y, X) float32 with sum 1."""
        data = zlib.decompress(base64.b64decode(self.values))
        return np.frombuffer(data, dtype="<f4").reshape(self.shape).astype(np.float32)

    def on_grid(self, spacing: Sequence[float]) -> FloatArray:
        """Return the PSF on a grid of another spacing, its centroid in the middle voxel.

        Coarser voxels collect the light of the finer ones; finer voxels are interpolated linearly.

        Parameters
        ----------
        spacing : sequence of float
            Micrometres per voxel along (z, y, x).

        Returns
        -------
        ndarray of float32, odd sides
            Sum 1.
        """
        kernel = np.pad(self.array().astype(np.float64), 1)
        for axis, (own, wanted) in enumerate(zip(self.spacing, spacing, strict=True)):
            offset = (self.centre[axis] - (self.shape[axis] - 1) / 2) * own
            half = int(np.ceil((kernel.shape[axis] * own / 2 + abs(offset)) / wanted))
            # The outermost planes are padding without light, so continuing them adds none.
            weights = overlap_weights(
                kernel.shape[axis], own, 2 * half + 1, wanted, width=max(own, wanted), shift=offset
            )
            kernel = np.moveaxis(np.tensordot(weights, kernel, axes=([1], [axis])), 0, axis)
        return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def read_psf(path: str | Path, spacing: Sequence[float]) -> MeasuredPsf:
    """Read a PSF from a TIFF stack of one bead, or a mean of beads.

    The background (median of the outer faces) is subtracted, what does not rise above its noise (three deviations) is
    set to 0, the rest is cropped to the box that holds 99.8 % of the light along each axis, and divided by its sum.

    Parameters
    ----------
    path : path-like
        TIFF with axes (Z, Y, X).
    spacing : sequence of float
        Micrometres per voxel along (z, y, x).

    Raises
    ------
    CytoCascadeError
        No such file, not a readable TIFF stack, not finite, no light above the background, or the peak at a face.
    """
    file = Path(path)
    if not file.is_file():
        raise CytoCascadeError("there is no such PSF file", path=file, hint="Give a TIFF stack of a bead.")
    try:
        stack = np.asarray(tifffile.imread(file), dtype=np.float64)
    except (tifffile.TiffFileError, OSError, ValueError) as error:
        raise CytoCascadeError(
            f"the PSF cannot be read: {error}", path=file, hint="Save it as a TIFF stack."
        ) from error
    if stack.ndim != 3 or min(stack.shape) < 3:
        raise CytoCascadeError(
            f"a PSF of shape {'x'.join(map(str, stack.shape))} is not a stack",
            path=file,
            hint="Give one channel with axes Z, Y, X and at least three voxels along each.",
        )
    if len(spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing):
        raise CytoCascadeError(
            f"the spacing {tuple(spacing)} of the PSF is not usable",
            path=file,
            hint="Give micrometres per voxel along z, y and x, for example 0.2,0.1,0.1.",
        )
    if not np.isfinite(stack).all():
        raise CytoCascadeError("the PSF holds NaN or infinite values", path=file, hint="Repair the file.")
    return _normalised(stack, spacing, file)


def _normalised(stack: Array, spacing: Sequence[float], file: Path) -> MeasuredPsf:
    faces = np.concatenate([np.take(stack, (0, -1), axis=axis).ravel() for axis in range(3)])
    level = float(np.median(faces))
    noise = 1.4826 * float(np.median(np.abs(faces - level)))
    # Noise of the background cut at 0 would add a pedestal as large as the stack.
    light = np.where(stack - level > 3 * noise, stack - level, 0.0)
    if np.count_nonzero(light) == 0 or light.max() <= _FEW * noise:
        raise CytoCascadeError(
            "the PSF shows no light above its background", path=file, hint="Average several beads, or crop closer."
        )
    peak = np.unravel_index(int(light.argmax()), light.shape)
    if any(place in (0, side - 1) for place, side in zip(peak, light.shape, strict=True)):
        raise CytoCascadeError(
            "the brightest voxel of the PSF lies at the edge of its stack",
            path=file,
            hint="Crop the stack so that the bead is in the middle.",
        )
    for axis in range(3):
        along = light.sum(axis=tuple(other for other in range(3) if other != axis))
        total = np.cumsum(along) / along.sum()
        first = int(np.searchsorted(total, (1 - _LIGHT) / 2))
        last = int(np.searchsorted(total, (1 + _LIGHT) / 2))
        light = np.take(light, np.arange(first, min(last, len(along) - 1) + 1), axis=axis)
    light = light / light.sum()
    centre = [float((np.indices(light.shape)[axis] * light).sum()) for axis in range(3)]
    packed = base64.b64encode(zlib.compress(light.astype("<f4").tobytes(), 9)).decode("ascii")
    z, y, x = (float(step) for step in spacing)
    return MeasuredPsf(
        spacing=(z, y, x),
        shape=(light.shape[0], light.shape[1], light.shape[2]),
        centre=(centre[0], centre[1], centre[2]),
        values=packed,
    )
