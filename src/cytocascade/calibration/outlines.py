"""How smooth the outlines of generated cells have to be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.calibration import fields
from cytocascade.images.cells import fineness_of
from cytocascade.images.descriptors import SHAPE_NAMES, for_networks, mask_solidity, wished_solidity, zoom_factors
from cytocascade.masks.drawing import draw_masks
from cytocascade.population.field import to_field_grid
from cytocascade.seeding import derive_seed, numpy_generator

MOST_OF_A_SAMPLE = 0.5
"""Most that outlines of magnified cells waver, in samples of the crop: what is coarser their masks show themselves."""

ROUGHNESS = (-2.0, -1.0, -0.5, 0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.2, 1.8, 2.5)
"""Outline roughness that is tried."""


def outline_roughness(
    bundle: Bundle, wanted: float, seed: int, progress: Callable[[str, int, int, str], None]
) -> float:
    """Return the roughness at which the median solidity is `wanted`, or as near to it as is plausible."""
    progress("calibration", 0, 1, "outlines")
    generator = numpy_generator(seed, "calibration", "outlines")
    drawn = bundle.cells.draw(fields.WANTED_CELLS, generator).astype(np.float32)
    factors = zoom_factors(drawn, bundle.config.zoom)
    shape = for_networks(drawn, factors, bundle.config.zoom)[:, : len(SHAPE_NAMES)]
    seeds = [derive_seed(seed, "calibration", number) for number in range(len(shape))]
    masks = draw_masks(bundle.masks, seeds, shape, style=bundle.config.style, concave=bundle.config.concave, workers=2)
    scales = [bundle.config.scale_at(factor) for factor in factors]
    median = []
    for roughness in ROUGHNESS:
        cells = [
            to_field_grid(distance, scale, roughness=roughness, seed=one, fineness=fineness_of(distance))
            for distance, scale, one in zip(masks.distance, scales, seeds)
        ]
        found = [mask_solidity(c.mask) for c in cells if c is not None]
        median.append(float(np.median(found)))
    # Solidity falls with roughness; np.interp wants it rising.
    falling = np.minimum.accumulate(median)
    roughness = float(np.interp(-wanted, -falling, ROUGHNESS))
    if bundle.config.zoom is None:
        return roughness
    sample = float(np.median([np.mean(scale) for scale in scales])) / fineness_of(masks.distance)
    return min(roughness, MOST_OF_A_SAMPLE * sample)


def solidity_shift(bundle: Bundle, wanted: float) -> float:
    """Return `wanted`, the median solidity of the real cells in their images, minus that on the canonical grid."""
    rows = np.asarray(bundle.cells.rows)[:, : len(SHAPE_NAMES)]
    return wanted - float(np.median([wished_solidity(row) for row in rows]))
