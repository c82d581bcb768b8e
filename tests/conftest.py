"""What the tests of the whole cascade share: drawn images, the shipped bundle, folders compared byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.bundle import shipped_bundles
from cytocascade.cascade import Cascade
from cytocascade.diffusion.denoiser import DenoiserConfig
from cytocascade.types import AnnotatedImage

DrawImage = Callable[..., AnnotatedImage]
TreeBytes = Callable[[Path], dict[str, bytes]]


def _draw_image(
    number: int = 0,
    *,
    side: int = 128,
    rows: int = 3,
    radius: float = 9.0,
    light: float = 600.0,
    background: float = 200.0,
    unlabelled: int = 0,
    sparse: bool = False,
    spacing: tuple[float, float] = (0.5, 0.5),
) -> AnnotatedImage:
    """Return rows x rows textured ellipses on a noisy background; the last `unlabelled` carry no label."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), dtype=np.uint16)
    image = np.full((side, side), background)
    grain = 1 + 0.25 * ndi.gaussian_filter(rng.standard_normal((side, side)), 2.0) / 0.14
    pitch = side / rows
    for cell in range(rows * rows):
        cy, cx = (np.asarray(divmod(cell, rows)) + 0.5) * pitch + rng.uniform(-4, 4, 2)
        angle, a, b = rng.uniform(0, np.pi), radius * rng.uniform(1.0, 1.3), radius * rng.uniform(0.75, 1.0)
        u = (y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        mask = (u / a) ** 2 + (v / b) ** 2 <= 1
        image += light * rng.uniform(0.7, 1.3) * mask * grain
        if cell < rows * rows - unlabelled:
            labels[mask] = cell + 1
    image = ndi.gaussian_filter(image, 0.8) + rng.normal(0, 6.0, image.shape)
    return AnnotatedImage(
        image=np.clip(image, 0, 65535).astype(np.uint16),
        labels=labels,
        spacing=spacing,
        name=f"drawn-{number}",
        spacing_known=True,
        sparse=sparse,
    )


@pytest.fixture(scope="session")
def draw_image() -> DrawImage:
    return _draw_image


@pytest.fixture(scope="session")
def drawn_images() -> list[AnnotatedImage]:
    """Two annotated images of nine cells each."""
    return [_draw_image(0), _draw_image(1)]


@pytest.fixture(scope="session")
def nuclei() -> Cascade:
    """The shipped bundle."""
    if "nuclei" not in shipped_bundles():
        pytest.skip("the bundle 'nuclei' is not in this checkout: scripts/train_nuclei.py makes it")
    return Cascade.from_pretrained("nuclei")


@pytest.fixture(scope="session")
def tiny_config() -> DenoiserConfig:
    """A network of 40 000 weights."""
    return DenoiserConfig(size=16, widths=(8, 16), stem_width=4, groups=4, layers=1, attention=False)


@pytest.fixture(scope="session")
def tree_bytes() -> TreeBytes:
    def read(root: Path) -> dict[str, bytes]:
        return {
            path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
        }

    return read
