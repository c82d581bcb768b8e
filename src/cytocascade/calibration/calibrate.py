"""Measuring real and synthetic cells alike, one property after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cytocascade.bundle import Bundle, BundleConfig
from cytocascade.calibration.fields import make_fields, variant
from cytocascade.calibration.light import (
    contrasted,
    dark_spots,
    edge_factors,
    phase_contrast,
    rim_of,
    texture_contrast,
    usual_pixel,
)
from cytocascade.calibration.noise import background_factors, fine_structure, grain_strength, photon_gain
from cytocascade.calibration.outlines import outline_roughness, solidity_shift
from cytocascade.images.cells import measure_image
from cytocascade.images.edges import edge_profile, typical_profile
from cytocascade.images.grain import FineStructure, measure_fine_structure
from cytocascade.images.halo import halo_reach
from cytocascade.images.noise import background_spread, structure_cv, structure_spread
from cytocascade.images.spots import spotted_cells
from cytocascade.types import AnnotatedImage, Array

CALIBRATED = (
    "outline_roughness",
    "solidity_shift",
    "rim",
    "edge_factor",
    "background_noise",
    "photon_gain",
    "background_texture",
    "texture_contrast",
    "noise_share",
    "grain",
    "grain_spread",
    "halo",
    "dark_spots",
)
"""Fields of the configuration that calibration sets."""


def calibrate(
    bundle: Bundle,
    images: Sequence[AnnotatedImage],
    *,
    seed: int,
    progress: Callable[[str, int, int, str], None],
    spots: bool = False,
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
       structure without the noise; in phase contrast the median standard deviation of the light, without detail finer
       than the samples of the crop.
    5. Fine structure: textures are learned from noisy crops, so part of the camera's noise is in them, part was
       averaged away, and detail finer than the canonical pixel is lost; noise and grain make up for it.
    6. Dark spots: where textures of fluorescent cells have fewer than real cells, they are drawn into the rest.

    Parameters
    ----------
    bundle : Bundle
        Complete but for these numbers; those of an earlier calibration do not count.
    images : sequence of AnnotatedImage
        Real images it was fitted on.
    seed : int
        Seed of the synthetic fields.
    progress : callable
        Called with (stage, done, in all, remark).
    spots : bool
        Whether dark spots of fluorescent cells are counted: not in slices of volumes, whose cells get none.

    Returns
    -------
    BundleConfig
        With `CALIBRATED` set.
    """
    known = BundleConfig.model_fields
    unset = {name: known[name].get_default(call_default_factory=True) for name in CALIBRATED}
    # Without a number the usual share of cells would have spots: fields are to show what the networks paint alone.
    bundle = variant(bundle, **(unset | {"dark_spots": 0.0}))
    fluorescence = bundle.config.modality == "fluorescence"
    spots = spots and fluorescence
    pixel = usual_pixel(bundle) / bundle.fineness
    real = _measure_real(images, pixel, spots=spots)
    bundle = variant(
        bundle,
        outline_roughness=outline_roughness(bundle, real.solidity, seed, progress),
        solidity_shift=solidity_shift(bundle, real.solidity),
    )
    fields = make_fields(bundle, seed, progress)
    bundle = variant(bundle, **background_factors(bundle, real.spread, fields))
    if fluorescence:
        bundle = variant(bundle, rim=rim_of(bundle, real.edge))
        bundle = variant(bundle, edge_factor=edge_factors(bundle, real.edge, fields))
        bundle = variant(bundle, photon_gain=photon_gain(bundle, real.spread, fields))
        bundle = variant(bundle, **fine_structure(bundle, real.fine, fields))
        contrast = texture_contrast(bundle, real.cv, fields)
        bundle = variant(bundle, texture_contrast=contrast)
        fields = [(params, contrasted(prepared, contrast)) for params, prepared in fields]
    else:
        bundle = variant(bundle, halo=halo_reach(images))
        bundle = variant(bundle, texture_contrast=phase_contrast(bundle, real.deviation, fields, pixel))
    bundle = variant(bundle, **fine_structure(bundle, real.fine, fields))
    bundle = variant(bundle, dark_spots=dark_spots(bundle, real.spotted, fields) if spots else None)
    config = bundle.config
    progress(
        "calibration",
        1,
        1,
        f"outline {config.outline_roughness:+.2f}, contrast {config.texture_contrast:.2f}, "
        f"noise {config.noise_share:.2f}, grain {grain_strength(config):.3f}",
    )
    return config


@dataclass(frozen=True)
class _Real:
    """Medians over the real cells, their edge profile and fine structure, cells and background of every image.

    ``spotted`` is how many cells have a dark spot, and how many were looked at; 0 and 0 where none are counted.
    """

    cv: float
    deviation: list[Array]
    solidity: float
    edge: Array
    fine: FineStructure
    spread: Array
    spotted: tuple[int, int]


def _measure_real(images: Sequence[AnnotatedImage], pixel: float, *, spots: bool) -> _Real:
    cv, deviation, solidity, profiles, fine, spread, spotted = [], [], [], [], [], [], []
    for image in images:
        table, background, noise = measure_image(image)
        cv.append(structure_cv(image.image, image.labels, background, table.label))
        deviation.append(structure_spread(image.image, image.labels, background, table.label, smoothing=pixel))
        solidity.append(table.values["solidity"][~table.touches_border])
        profiles.append(edge_profile(image.image, image.labels, background, noise))
        fine.append(measure_fine_structure(image.image, image.labels, background))
        spread.append(background_spread(image.image, image.labels, background))
        spotted.append(spotted_cells(image.image, image.labels, background) if spots else (0, 0))
    return _Real(
        cv=float(np.nanmedian(np.concatenate(cv))),
        deviation=deviation,
        solidity=float(np.nanmedian(np.concatenate(solidity))),
        edge=typical_profile(np.concatenate(profiles)),
        fine=FineStructure.joined(fine),
        spread=np.asarray(spread),
        spotted=(sum(some for some, _ in spotted), sum(whole for _, whole in spotted)),
    )
