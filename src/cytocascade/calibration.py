"""The last step of a fit: make what the networks learned and what the camera adds fit together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from skimage.measure import regionprops

from cytocascade.bundle import Bundle, BundleConfig
from cytocascade.generation import (
    CleanField,
    GenerationOptions,
    PreparedField,
    clean_field,
    compose_field,
    draw_sample,
    expose,
    prepare_field,
)
from cytocascade.images.background import estimate_background
from cytocascade.images.cells import measure_image
from cytocascade.images.descriptors import SHAPE_NAMES, wished_solidity
from cytocascade.images.edges import EDGE_CENTRES, edge_profile, typical_profile
from cytocascade.images.grain import FineStructure, measure_fine_structure, missing_grain, refined_grain
from cytocascade.images.noise import background_spread, structure_cv
from cytocascade.imaging.background import draw_background
from cytocascade.imaging.statistics import typical_noise
from cytocascade.masks.maskddpm import sample_masks
from cytocascade.population.field import to_field_grid
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.textures.model import RIM, with_contrast
from cytocascade.types import AnnotatedImage, Array

_Field = tuple[dict[str, Any], PreparedField]
Result = TypeVar("Result")

WANTED_CELLS = 120
"""Synthetic cells that the calibration looks at, about."""

MOST_FIELDS = 6
"""Most synthetic fields for it."""

GRAIN_PASSES = 3
"""How often the grain is measured again and corrected."""

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
       are smoothed) until their median solidity is that of the real cells; generation then varies this a little
       towards the solidity that each cell was drawn with.
    2. Edge profile: the rim ends where the real cells' light does; resampling blurs edges, so the light is
       multiplied by a factor that depends on the distance to the outline only.
    3. Background: noise and texture are scaled to the spread that they have in the real images, and the gain
       of the camera to the rise of the noise towards the cells.
    4. Contrast: the median coefficient of variation of the smoothed light inside cells, which is their
       structure without the noise.
    5. Fine structure: textures are learned from noisy crops, so part of the camera's noise is in them, part was
       averaged away, and detail finer than the canonical pixel is lost; noise and grain make up for it.

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
        With ``outline_roughness``, ``solidity_shift``, ``rim``, ``edge_factor``, ``background_noise``, ``photon_gain``,
        ``background_texture``, ``texture_contrast``, ``noise_share`` and ``grain`` set.
    """
    real = _measure_real(images)
    roughness = _outline_roughness(bundle, real.solidity, seed, progress)
    wished = np.median([wished_solidity(row) for row in np.asarray(bundle.cells.rows)[:, : len(SHAPE_NAMES)]])
    bundle = _variant(bundle, outline_roughness=roughness, solidity_shift=real.solidity - float(wished))
    fields = _fields(bundle, seed, progress)
    fluorescence = bundle.config.modality == "fluorescence"
    bundle = _variant(bundle, **_background_factors(bundle, real.spread, fields))
    if fluorescence:
        bundle = _variant(bundle, rim=_rim(bundle, real.edge))
        bundle = _variant(bundle, edge_factor=_edge_factors(bundle, real.edge, fields))
        bundle = _variant(bundle, photon_gain=_photon_gain(bundle, real.spread, fields))
        bundle = _variant(bundle, **_fine_structure(bundle, real.fine, fields))
        contrast = _texture_contrast(bundle, real.cv, fields)
        bundle = _variant(bundle, texture_contrast=contrast)
        fields = [(params, _with_contrast(prepared, contrast)) for params, prepared in fields]
    bundle = _variant(bundle, **_fine_structure(bundle, real.fine, fields))
    config = bundle.config
    progress(
        "calibration",
        1,
        1,
        f"outline {config.outline_roughness:+.2f}, contrast {config.texture_contrast:.2f}, "
        f"noise {config.noise_share:.2f}, grain {_grain_strength(config):.3f}",
    )
    return config


@dataclass(frozen=True)
class _Real:
    """Medians over the real cells, their edge profile and fine structure, and the background of every image."""

    cv: float
    solidity: float
    edge: Array
    fine: FineStructure
    spread: Array


def _measure_real(images: Sequence[AnnotatedImage]) -> _Real:
    cv, solidity, profiles, fine, spread = [], [], [], [], []
    for image in images:
        table, background, noise = measure_image(image)
        cv.append(structure_cv(image.image, image.labels, background, table.label))
        solidity.append(table.values["solidity"][~table.touches_border])
        profiles.append(edge_profile(image.image, image.labels, background, noise))
        fine.append(measure_fine_structure(image.image, image.labels, background))
        spread.append(background_spread(image.image, image.labels, background))
    return _Real(
        cv=float(np.nanmedian(np.concatenate(cv))),
        solidity=float(np.nanmedian(np.concatenate(solidity))),
        edge=typical_profile(np.concatenate(profiles)),
        fine=FineStructure.joined(fine),
        spread=np.asarray(spread),
    )


def _variant(bundle: Bundle, **changes: Any) -> Bundle:
    rounded = {name: np.round(value, 5).tolist() for name, value in changes.items()}
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
            image, _ = compose_field(_variant(bundle, edge_factor=factor.tolist()), params, prepared)
            background = estimate_background(image, prepared.labels)
            profiles.append(edge_profile(image, prepared.labels, background, noise))
        synthetic = typical_profile(np.concatenate(profiles))
        clear = np.isfinite(real) & (synthetic > 0.01)
        ratio = np.where(clear, np.maximum(real, 0.0) / np.where(clear, synthetic, 1.0), 1.0)
        fading = np.clip((EDGE_CENTRES[-1] - EDGE_CENTRES) / 3.0, 0.0, 1.0)
        factor = np.clip(factor * (1 + fading * (ratio - 1)), 0.05, 2.5)
    return [float(value) for value in factor]


