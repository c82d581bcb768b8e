"""Phase contrast: drawn images with cells of very different sizes, and bundles that say they show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from skimage.draw import ellipse

from cytocascade.bundle import Bundle
from cytocascade.types import AnnotatedImage

RADII = [(14, 14), (16, 15), (22, 22), (30, 30), (16, 50), (34, 66), (60, 60)]


def draw_phase(radii: Sequence[tuple[float, float]] = RADII, *, side: int = 160) -> AnnotatedImage:
    """Return cells that are dark inside and have a bright halo, one beside the other."""
    labels = np.zeros((side, side * len(radii)), dtype=np.uint16)
    image = np.random.default_rng(0).normal(100, 1, labels.shape)
    for number, (a, b) in enumerate(radii):
        centre = (side / 2, side * (number + 0.5))
        image[ellipse(*centre, a + 4, b + 4)] = 130
        inside = ellipse(*centre, a, b)
        image[inside] = 80
        labels[inside] = number + 1
    return AnnotatedImage(image.astype(np.float32), labels, (1.0, 1.0), "phase")


def as_phase(bundle: Bundle, **changes: Any) -> Bundle:
    """Return the bundle as one of phase contrast, with other numbers in its config."""
    return replace(bundle, config=bundle.config.model_copy(update={"modality": "phase", **changes}))
