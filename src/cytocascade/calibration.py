"""The last step of a fit: make what the networks learned and what the camera adds fit together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cytocascade.bundle import Bundle, BundleConfig
from cytocascade.generation import GenerationOptions, PreparedField, compose_field, draw_sample, prepare_field
from cytocascade.images.cells import measure_image
from cytocascade.images.features import measure_cells
from cytocascade.textures.model import with_contrast
from cytocascade.types import AnnotatedImage, Array

WANTED_CELLS = 120
"""Synthetic cells that the calibration looks at, about."""

MOST_FIELDS = 6
"""Most synthetic fields for it."""

_LAPLACIAN = np.asarray([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
"""Noise estimator of Immerkaer (1996): blind to planes, weak on smooth structure."""


def calibrate(
    bundle: Bundle,
    images: Sequence[AnnotatedImage],
    *,
    seed: int,
    progress: Callable[[str, int, int, str], None],
) -> BundleConfig:
    """Choose noise share and texture contrast so that synthetic cells are as noisy and as contrasted as real.

    Textures are learned from noisy crops, resampled to the canonical grid: part of the camera's noise is in
    them already, part was averaged away. How much has to be added is measured, not assumed: the median
    high-pass energy inside cells must be that of the real ones. The contrast (intensity CV) is matched next.

    Parameters
    ----------
    bundle : Bundle
        Complete but for the two numbers.
    images : sequence of AnnotatedImage
        Real images it was fitted on.
    seed : int
        Seed of the synthetic fields.
    progress : callable
        Called with (stage, done, in all, remark).

    Returns
    -------
    BundleConfig
        With ``noise_share`` and ``texture_contrast`` set.
    """
    real_energy, real_cv = [], []
    for image in images:
        table, _, _ = measure_image(image)
        real_energy.append(high_pass_energy(image.image, image.labels, table.label))
        real_cv.append(table.values["intensity_cv"][~table.touches_border])
    fields = _fields(bundle, seed, progress)
    config = bundle.config
    quiet, noisy = (_median_energy(bundle, share, fields) for share in (0.0, 1.0))
    wanted = float(np.nanmedian(np.concatenate(real_energy)))
    share = float(np.clip((wanted - quiet) / max(noisy - quiet, 1e-9), 0.0, 1.0))
    contrast = 1.0
    if config.modality == "fluorescence":
        target = float(np.nanmedian(np.concatenate(real_cv)))
        for _ in range(2):
            found = _median_cv(bundle, share, contrast, fields)
            contrast = float(np.clip(contrast * (target / max(found, 1e-6)), 0.75, 1.35))
    progress("calibration", 1, 1, f"noise share {share:.2f}, contrast {contrast:.2f}")
    return config.model_copy(update={"noise_share": round(share, 4), "texture_contrast": round(contrast, 4)})


_Field = tuple[dict[str, Any], PreparedField]


def _fields(bundle: Bundle, seed: int, progress: Callable[[str, int, int, str], None]) -> list[_Field]:
    fields: list[_Field] = []
    cells = 0
    while cells < WANTED_CELLS and len(fields) < MOST_FIELDS:
        progress("calibration", 0, 1, f"{cells} synthetic cells made")
        params = draw_sample(bundle, GenerationOptions(), seed, 1_000_000_007 + len(fields))
        fields.append((params, prepare_field(bundle, params, workers=2)))
        cells += len(fields[-1][1].placed)
    return fields


def _variant(bundle: Bundle, share: float) -> Bundle:
    return replace(bundle, config=bundle.config.model_copy(update={"noise_share": share}))


def _median_energy(bundle: Bundle, share: float, fields: Sequence[_Field]) -> float:
    energies = []
    for params, prepared in fields:
        image, _ = compose_field(_variant(bundle, share), params, prepared)
        energies.append(high_pass_energy(image, prepared.labels, np.arange(1, len(prepared.placed) + 1)))
    return float(np.nanmedian(np.concatenate(energies)))


def _median_cv(bundle: Bundle, share: float, contrast: float, fields: Sequence[_Field]) -> float:
    values = []
    for params, prepared in fields:
        signal = with_contrast(prepared.signal, prepared.distance, contrast)
        image, background = compose_field(_variant(bundle, share), params, replace(prepared, signal=signal))
        table = measure_cells(image, prepared.labels, bundle.config.spacing, background, 1.0)
        values.append(table.values["intensity_cv"][~table.touches_border])
    return float(np.nanmedian(np.concatenate(values)))


def high_pass_energy(image: Array, labels: Array, wanted: Array) -> Array:
    """Return the mean squared Laplacian response inside each labelled cell, two pixels from its outline.

    NaN for cells that are nowhere deeper than that.
    """
    response = ndi.convolve(np.asarray(image, dtype=np.float32), _LAPLACIAN) ** 2
    inner = np.where(ndi.minimum_filter(labels, 5) == ndi.maximum_filter(labels, 5), labels, 0)
    present = np.isin(wanted, np.unique(inner))
    energy = np.full(len(wanted), np.nan)
    if present.any():
        energy[present] = ndi.mean(response, inner, np.asarray(wanted)[present])
    return energy
