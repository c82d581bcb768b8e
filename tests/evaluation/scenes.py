"""Small images of discs that stand in for cells."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.types import AnnotatedImage


def scene(
    index: int,
    *,
    radius: float = 7.0,
    texture: float = 12.0,
    side: int = 128,
    shift: int = 0,
    spacing: float = 0.5,
    known: bool = True,
) -> AnnotatedImage:
    """One image of ellipses with blotchy texture on a jittered grid; `shift` moves the labels off the cells."""
    draw = np.random.default_rng(index)
    labels = np.zeros((side, side), dtype=np.uint16)
    y, x = np.mgrid[:side, :side]
    step = 32
    for row in range(step // 2, side, step):
        for column in range(step // 2, side, step):
            centre = np.array([row, column]) + draw.uniform(-4, 4, 2)
            long, short = radius * draw.uniform(1.0, 1.25), radius * draw.uniform(0.75, 1.0)
            angle = draw.uniform(0, np.pi)
            a = np.cos(angle) * (y - centre[0]) + np.sin(angle) * (x - centre[1])
            b = np.cos(angle) * (x - centre[1]) - np.sin(angle) * (y - centre[0])
            labels[(a / long) ** 2 + (b / short) ** 2 <= 1] = labels.max() + 1
    brightness = np.concatenate([[0], draw.uniform(80, 120, labels.max())])[labels]
    blotches = ndi.gaussian_filter(draw.standard_normal(labels.shape), 1.5)
    light = brightness + texture * blotches / blotches.std() * (labels > 0)
    image = 100 + ndi.gaussian_filter(light, 1.0) + 2 * draw.standard_normal(labels.shape)
    return AnnotatedImage(
        image=np.clip(np.round(image), 0, 65535).astype(np.uint16),
        labels=np.roll(labels, shift, axis=(0, 1)),
        spacing=(spacing, spacing),
        name=f"{index:03d}",
        spacing_known=known,
    )


def scenes(start: int, count: int, **look: float) -> list[AnnotatedImage]:
    """Images `start` to `start + count`, all different."""
    return [scene(index, **look) for index in range(start, start + count)]  # type: ignore[arg-type]
