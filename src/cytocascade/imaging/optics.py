"""What the optics make of the light of cells, before the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.blur import blur, blur_alone
from cytocascade.imaging.depth import attenuation_factors
from cytocascade.imaging.microscope import Microscope
from cytocascade.imaging.planes import sample_planes
from cytocascade.imaging.psf import Psf, axial_kernel
from cytocascade.types import Array, BoolArray, FloatArray


@dataclass(frozen=True)
class CleanVolume:
    """A volume behind the optics and before the camera, on the planes of the image.

    Attributes
    ----------
    light : ndarray of float32, (Z, Y, X)
        Light of the cells, blurred and attenuated, in the image's units.
    inside : ndarray of bool, (Z, Y, X)
        Where cells are that have light of their own.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    """

    light: FloatArray
    inside: BoolArray
    spacing: tuple[float, float, float]


def focus(
    light: FloatArray,
    microscope: Microscope,
    spacing: Sequence[float],
    *,
    labels: Array | None = None,
    out_step: float | None = None,
    planes: int | None = None,
) -> CleanVolume:
    """Send the light of cells through the optics.

    The brightness of textures is that of real, blurred cells: the light is scaled so that cells keep their mean.
    Their caps get dimmer, and light appears above and below.

    Parameters
    ----------
    light : ndarray of float32, (Z, Y, X)
        Light of the cells above the background, 0 elsewhere, in the image's units.
    microscope : Microscope
    spacing : sequence of float
        Micrometres per voxel of `light` along (z, y, x).
    labels : ndarray of int, (Z, Y, X), optional
        The cells' bodies, without the rims of their light: those are blurred like all light outside cells. With it,
        structure within cells is kept, as textures learned from real stacks have been blurred already
        (`keep_structure`).
    out_step, planes : float and int, optional
        Distance in um and number of the image's planes, by default those of `light`.

    Raises
    ------
    CytoCascadeError
        Light that is no volume, or labels of another shape.
    """
    if light.ndim != 3 or (labels is not None and labels.shape != light.shape):
        raise CytoCascadeError(
            f"light of shape {light.shape} and labels of shape {None if labels is None else labels.shape} do not fit",
            hint="Give two arrays with axes (Z, Y, X).",
        )
    z, y, x = (float(step) for step in spacing)
    step = z if out_step is None else out_step
    sharp = sample_planes(light, z, step, planes=planes)
    inside = np.asarray(sharp > 0)
    before = float(sharp.sum(where=inside, dtype=np.float64))
    per_plane = sharp.sum(axis=(1, 2), dtype=np.float64)
    del sharp
    if labels is None:
        seen = blur(light, (z, y, x), microscope.psf, out_step=step, planes=planes)
    else:
        seen = blur(light, (z, y, x), microscope.psf)
        keep_structure(seen, light, labels, (z, y, x), microscope.psf)
        seen = sample_planes(seen, z, step, planes=planes)
    after = float(seen.sum(where=inside, dtype=np.float64))
    factors = attenuation_factors(microscope.attenuation, len(seen), step, per_plane.tolist())
    if after > 0:
        factors = factors * np.float32(before / after)
    seen *= factors[:, None, None]
    return CleanVolume(seen, inside, (step, y, x))


def keep_structure(seen: FloatArray, light: FloatArray, labels: Array, spacing: Sequence[float], psf: Psf) -> None:
    """Give cells their own structure back, in place.

    Within a cell, its own blurred light is replaced by its sharp light times the share of the PSF's height that lies
    in the cell, brought to one largest share along z. So caps fade, light of other cells comes in, but texture is
    not blurred a second time, and outlines are not dimmed a second time where the cell is thin: slices of real cells
    show that, so textures have it.

    Parameters
    ----------
    seen : ndarray of float32, (Z, Y, X)
        The blurred `light`; changed within the cells.
    light : ndarray of float32, (Z, Y, X)
    labels : ndarray of int, (Z, Y, X)
    spacing : sequence of float
        Micrometres per voxel along (z, y, x).
    psf : Psf
    """
    kernel = axial_kernel(psf, spacing)
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        at_face = [(side.start == 0, side.stop == n) for side, n in zip(box, labels.shape, strict=True)]
        mask = labels[box] == label
        own = np.where(mask, light[box], np.float32(0))
        share = _along_z(mask, kernel, at_face[0])
        share *= share.max() / np.maximum(share.max(axis=0), np.float32(0.05))
        change = own * share - blur_alone(own, spacing, psf, at_face=at_face)
        seen[box] += np.where(mask, change, np.float32(0))
    np.maximum(seen, 0, out=seen)


def _along_z(mask: BoolArray, kernel: Array, at_face: tuple[bool, bool]) -> FloatArray:
    pad = len(kernel) // 2
    ends = [0 if face else pad for face in at_face]
    padded = np.pad(mask.astype(np.float32), [ends, [0, 0], [0, 0]])
    share = ndi.correlate1d(padded, kernel, axis=0, mode="reflect")
    return np.asarray(share[ends[0] : ends[0] + len(mask)], dtype=np.float32)
