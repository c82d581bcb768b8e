"""How images and labels are shown to the eye."""

from __future__ import annotations

import numpy as np
from skimage.segmentation import find_boundaries

from cytocascade.types import Array, FloatArray

PAPER, INK, FAINT = (13, 17, 23), (230, 237, 243), (139, 148, 158)
"""Colours (RGB) of the sheet's ground, headings and captions."""

GAP, MARGIN, CAPTION = 10, 24, 30
"""Pixels between tiles, around the sheet, and for a row's caption."""


def to_grey(image: Array) -> FloatArray:
    """Return an image, (Y, X), stretched to [0, 1] for the eye: outliers are clipped, dim cells lifted."""
    values = np.asarray(image, dtype=np.float32)
    low, high = np.percentile(values, [1.0, 99.7])
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1) ** 0.75, dtype=np.float32)


def label_colours(labels: Array) -> Array:
    """Return one RGB colour in [0, 1] per pixel, (Y, X, 3) float32; black where there is no cell.

    Hues of consecutive labels differ by the golden angle, so that neighbours rarely look alike; all are about
    equally light.
    """
    angle = np.deg2rad(230 + 137.508 * np.arange(int(labels.max(initial=0)) + 1))
    lightness = 0.74 + 0.05 * (np.arange(len(angle)) % 3 - 1)
    table = _oklab(lightness, 0.145 * np.cos(angle), 0.145 * np.sin(angle))
    table[0] = 0.0
    return np.asarray(table[labels], dtype=np.float32)


def _oklab(lightness: Array, a: Array, b: Array) -> Array:
    """Return sRGB in [0, 1], (n, 3), of colours in Oklab (Ottosson 2020), where equal steps look equal."""
    lms = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    to_rgb = [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
    linear = np.clip(np.asarray(to_rgb) @ lms**3, 0, 1).T
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def label_overlay(grey: FloatArray, labels: Array) -> Array:
    """Return the image with every cell tinted in its own colour and outlined, (Y, X, 3) uint8.

    Parameters
    ----------
    grey : ndarray, (Y, X) float32
        From `to_grey`.
    labels : ndarray of int, (Y, X)
        0 is background.
    """
    base = np.repeat(grey[..., None], 3, axis=2)
    colour = label_colours(labels)
    inside = (labels > 0)[..., None]
    tinted = np.where(inside, colour * (0.2 + 0.9 * base), 0.8 * base)
    edge = find_boundaries(labels, mode="inner")[..., None]
    return to_bytes(np.where(edge, 0.3 + 0.7 * colour, tinted))


def to_bytes(values: Array) -> Array:
    """Return values in [0, 1] as uint8; others are clipped."""
    return np.asarray(np.round(np.clip(values, 0, 1) * 255), dtype=np.uint8)
