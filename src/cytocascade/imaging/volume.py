"""Taking the picture of a volume: from the light of its cells to a stack in the camera's grey levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cytocascade.imaging.background import draw_background
from cytocascade.imaging.camera import add_noise
from cytocascade.imaging.illumination import render_haze, render_illumination
from cytocascade.imaging.level_profile import common_haze
from cytocascade.imaging.measured_psf import MeasuredPsf
from cytocascade.imaging.microscope import Microscope
from cytocascade.imaging.optics import CleanVolume, focus
from cytocascade.imaging.plane_fields import plane_grains, plane_textures
from cytocascade.imaging.planes import sample_planes
from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.types import Array, BoolArray, FloatArray


def draw_volume_background(
    statistics: ImagingStatistics, microscope: Microscope, seed: int, *keys: str | int
) -> dict[str, Any]:
    """Draw everything random about the background of one volume.

    Parameters
    ----------
    statistics : ImagingStatistics
        Fitted on annotated slices.
    microscope : Microscope
    seed : int
        Seed of the data set.
    *keys : str or int
        Name of the draw, for example ``("sample", 12)``.

    Returns
    -------
    dict
        JSON values: those of `cytocascade.imaging.background.draw_background`, and ``level_profile`` (which real
        stack's background along z). Haze and illumination are those that all slices share: what single slices add
        depends on what lies above and below them.
    """
    generator = numpy_generator(seed, *keys, "background", "z")
    profile = int(generator.integers(max(len(microscope.level_profiles), 1)))
    params = {**draw_background(statistics, seed, *keys), "level_profile": profile}
    if params["haze_strengths"]:
        params["haze_strengths"] = common_haze(statistics)
    model = statistics.illumination
    unit = {"absolute": 1.0, "level": params["level"], "gain": abs(params["gain"])}[model.unit]
    params["illumination"] = [float(unit * value) for value in model.mean]
    return params


@dataclass(frozen=True)
class FineTuning:
    """What calibration found in 2D, applied slice by slice; the defaults change nothing.

    Attributes
    ----------
    noise_share : float
        Share of the noise that cells still lack where `extent` is 1.
    grain : sequence of sequences of float
        Autocovariance over (y, x) of the grain relative to the light; empty for none.
    grain_noise : float
        Share of the grain's variance that is different in every slice.
    background_noise : float
        Factor on the background's noise.
    photon_gain : float
        Factor on the gain of the camera.
    background_texture : float
        Factor on the background's texture.
    """

    noise_share: float = 1.0
    grain: Sequence[Sequence[float]] = ()
    grain_noise: float = 0.0
    background_noise: float = 1.0
    photon_gain: float = 1.0
    background_texture: float = 1.0


def take_volume(
    light: FloatArray,
    statistics: ImagingStatistics,
    microscope: Microscope,
    params: dict[str, Any],
    spacing: Sequence[float],
    *,
    labels: Array | None = None,
    out_step: float | None = None,
    planes: int | None = None,
    extent: FloatArray | None = None,
    grain_extent: FloatArray | None = None,
    tuning: FineTuning | None = None,
) -> FloatArray:
    """Return the stack that a camera takes of the light of cells.

    Parameters
    ----------
    light : ndarray of float32, (Z, Y, X)
        Light of the cells above the background, 0 elsewhere, in the image's units, before the PSF.
    statistics : ImagingStatistics
        Background and camera, fitted on 2D slices.
    microscope : Microscope
        PSF, attenuation and background along z.
    params : dict
        From `draw_volume_background`; the same params give the same bytes.
    spacing : sequence of float
        Micrometres per voxel of `light` along (z, y, x).
    labels : ndarray of int, shape of `light`, optional
        The cells' bodies; keeps the structure within them, see `cytocascade.imaging.optics.focus`.
    out_step, planes : float and int, optional
        Distance in um and number of the image's planes, by default those of `light`. A whole or fractional ratio is
        possible; both stacks have the same middle.
    extent : ndarray of float32, shape of `light`, optional
        Where textures hold noise of their own, in [0, 1].
    grain_extent : ndarray of float32, shape of `light`, optional
        How strong the grain is that textures lack: about 1 inside cells, 0 outside.
    tuning : FineTuning, optional

    Returns
    -------
    ndarray of float32, (planes, Y, X)
        In the image's units, neither rounded nor clipped.
    """
    clean = focus(light, microscope, spacing, labels=labels, out_step=out_step, planes=planes)
    tuning = FineTuning() if tuning is None else tuning
    count, step = len(clean.light), clean.spacing[0]
    extent, grain_extent = (
        None if mask is None else sample_planes(mask, float(spacing[0]), step, planes=count, average=True)
        for mask in (extent, grain_extent)
    )
    shape, seed, sigma = clean.light.shape[1:], int(params["field_seed"]), axial_sigma(microscope) / step
    factor = tuning.background_texture
    textures = plane_textures(params, statistics, shape, count, sigma, factor=factor)
    covariance = () if grain_extent is None else tuning.grain
    grains = plane_grains(seed, covariance, shape, count, sigma, noise=tuning.grain_noise)
    surface = render_illumination(params["illumination"], shape)
    levels = plane_levels(clean, microscope, params)
    stack = np.empty(clean.light.shape, dtype=np.float32)
    for plane, (texture, grain, level) in enumerate(zip(textures, grains, levels, strict=True)):
        light = clean.light[plane]
        if grain_extent is not None:
            light = light * np.maximum(1 + grain * grain_extent[plane], 0)
        background, image = _joined(
            light, clean.inside[plane], surface + texture + np.float32(level), params, statistics
        )
        stack[plane] = add_noise(
            image,
            background,
            1.0 if extent is None else 1.0 - (1.0 - tuning.noise_share) * extent[plane],
            {**params, "field_seed": derive_seed(seed, "plane", plane)},
            statistics,
            factor=tuning.background_noise,
            gain=tuning.photon_gain,
        )
    return stack


def _joined(
    light: FloatArray, inside: BoolArray, field: FloatArray, params: dict[str, Any], statistics: ImagingStatistics
) -> tuple[FloatArray, FloatArray]:
    """Return the background with haze, and the noise-free image, of one plane.

    The haze was measured around cells, and so holds what the PSF spreads there as well: outside cells the larger of
    the two counts, not their sum.
    """
    haze = render_haze(light, params["haze_widths"], params["haze_strengths"])
    background = field + haze
    if statistics.output.low is not None:
        np.maximum(background, np.float32(statistics.output.low), out=background)
    return background, background + np.where(inside, light, np.maximum(light - haze, 0))


def axial_sigma(microscope: Microscope) -> float:
    """Return the standard deviation of the core of the PSF along z, in um."""
    psf = microscope.psf
    if not isinstance(psf, MeasuredPsf):
        return psf.axial
    along = psf.array().sum(axis=(1, 2), dtype=np.float64)
    heights = (np.arange(len(along)) - psf.centre[0]) * psf.spacing[0]
    return float(np.sqrt((along * heights**2).sum() / along.sum()))


def plane_levels(clean: CleanVolume, microscope: Microscope, params: dict[str, Any]) -> Array:
    """Return the background level of every plane in image units, without illumination, haze and texture."""
    light = clean.light.sum(axis=(1, 2), dtype=np.float64)
    heights = np.arange(len(light)) * clean.spacing[0]
    middle = float(np.average(heights, weights=light)) if light.sum() > 0 else float(heights.mean())
    relative = microscope.level_at(heights - middle, int(params.get("level_profile", 0)))
    return np.asarray(float(params["level"]) + abs(float(params["gain"])) * relative)
