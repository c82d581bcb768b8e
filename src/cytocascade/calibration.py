"""The last step of a fit: make what the networks learned and what the camera adds fit together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from skimage.measure import regionprops

from cytocascade.bundle import Bundle, BundleConfig
from cytocascade.generation import GenerationOptions, PreparedField, compose_field, draw_sample, prepare_field
from cytocascade.images.cells import measure_image
from cytocascade.images.descriptors import SHAPE_NAMES
from cytocascade.images.edges import EDGE_CENTRES, edge_profile
from cytocascade.images.noise import high_pass_energy, structure_cv
from cytocascade.imaging.statistics import typical_noise
from cytocascade.masks.maskddpm import sample_masks
from cytocascade.population.field import to_field_grid
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.textures.model import RIM, with_contrast
from cytocascade.types import AnnotatedImage, Array

_Field = tuple[dict[str, Any], PreparedField]

WANTED_CELLS = 120
"""Synthetic cells that the calibration looks at, about."""

MOST_FIELDS = 6
"""Most synthetic fields for it."""

ROUGHNESS = (-2.0, -1.0, -0.5, 0.0, 0.15, 0.3, 0.45, 0.6, 0.8)
"""Outline roughness that is tried."""


def calibrate(
    bundle: Bundle,
    images: Sequence[AnnotatedImage],
    *,
    seed: int,
    progress: Callable[[str, int, int, str], None],
) -> BundleConfig:
    """Measure synthetic cells as the real ones are measured, and set what makes them agree.

    1. Outlines: drawn on the canonical grid they are smoother (or rougher) than annotated ones; they waver (or
       are smoothed) until their median solidity is that of the real cells.
    2. Edge profile: the rim ends where the real cells' light does; resampling blurs edges, so the light is
       multiplied by a factor that depends on the distance to the outline only.
    3. Noise: textures are learned from noisy crops, so part of the camera's noise is in them, part was
       averaged away; as much is added as makes the median high-pass energy inside cells the real one.
    4. Contrast: the median coefficient of variation of the smoothed light inside cells, which is their
       structure without the noise.

    Parameters
    ----------
    bundle : Bundle
        Complete but for these numbers.
    images : sequence of AnnotatedImage
        Real images it was fitted on.
    seed : int
        Seed of the synthetic fields.
    progress : callable
        Called with (stage, done, in all, remark).

    Returns
    -------
    BundleConfig
        With ``outline_roughness``, ``rim``, ``edge_factor``, ``noise_share`` and ``texture_contrast`` set.
    """
    real = _measure_real(images)
    roughness = _outline_roughness(bundle, real.solidity, seed, progress)
    bundle = _variant(bundle, outline_roughness=roughness)
    fields = _fields(bundle, seed, progress)
    fluorescence = bundle.config.modality == "fluorescence"
    if fluorescence:
        bundle = _variant(bundle, rim=_rim(bundle, real.edge))
        bundle = _variant(bundle, edge_factor=_edge_factors(bundle, real.edge, fields))
    bundle = _variant(bundle, noise_share=_noise_share(bundle, real.energy, fields))
    if fluorescence:
        contrast = _texture_contrast(bundle, real.cv, fields)
        bundle = _variant(bundle, texture_contrast=contrast)
        fields = [(params, _with_contrast(prepared, contrast)) for params, prepared in fields]
        bundle = _variant(bundle, noise_share=_noise_share(bundle, real.energy, fields))
    config = bundle.config
    progress(
        "calibration",
        1,
        1,
        f"outline {config.outline_roughness:+.2f}, noise {config.noise_share:.2f}, "
        f"contrast {config.texture_contrast:.2f}",
    )
    return config


@dataclass(frozen=True)
class _Real:
    """Medians over the real cells, and their edge profile."""

    energy: float
    cv: float
    solidity: float
    edge: Array


def _measure_real(images: Sequence[AnnotatedImage]) -> _Real:
    energy, cv, solidity, profiles = [], [], [], []
    for image in images:
        table, background, noise = measure_image(image)
        energy.append(high_pass_energy(image.image, image.labels, table.label))
        cv.append(structure_cv(image.image, image.labels, background, table.label))
        solidity.append(table.values["solidity"][~table.touches_border])
        profiles.append(edge_profile(image.image, image.labels, background, noise))
    return _Real(
        energy=float(np.nanmedian(np.concatenate(energy))),
        cv=float(np.nanmedian(np.concatenate(cv))),
        solidity=float(np.nanmedian(np.concatenate(solidity))),
        edge=_profile(profiles),
    )


def _profile(parts: Sequence[tuple[Array, Array]]) -> Array:
    total, count = (np.sum([part[k] for part in parts], axis=0) for k in (0, 1))
    return np.where(count >= 50, total / np.maximum(count, 1), np.nan)


def _variant(bundle: Bundle, **changes: Any) -> Bundle:
    rounded = {
        name: [round(v, 4) for v in value] if isinstance(value, list) else round(value, 4)
        for name, value in changes.items()
    }
    return replace(bundle, config=bundle.config.model_copy(update=rounded))


def _outline_roughness(
    bundle: Bundle, wanted: float, seed: int, progress: Callable[[str, int, int, str], None]
) -> float:
    """Return the roughness at which the median solidity is `wanted`."""
    progress("calibration", 0, 1, "outlines")
    generator = numpy_generator(seed, "calibration", "outlines")
    shape = bundle.cells.draw(WANTED_CELLS, generator)[:, : len(SHAPE_NAMES)]
    seeds = [derive_seed(seed, "calibration", number) for number in range(len(shape))]
    masks = sample_masks(bundle.masks, seeds, shape, style=bundle.config.style, workers=2)
    scale = tuple(bundle.config.crop_spacing / spacing for spacing in bundle.config.spacing)
    median = []
    for roughness in ROUGHNESS:
        cells = [to_field_grid(d, scale, roughness=roughness, seed=s) for d, s in zip(masks.distance, seeds)]
        found = [regionprops(c.mask.astype(np.uint8))[0].solidity for c in cells if c is not None]
        median.append(float(np.median(found)))
    # Solidity falls with roughness; np.interp wants it rising.
    falling = np.minimum.accumulate(median)
    return float(np.interp(-wanted, -falling, ROUGHNESS))


def _rim(bundle: Bundle, real: Array) -> float:
    """Return how far outside the outline, in canonical pixels, real cells still shine."""
    scale = bundle.config.crop_spacing / float(np.mean(bundle.config.spacing))
    outside = EDGE_CENTRES < 0
    bright = EDGE_CENTRES[outside][np.nan_to_num(real[outside]) > 0.01]
    # Where even the farthest measured distance is bright, the rim may go on.
    endless = len(bright) > 0 and bright.min() == EDGE_CENTRES[0]
    reach = -float(bright.min()) + 0.5 if len(bright) else 1.0
    # The fade sets in at 0.55 of the rim: all that still shines lies before it.
    return RIM if endless else float(np.clip(reach / 0.55 / scale, 2.0, RIM))


def _edge_factors(bundle: Bundle, real: Array, fields: Sequence[_Field]) -> list[float]:
    """Return real over synthetic edge profile, 1 where either is too dark to tell and deep inside."""
    noise = typical_noise(bundle.imaging)
    factor = np.ones(len(EDGE_CENTRES))
    for _ in range(2):
        profiles = []
        for params, prepared in fields:
            image, background = compose_field(_variant(bundle, edge_factor=factor.tolist()), params, prepared)
            profiles.append(edge_profile(image, prepared.labels, background, noise))
        synthetic = _profile(profiles)
        clear = (real > 0.02) & (synthetic > 0.02)
        ratio = np.where(clear, real / np.where(clear, synthetic, 1.0), 1.0)
        fading = np.clip((EDGE_CENTRES[-1] - EDGE_CENTRES) / 3.0, 0.0, 1.0)
        factor = np.clip(factor * (1 + fading * (ratio - 1)), 0.3, 2.5)
    return [float(value) for value in factor]


def _noise_share(bundle: Bundle, wanted: float, fields: Sequence[_Field]) -> float:
    """Return the share of the noise at which the median high-pass energy is `wanted`."""
    quiet, noisy = (_median_energy(bundle, share, fields) for share in (0.0, 1.0))
    return float(np.clip((wanted - quiet) / max(noisy - quiet, 1e-9), 0.0, 1.0))


def _texture_contrast(bundle: Bundle, wanted: float, fields: Sequence[_Field]) -> float:
    """Return the factor on the textures' contrast at which the median CV of the structure is `wanted`."""
    contrast = 1.0
    for _ in range(2):
        found = _median_cv(bundle, contrast, fields)
        contrast = float(np.clip(contrast * (wanted / max(found, 1e-6)), 0.75, 1.35))
    return contrast


