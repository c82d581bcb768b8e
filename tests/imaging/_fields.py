"""Images with known background and camera."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.imaging.texture import sample_noise
from cytocascade.types import AnnotatedImage, Array


def discs(shape: tuple[int, int], spacing: int = 48, radius: float = 12.0) -> Array:
    """Return labels of discs on a grid that leaves the right third empty."""
    labels = np.zeros(shape, dtype=np.uint16)
    y, x = np.indices(shape)
    count = 0
    for cy in range(spacing // 2, shape[0], spacing):
        for cx in range(spacing // 2, 2 * shape[1] // 3, spacing):
            count += 1
            labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = count
    return labels


def field(
    seed: int,
    *,
    shape: tuple[int, int] = (256, 288),
    level: float = 200.0,
    gain: float = 400.0,
    read: float = 25.0,
    slope: float = 0.5,
    tilt: float = 0.0,
    haze: float = 0.0,
    texture: float = 0.0,
    kernel: Array | None = None,
    dtype: str = "uint16",
) -> AnnotatedImage:
    """Return an image of discs with brightness steps, Poisson-Gaussian noise and the given background."""
    generator = np.random.default_rng(seed)
    labels = discs(shape)
    brightness = np.r_[0.0, gain * generator.uniform(0.5, 2.0, labels.max())]
    signal = brightness[labels]
    background = level + tilt * np.linspace(-1, 1, shape[1])[None, :] * np.ones(shape)
    if haze > 0:
        background = background + haze * ndi.gaussian_filter(signal, 12.0)
    if texture > 0:
        grain = ndi.gaussian_filter(generator.standard_normal(shape), 6.0, mode="wrap")
        background = background + texture * grain / grain.std()
    noise = sample_noise(generator, np.ones((1, 1)) if kernel is None else kernel, shape)
    image = background + signal + np.sqrt(read + slope * signal) * noise
    if np.dtype(dtype).kind in "iu":
        image = np.clip(np.rint(image), 0, np.iinfo(dtype).max)
    return AnnotatedImage(image.astype(dtype), labels, (1.0, 1.0), f"field{seed}")
