"""Synthetic fields that the calibration measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.composition import CleanField, clean_field, expose
from cytocascade.generation import draw_sample
from cytocascade.generation_options import GenerationOptions
from cytocascade.images.background import estimate_background
from cytocascade.imaging.background import draw_background
from cytocascade.preparation import PreparedField, prepare_field
from cytocascade.types import Array, FloatArray

Field = tuple[dict[str, Any], PreparedField]
"""Drawn params, and the cells made and placed for them."""

Result = TypeVar("Result")

WANTED_CELLS = 120
"""Synthetic cells that the calibration looks at, about."""

MOST_FIELDS = 6
"""Most synthetic fields for it."""


def make_fields(bundle: Bundle, seed: int, progress: Callable[[str, int, int, str], None]) -> list[Field]:
    """Return fields with about `WANTED_CELLS` cells, at most `MOST_FIELDS`."""
    fields: list[Field] = []
    cells = 0
    while cells < WANTED_CELLS and len(fields) < MOST_FIELDS:
        progress("calibration", 0, 1, f"{cells} synthetic cells made")
        params = draw_sample(bundle, GenerationOptions(), seed, 1_000_000_007 + len(fields))
        fields.append((params, prepare_field(bundle, params, workers=2)))
        cells += len(fields[-1][1].placed)
    return fields


def variant(bundle: Bundle, **changes: Any) -> Bundle:
    """Return the bundle with other numbers in its config, rounded as they are stored."""
    rounded = {name: None if value is None else np.round(value, 5).tolist() for name, value in changes.items()}
    return replace(bundle, config=bundle.config.model_copy(update=rounded))


def other_backgrounds(bundle: Bundle, fields: Sequence[Field]) -> list[Field]:
    """Return the fields with new backgrounds, several times where there are few."""
    again = range(-(-MOST_FIELDS // len(fields)))
    return [
        ({**params, "background": draw_background(bundle.imaging, params["cell_seed"], "calibration", k)}, prepared)
        for params, prepared in fields
        for k in again
    ]


def clean_fields(bundle: Bundle, fields: Sequence[Field]) -> list[CleanField]:
    """Return light and background of the fields, before the camera."""
    return side_by_side(lambda field: clean_field(bundle, *field), fields)


def picture(bundle: Bundle, field: Field, clean: CleanField) -> tuple[Array, Array, FloatArray]:
    """Return image, labels and background of a field; the background is estimated, as that of real images is."""
    image, labels = expose(bundle, field[0], clean), field[1].labels
    return image, labels, estimate_background(image, labels)


def side_by_side(function: Callable[..., Result], *items: Sequence[Any]) -> list[Result]:
    """Return `function` of the items, in their order, computed by two threads."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, *items))
