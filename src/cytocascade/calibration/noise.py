"""How much noise, background texture and grain generated images need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cytocascade.bundle import Bundle, BundleConfig
from cytocascade.calibration.fields import Field, clean_fields, other_backgrounds, picture, side_by_side, variant
from cytocascade.composition import CleanField
from cytocascade.images.descriptors import zoom_factors
from cytocascade.images.grain import FineStructure, measure_fine_structure, missing_grain, missing_spread, refined_grain
from cytocascade.images.noise import background_spread
from cytocascade.types import Array

TEXTURE_FACTORS = (0.0, 1.0, 2.0, 4.0)
"""Factors on the texture of the background between which the best is interpolated."""

GRAIN_PASSES = 3
"""How often the grain is measured again and corrected."""


def background_factors(bundle: Bundle, real: Array, fields: Sequence[Field]) -> dict[str, float]:
    """Return the factors on the background's noise and texture at which their spread is that of the real images.

    Every synthetic field is compared with the image whose background it was drawn from.
    """
    fields = other_backgrounds(bundle, fields)
    wanted = _of_the_same_background(bundle, real, fields)
    power = []
    for k in TEXTURE_FACTORS:
        clean = clean_fields(variant(bundle, background_texture=k), fields)
        power.append(_ratio(_spread(bundle, fields, clean)[:, 2] ** 2, wanted[:, 2] ** 2))
    texture = float(np.interp(1.0, np.maximum.accumulate(power), TEXTURE_FACTORS)) if np.ptp(power) > 1e-3 else 1.0
    clean = clean_fields(variant(bundle, background_texture=texture), fields)
    factor = 1.0
    for _ in range(2):
        far = _spread(variant(bundle, background_noise=factor), fields, clean)[:, 0]
        factor = float(np.clip(factor * _ratio(wanted[:, 0], far), 0.5, 2.0))
    return {"background_noise": factor, "background_texture": texture}


def photon_gain(bundle: Bundle, real: Array, fields: Sequence[Field]) -> float:
    """Return the factor on the camera's gain at which noise rises towards the cells as in the real images.

    Inside cells their structure passes for noise; in the rim there is light without structure.
    """
    fields = other_backgrounds(bundle, fields)
    clean = clean_fields(bundle, fields)
    wanted = _of_the_same_background(bundle, real, fields)
    base = _spread(variant(bundle, photon_gain=0.0), fields, clean)[:, 1]
    far, found, _ = _spread(variant(bundle, photon_gain=1.0), fields, clean).T
    # Relative to the noise far from cells, which differs a little from the real one in every field.
    rise = (wanted[:, 1] / wanted[:, 0]) ** 2 - (base / far) ** 2
    return float(np.clip(_ratio(rise, (found / far) ** 2 - (base / far) ** 2), 0.3, 1.0))


def fine_structure(bundle: Bundle, real: FineStructure, fields: Sequence[Field]) -> dict[str, Any]:
    """Return the share of the camera's noise and the grain that cells lack.

    Both are measured relative to the mean light of a cell. In phase contrast that is next to nothing, and the grain
    would drown the cells: there is none then, and the share is that which canonical pixels average away.
    """
    if bundle.config.modality == "phase":
        usual = float(np.median(zoom_factors(np.asarray(bundle.cells.rows), bundle.config.zoom)))
        share = max(0.0, 1 - usual**2 / math.prod(bundle.config.scale))
        return {"noise_share": round(share, 2), "grain": np.zeros((0, 0)), "grain_spread": 0.0}
    clean = clean_fields(variant(bundle, grain_spread=0.0), fields)

    def measured(**changes: Any) -> FineStructure:
        changed = variant(bundle, **changes)

        def of_field(field: Field, light: CleanField) -> FineStructure:
            return measure_fine_structure(*picture(changed, field, light))

        return FineStructure.joined(side_by_side(of_field, fields, clean))

    share, grain = missing_grain(real, measured(noise_share=0.0, grain=[]), measured(noise_share=1.0, grain=[]))
    for _ in range(GRAIN_PASSES):
        grain = refined_grain(grain, real, measured(noise_share=share, grain=grain))
    if not grain.any():
        return {"noise_share": share, "grain": np.zeros((0, 0)), "grain_spread": 0.0}
    spread = missing_spread(real, measured(noise_share=share, grain=[]), measured(noise_share=share, grain=grain))
    return {"noise_share": share, "grain": grain, "grain_spread": spread}


def grain_strength(config: BundleConfig) -> float:
    """Return the standard deviation of the relative grain."""
    middle = len(config.grain) // 2
    return float(np.sqrt(max(config.grain[middle][middle], 0.0))) if config.grain else 0.0


def _spread(bundle: Bundle, fields: Sequence[Field], clean: Sequence[CleanField]) -> Array:
    def measured(field: Field, light: CleanField) -> tuple[float, float, float]:
        return background_spread(*picture(bundle, field, light))

    return np.asarray(side_by_side(measured, fields, clean))


def _of_the_same_background(bundle: Bundle, real: Array, fields: Sequence[Field]) -> Array:
    """Return the rows of the real images that the fields' backgrounds were drawn from."""
    if len(real) != len(bundle.imaging.records):
        return np.tile(np.nanmean(real, axis=0), (len(fields), 1))
    return np.asarray(real[[params["background"]["record"] for params, _ in fields]])


def _ratio(wanted: Array, found: Array) -> float:
    """Return the mean of `wanted` over that of `found`, 1 if there is none."""
    known = np.isfinite(wanted) & np.isfinite(found)
    if not known.any() or abs(found[known].mean()) < 1e-9:
        return 1.0
    return float(wanted[known].mean() / found[known].mean())