def _background_factors(bundle: Bundle, real: Array, fields: Sequence[_Field]) -> dict[str, float]:
    """Return the factors on the background's noise and texture at which their spread is that of the real images.

    Every synthetic field is compared with the image whose background it was drawn from.
    """
    fields = _other_backgrounds(bundle, fields)
    plain, textured = (_clean(_variant(bundle, background_texture=k), fields) for k in (0.0, 1.0))
    wanted = real[[params["background"]["record"] for params, _ in fields]]
    factor = 1.0
    for _ in range(2):
        far = _spread(_variant(bundle, background_noise=factor), fields, textured)[:, 0]
        factor = float(np.clip(factor * _ratio(wanted[:, 0], far), 0.5, 2.0))
    variant = _variant(bundle, background_noise=factor)
    without, with_ = (_spread(variant, fields, clean)[:, 2] ** 2 for clean in (plain, textured))
    texture = float(np.sqrt(np.clip(_ratio(wanted[:, 2] ** 2 - without, with_ - without), 0.0, 9.0)))
    return {"background_noise": factor, "background_texture": texture}


def _photon_gain(bundle: Bundle, real: Array, fields: Sequence[_Field]) -> float:
    """Return the factor on the camera's gain at which noise rises towards the cells as in the real images.

    Inside cells their structure passes for noise; in the rim there is light without structure.
    """
    fields = _other_backgrounds(bundle, fields)
    clean = _clean(bundle, fields)
    wanted = real[[params["background"]["record"] for params, _ in fields]]
    base, found = (_spread(_variant(bundle, photon_gain=k), fields, clean)[:, 1] for k in (0.0, 1.0))
    far = _spread(bundle, fields, clean)[:, 0]
    # Relative to the noise far from cells, which differs a little from the real one in every field.
    rise = (wanted[:, 1] / wanted[:, 0]) ** 2 - (base / far) ** 2
    return float(np.clip(_ratio(rise, (found / far) ** 2 - (base / far) ** 2), 0.0, 1.0))


def _ratio(wanted: Array, found: Array) -> float:
    """Return the mean of `wanted` over that of `found`, 1 if there is none."""
    known = np.isfinite(wanted) & np.isfinite(found)
    if not known.any() or abs(found[known].mean()) < 1e-9:
        return 1.0
    return float(wanted[known].mean() / found[known].mean())


def _other_backgrounds(bundle: Bundle, fields: Sequence[_Field]) -> list[_Field]:
    """Return the fields with new backgrounds, several times where there are few."""
    again = range(-(-MOST_FIELDS // len(fields)))
    return [
        ({**params, "background": draw_background(bundle.imaging, params["cell_seed"], "calibration", k)}, prepared)
        for params, prepared in fields
        for k in again
    ]


def _clean(bundle: Bundle, fields: Sequence[_Field]) -> list[CleanField]:
    return _side_by_side(lambda field: clean_field(bundle, *field), fields)


def _side_by_side(function: Callable[..., Result], *items: Sequence[Any]) -> list[Result]:
    """Return `function` of the items, in their order, computed by two threads."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, *items))


def _spread(bundle: Bundle, fields: Sequence[_Field], clean: Sequence[CleanField]) -> Array:
    def measured(field: _Field, light: CleanField) -> tuple[float, float, float]:
        image = expose(bundle, field[0], light)
        labels = field[1].labels
        return background_spread(image, labels, estimate_background(image, labels))

    return np.asarray(_side_by_side(measured, fields, clean))


def _fine_structure(bundle: Bundle, real: FineStructure, fields: Sequence[_Field]) -> dict[str, Any]:
    """Return the share of the camera's noise and the grain that cells lack."""
    clean = _clean(bundle, fields)

    def measured(**changes: Any) -> FineStructure:
        variant = _variant(bundle, **changes)

        def of_field(field: _Field, light: CleanField) -> FineStructure:
            image = expose(variant, field[0], light)
            labels = field[1].labels
            return measure_fine_structure(image, labels, estimate_background(image, labels))

        return FineStructure.joined(_side_by_side(of_field, fields, clean))

    share, grain = missing_grain(real, measured(noise_share=0.0, grain=[]), measured(noise_share=1.0, grain=[]))
    for _ in range(GRAIN_PASSES):
        grain = refined_grain(grain, real, measured(noise_share=share, grain=grain))
    return {"noise_share": share, "grain": grain if grain.any() else np.zeros((0, 0))}


def _grain_strength(config: BundleConfig) -> float:
    """Return the standard deviation of the relative grain."""
    middle = len(config.grain) // 2
    return float(np.sqrt(max(config.grain[middle][middle], 0.0))) if config.grain else 0.0


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


def _median_cv(bundle: Bundle, contrast: float, fields: Sequence[_Field]) -> float:
    values = []
    for params, prepared in fields:
        image, _ = compose_field(bundle, params, _with_contrast(prepared, contrast))
        background = estimate_background(image, prepared.labels)
        values.append(structure_cv(image, prepared.labels, background, np.arange(1, len(prepared.placed) + 1)))
    return float(np.nanmedian(np.concatenate(values)))


def _with_contrast(prepared: PreparedField, contrast: float) -> PreparedField:
    return replace(prepared, signal=with_contrast(prepared.signal, prepared.distance, contrast))
