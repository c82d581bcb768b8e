"""Where the light of generated cells ends, how it falls off across their outlines, and how varied it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.calibration.fields import Field, picture, side_by_side, variant
from cytocascade.composition import clean_field
from cytocascade.images.descriptors import zoom_factors
from cytocascade.images.edges import EDGE_CENTRES, edge_profile, typical_profile
from cytocascade.images.noise import structure_cv, structure_spread
from cytocascade.images.spots import spotted_cells
from cytocascade.imaging.statistics import typical_noise
from cytocascade.preparation import PreparedField
from cytocascade.textures.model import RIM, with_contrast
from cytocascade.textures.spots import lacking, share_of
from cytocascade.types import Array


def rim_of(bundle: Bundle, real: Array) -> float:
    """Return how far outside the outline, in canonical pixels, real cells still shine."""
    scale = bundle.config.crop_spacing / float(np.mean(bundle.config.spacing))
    outside = EDGE_CENTRES < 0
    bright = EDGE_CENTRES[outside][np.nan_to_num(real[outside]) > 0.01]
    # Where even the farthest measured distance is bright, the rim may go on.
    endless = len(bright) > 0 and bright.min() == EDGE_CENTRES[0]
    reach = -float(bright.min()) + 0.5 if len(bright) else 1.0
    # The fade sets in at 0.55 of the rim: all that still shines lies before it.
    return RIM if endless else float(np.clip(reach / 0.55 / scale, 2.0, RIM))


def edge_factors(bundle: Bundle, real: Array, fields: Sequence[Field]) -> list[float]:
    """Return real over synthetic edge profile, 1 deep inside.

    Outside, the factor never rises with the distance, and where either is too dark to tell it goes on as it was: light
    that grows again would be a ring around bright cells.
    """
    noise = typical_noise(bundle.imaging)
    factor = np.ones(len(EDGE_CENTRES))
    for _ in range(2):
        profiles = side_by_side(partial(_profiles, variant(bundle, edge_factor=factor), noise), fields)
        synthetic = typical_profile(np.concatenate(profiles))
        clear = np.isfinite(real) & (synthetic > 0.01)
        ratio = np.where(clear, np.maximum(real, 0.0) / np.where(clear, synthetic, 1.0), 1.0)
        fading = np.clip((EDGE_CENTRES[-1] - EDGE_CENTRES) / 3.0, 0.0, 1.0)
        factor = falling_outwards(np.clip(factor * (1 + fading * (ratio - 1)), 0.05, 2.5))
    return [float(value) for value in factor]


def falling_outwards(factor: Array) -> Array:
    """Return the factor at `EDGE_CENTRES` with rises towards the outside cut off."""
    outside = EDGE_CENTRES < 0
    fallen = factor.copy()
    fallen[outside] = np.minimum.accumulate(factor[outside][::-1])[::-1]
    return fallen


def _profiles(bundle: Bundle, noise: float, field: Field) -> Array:
    return edge_profile(*picture(bundle, field, clean_field(bundle, *field)), noise)


def texture_contrast(bundle: Bundle, wanted: float, fields: Sequence[Field]) -> float:
    """Return the factor on the textures' contrast at which the median CV of the structure is `wanted`."""
    contrast = 1.0
    for _ in range(2):
        found = float(np.nanmedian(np.concatenate(side_by_side(partial(_structure_cv, bundle, contrast), fields))))
        contrast = float(np.clip(contrast * (wanted / max(found, 1e-6)), 0.75, 1.35))
    return contrast


def _structure_cv(bundle: Bundle, contrast: float, field: Field) -> Array:
    params, prepared = field[0], contrasted(field[1], contrast)
    shown = picture(bundle, (params, prepared), clean_field(bundle, params, prepared))
    return structure_cv(*shown, np.arange(1, len(prepared.placed) + 1))


def dark_spots(bundle: Bundle, real: tuple[int, int], fields: Sequence[Field]) -> float:
    """Return the share of cells that a dark spot is to be drawn into, so that as many have one as of the `real`.

    Parameters
    ----------
    bundle : Bundle
        Calibrated otherwise.
    real : tuple of int
        How many real cells have a dark spot, and how many cells that was looked for in.
    fields : sequence of Field
        Synthetic fields without drawn spots.
    """
    counts = side_by_side(lambda field: spotted_cells(*picture(bundle, field, clean_field(bundle, *field))), fields)
    spotted, whole = (sum(numbers) for numbers in zip(*counts, strict=True))
    return lacking(share_of(*real), spotted / max(whole, 1))


def usual_pixel(bundle: Bundle) -> float:
    """Return the pixel of the crop, in pixels of the images, at the magnification of the usual cell.

    Crops may be sampled more finely, see `Bundle.fineness`.
    """
    rows = np.asarray(bundle.cells.rows, dtype=np.float32)
    return float(np.mean(bundle.config.scale_at(float(np.median(zoom_factors(rows, bundle.config.zoom))))))


def phase_contrast(bundle: Bundle, real: Sequence[Array], fields: Sequence[Field], pixel: float) -> float:
    """Return the factor on the light at which phase-contrast cells are as dark and bright at once as the real ones.

    Detail finer than the pixel of the crop is lost. It must not be made up for by what is coarser: fringes would
    become too strong. So both are compared smoothed by `pixel`.

    Parameters
    ----------
    bundle : Bundle
        With textures of contrast 1.
    real : sequence of ndarray
        Standard deviation of the light in every cell (see `images.noise.structure_spread`), smoothed by `pixel`, by
        image, in the order of the bundle's imaging records.
    fields : sequence of Field
        Synthetic fields.
    pixel : float
        Size of the detail that textures can show, in pixels of the images; see `usual_pixel`.
    """

    def spread(field: Field) -> Array:
        shown = picture(bundle, field, clean_field(bundle, *field))
        labels = np.arange(1, len(field[1].placed) + 1)
        deviation = structure_spread(*shown, labels, smoothing=pixel)
        return np.asarray(deviation / abs(field[0]["background"]["gain"]))

    # Every cell in units of its own image's gain, as the textures are.
    relative = [each / abs(record.gain) for each, record in zip(real, bundle.imaging.records, strict=True)]
    wanted = float(np.nanmedian(np.concatenate(relative)))
    found = float(np.nanmedian(np.concatenate(side_by_side(spread, fields))))
    return float(np.clip(wanted / max(found, 1e-6), 0.75, 1.6))


def contrasted(prepared: PreparedField, contrast: float) -> PreparedField:
    """Return the field with its textures' contrast multiplied."""
    return replace(prepared, signal=with_contrast(prepared.signal, prepared.distance, contrast))
