"""What the tests of volumes share: drawn stacks and masks, and trials that are short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.export.tiff import write_tiff
from cytocascade.imaging.blur import blur
from cytocascade.imaging.psf import ConePsf
from cytocascade.textures import axial_fit
from cytocascade.types import AnnotatedStack
from cytocascade.volumes import calibration
from cytocascade.volumes.shape_library import ShapeMask, read_shape_masks

DrawStack = Callable[..., AnnotatedStack]

SPACING = (1.0, 0.5, 0.5)

HEIGHT, WIDTH = 8.4, 9.6
"""Micrometres of an ordinary drawn nucleus along z, and across."""

AXIAL_SIGMA = 0.8
"""Micrometres of the drawn blur along z."""


def _draw_stack(
    number: int = 0,
    *,
    planes: int = 16,
    rows: int = 3,
    annotated: tuple[int, ...] = (5, 7, 8, 10),
    height: float = HEIGHT,
    light: float = 600.0,
) -> AnnotatedStack:
    """Return a stack of 96 x 96 pixels with rows x rows textured, blurred, noisy ellipsoids of one height."""
    rng = np.random.default_rng(number)
    side = 96
    grid = [axis * step for axis, step in zip(np.ogrid[:planes, :side, :side], SPACING)]
    labels = np.zeros((planes, side, side), dtype=np.uint16)
    shine = np.zeros(labels.shape, dtype=np.float32)
    texture = ndi.gaussian_filter(rng.standard_normal(labels.shape), (1.0, 1.5, 1.5))
    pitch = side * SPACING[1] / rows
    for cell in range(rows * rows):
        cy, cx = (np.asarray(divmod(cell, rows)) + 0.5) * pitch + rng.uniform(-0.8, 0.8, 2)
        cz = (planes - 1) / 2 * SPACING[0] + rng.uniform(-0.3, 0.3)
        angle, a, b = rng.uniform(0, np.pi), WIDTH / 2 * rng.uniform(1, 1.2), WIDTH / 2 * rng.uniform(0.85, 1)
        u = (grid[1] - cy) * np.sin(angle) + (grid[2] - cx) * np.cos(angle)
        v = (grid[1] - cy) * np.cos(angle) - (grid[2] - cx) * np.sin(angle)
        mask = ((grid[0] - cz) / (height / 2)) ** 2 + (u / a) ** 2 + (v / b) ** 2 <= 1
        labels[mask] = cell + 1
        shine[mask] = light * rng.uniform(0.8, 1.25)
    shine *= (1 + 0.15 * texture / texture.std()).astype(np.float32)
    seen = ndi.gaussian_filter(blur(shine, SPACING, ConePsf(axial=AXIAL_SIGMA, spread=0.3)), (0, 0.8, 0.8))
    noisy = 200 + seen + rng.standard_normal(seen.shape) * np.sqrt(25 + 0.3 * np.abs(seen))
    known = np.zeros_like(labels)
    known[list(annotated)] = labels[list(annotated)]
    image = np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)
    return AnnotatedStack(image, known, annotated, SPACING, f"drawn-{number}", spacing_known=True)


@pytest.fixture(scope="session")
def draw_stack() -> DrawStack:
    return _draw_stack


@pytest.fixture(scope="session")
def drawn_stacks() -> tuple[AnnotatedStack, ...]:
    """Two stacks of nine nuclei each, annotated in four slices."""
    return _draw_stack(0), _draw_stack(1)


@pytest.fixture(scope="module")
def small_trials(small_calibration: None) -> Iterator[None]:
    """Let fits of volumes try out little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "TRIAL_CELLS", 2)
        patch.setattr(calibration, "TRIAL_SIDE", 64)
        patch.setattr(axial_fit, "LEVELS", (0.0, 0.8, 1.0))
        yield


def ellipse_labels(spacing: tuple[float, float] = (0.5, 0.5), *, cut: bool = False) -> np.ndarray:
    """Return two ellipses, 10 x 16 and 8 x 8 um (label 2, 5); if `cut`, a third one (7) at the frame."""
    y, x = np.meshgrid(*[np.arange(round(40 / step)) * step for step in spacing], indexing="ij")
    labels = np.zeros(y.shape, dtype=np.uint16)
    labels[((y - 10) / 5) ** 2 + ((x - 12) / 8) ** 2 <= 1] = 2
    labels[((y - 28) / 4) ** 2 + ((x - 28) / 4) ** 2 <= 1] = 5
    if cut:
        labels[((y - 30) / 6) ** 2 + (x / 6) ** 2 <= 1] = 7
    return labels


def write_labels(path: Path, labels: np.ndarray, spacing: tuple[float, ...] = (0.5, 0.5), known: bool = True) -> Path:
    write_tiff(path, labels, spacing, known)
    return path


@pytest.fixture(scope="session")
def masks(tmp_path_factory: pytest.TempPathFactory) -> list[ShapeMask]:
    """The two ellipses, as shapes are made from."""
    return read_shape_masks(write_labels(tmp_path_factory.mktemp("masks") / "cells.tif", ellipse_labels()))
