"""One synthetic image: everything random is drawn first, then a pure function renders it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.composition import compose_field
from cytocascade.generation_options import GenerationOptions, field_shape
from cytocascade.images.features import measure_cells
from cytocascade.imaging.background import draw_background
from cytocascade.imaging.statistics import typical_noise
from cytocascade.population import draw_placement
from cytocascade.population.neighbours import USUAL
from cytocascade.preparation import PreparedField, prepare_field, resized
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.textures.spots import USUAL_SHARE, draw_spots
from cytocascade.types import Array, FloatArray, GeneratedSample
from cytocascade.variety import ImageVariety


def draw_sample(bundle: Bundle, options: GenerationOptions, seed: int, index: int) -> dict[str, Any]:
    """Draw everything random about sample `index`; the result holds JSON values only.

    Parameters
    ----------
    bundle : Bundle
        Trained cascade.
    options : GenerationOptions
        Wishes.
    seed, index : int
        Seed of the data set and position in it: the draw depends on these alone.

    Returns
    -------
    dict
        ``shape``, ``options``, ``background``, ``placement`` and ``cells`` (descriptors and seeds).
    """
    config = bundle.config
    shape = field_shape(config, options)
    keys = ("sample", index)
    fluorescence = config.modality == "fluorescence"
    variety = ImageVariety.drawn(options.variety, seed, index)
    wishes = variety.on(options.population(), config.modality)
    # How large nuclei are hardly differs from image to image; how far whole cells spread does.
    spread = {"cell_size": variety.cell_size} if options.variety and not fluorescence else {}
    spacing = resized(bundle, spread).config.spacing
    placement = draw_placement(bundle.population, shape, spacing, wishes, seed=seed, keys=keys)
    generator = numpy_generator(seed, *keys, "cells")
    descriptors = bundle.cells.draw(placement.count, generator, area_scale=options.area_scale, reach=variety.reach)
    background = draw_background(bundle.imaging, seed, *keys)
    if fluorescence:
        # How much cells shine is a matter of staining; their phase contrast is one of optics and of their size.
        background["gain"] *= variety.gain
    params = {
        "shape": list(shape),
        "options": options.resolved(bundle).model_dump(mode="json"),
        "background": background,
        "placement": placement.to_json(),
        "descriptors": [[round(float(value), 6) for value in row] for row in descriptors],
        "cell_seed": derive_seed(seed, *keys, "cell"),
        "noise_seed": derive_seed(seed, *keys, "noise"),
        "concave": config.concave,
        "aligned": True,
        "roomy": fluorescence,
        "halos_add": not fluorescence,
        "exposed": fluorescence,
        "neighbours_alike": round(variety.alike * _neighbours_alike(bundle), 4),
    }
    if fluorescence:
        share = _spotted(bundle) + variety.spotted
        params["spots"] = draw_spots(placement.count, share, numpy_generator(seed, *keys, "spots"))
    if config.texture_temperature != 1.0:
        params["texture_temperature"] = config.texture_temperature
    if variety.seam is not None:
        params |= {"seam": variety.seam, "seam_width": variety.seam_width}
    return params | spread


def _spotted(bundle: Bundle) -> float:
    measured = bundle.config.dark_spots
    return USUAL_SHARE if measured is None else measured


def _neighbours_alike(bundle: Bundle) -> float:
    if bundle.config.modality == "phase":
        return 0.0
    measured = bundle.population.neighbours_alike
    return USUAL if measured is None else measured


def render_sample(
    bundle: Bundle, params: dict[str, Any], *, seed: int, index: int, workers: int = 1
) -> GeneratedSample:
    """Render a sample from its drawn params: the same params give the same bytes.

    Parameters
    ----------
    bundle : Bundle
        The cascade that the params were drawn for.
    params : dict
        From `draw_sample`, or from a manifest.
    seed, index : int
        Recorded in the sample.
    workers : int
        Threads; without influence on the result.
    """
    prepared = prepare_field(bundle, params, workers=workers)
    image, background = compose_field(bundle, params, prepared)
    counts = {"drawn": prepared.drawn, "rejected": prepared.rejected, "unplaced": prepared.unplaced}
    return GeneratedSample(
        image=image,
        labels=prepared.labels,
        spacing=bundle.config.spacing,
        index=index,
        seed=seed,
        params={**params, "masks": counts},
        cells=_cell_records(image, prepared, background, bundle),
        spacing_known=bundle.config.spacing_known,
    )


def _cell_records(
    image: Array, prepared: PreparedField, background: FloatArray, bundle: Bundle
) -> list[dict[str, Any]]:
    noise = typical_noise(bundle.imaging)
    table = measure_cells(image, prepared.labels, bundle.config.spacing, background, noise)
    records = []
    for row, label in enumerate(table.label):
        place = prepared.placed[int(label) - 1]
        records.append(
            {
                "label": int(label),
                "number": place.index,
                "placement": place.placement,
                "corner": [int(value) for value in place.corner],
                "cut": bool(table.touches_border[row]),
                "features": {name: _rounded(values[row]) for name, values in table.values.items()},
            }
        )
    return records


def _rounded(value: float) -> float | None:
    return None if not np.isfinite(value) else float(f"{value:.6g}")