def _fields(bundle: Bundle, seed: int, progress: Callable[[str, int, int, str], None]) -> list[_Field]:
    fields: list[_Field] = []
    cells = 0
    while cells < WANTED_CELLS and len(fields) < MOST_FIELDS:
        progress("calibration", 0, 1, f"{cells} synthetic cells made")
        params = draw_sample(bundle, GenerationOptions(), seed, 1_000_000_007 + len(fields))
        fields.append((params, prepare_field(bundle, params, workers=2)))
        cells += len(fields[-1][1].placed)
    return fields


def _median_energy(bundle: Bundle, share: float, fields: Sequence[_Field]) -> float:
    energies = []
    for params, prepared in fields:
        image, _ = compose_field(_variant(bundle, noise_share=share), params, prepared)
        energies.append(high_pass_energy(image, prepared.labels, np.arange(1, len(prepared.placed) + 1)))
    return float(np.nanmedian(np.concatenate(energies)))


def _median_cv(bundle: Bundle, contrast: float, fields: Sequence[_Field]) -> float:
    values = []
    for params, prepared in fields:
        image, background = compose_field(bundle, params, _with_contrast(prepared, contrast))
        values.append(structure_cv(image, prepared.labels, background, np.arange(1, len(prepared.placed) + 1)))
    return float(np.nanmedian(np.concatenate(values)))


def _with_contrast(prepared: PreparedField, contrast: float) -> PreparedField:
    return replace(prepared, signal=with_contrast(prepared.signal, prepared.distance, contrast))
