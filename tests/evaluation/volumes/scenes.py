"""Small volumes of ellipsoids that stand in for cells."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import AnnotatedImage

SPACING = (0.8, 0.4, 0.4)


def volume(
    index: int,
    *,
    radius: float = 3.8,
    height: float = 3.0,
    texture: float = 15.0,
    smooth: float = 0.6,
    noise: float = 3.0,
    flicker: float = 0.0,
    shape: tuple[int, int, int] = (13, 60, 60),
    known: bool = True,
) -> AnnotatedImage:
    """One volume of ellipsoids with blotchy texture on a jittered 2 x 2 grid.

    `radius` and `height` (half axes) and `smooth` (of the texture) are in micrometres, `flicker` is the relative
    deviation of the slices' brightness.
    """
    draw = np.random.default_rng(index)
    z, y, x = (
        step * np.arange(n).reshape([-1 if k == a else 1 for a in range(3)])
        for k, (n, step) in enumerate(zip(shape, SPACING))
    )
    labels = np.zeros(shape, dtype=np.uint16)
    middle = (shape[0] - 1) / 2 * SPACING[0]
    for row in range(2):
        for column in range(2):
            centre = (
                middle + draw.uniform(-0.3, 0.3),
                *(np.array([6.0, 6.0]) + 12 * np.array([row, column]) + draw.uniform(-0.8, 0.8, 2)),
            )
            a, b, c = height * draw.uniform(0.85, 1.1), radius * draw.uniform(0.9, 1.2), radius * draw.uniform(0.9, 1.2)
            inside = ((z - centre[0]) / a) ** 2 + ((y - centre[1]) / b) ** 2 + ((x - centre[2]) / c) ** 2 <= 1
            labels[inside] = labels.max() + 1
    brightness = np.concatenate([[0], draw.uniform(80, 120, labels.max())])[labels]
    blotches = ndi.gaussian_filter(draw.standard_normal(shape), [smooth / step for step in SPACING])
    light = brightness + texture * blotches / blotches.std() * (labels > 0)
    light *= 1 + flicker * draw.standard_normal((shape[0], 1, 1))
    image = 100 + ndi.gaussian_filter(light, (0.5, 0.8, 0.8)) + noise * draw.standard_normal(shape)
    return AnnotatedImage(
        image=np.clip(np.round(image), 0, 65535).astype(np.uint16),
        labels=labels,
        spacing=SPACING if known else (1.0, 1.0, 1.0),
        name=f"{index:03d}",
        spacing_known=known,
    )


def volumes(start: int, count: int, **look: float) -> list[AnnotatedImage]:
    """Volumes `start` to `start + count`, all different."""
    return [volume(index, **look) for index in range(start, start + count)]  # type: ignore[arg-type]
