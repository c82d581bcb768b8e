"""What the tests of segmenters share: drawn cells, a tiny Cellpose training, and a segmenter that needs no training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.measure import label

from cytocascade.segmentation import registry
from cytocascade.segmentation.base import SegmenterOptions
from cytocascade.types import AnnotatedImage

TINY = SegmenterOptions(steps=3, batch=1, crop=32, diameter=12, learning_rate=5e-3, precision="fp32")
"""A training of a second."""


def discs(seed: int = 0, *, side: int = 64, radius: float = 6.0, cells: bool = True) -> AnnotatedImage:
    """Return nine bright discs on a noisy background."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), dtype=np.uint16)
    y, x = np.indices(labels.shape)
    if cells:
        for k in range(9):
            cy, cx = (np.array(divmod(k, 3)) + 0.5) * side / 3 + rng.uniform(-3, 3, 2)
            labels[np.hypot(y - cy, x - cx) < radius] = k + 1
    image = 100 + 300 * (labels > 0) + rng.normal(0, 10, labels.shape)
    return AnnotatedImage(image=image.astype(np.uint16), labels=labels, spacing=(0.5, 0.5), name=f"discs-{seed}")


def balls(seed: int = 0, *, spacing: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> AnnotatedImage:
    """Return four balls of radius 6 pixels in a volume of 14 x 48 x 48."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((14, 48, 48), dtype=np.uint16)
    z, y, x = np.indices(labels.shape)
    for k in range(4):
        cy, cx = (np.array(divmod(k, 2)) + 0.5) * 24 + rng.uniform(-3, 3, 2)
        cz = rng.uniform(5, 9)
        distance = np.sqrt(((z - cz) * spacing[0]) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
        labels[distance < 6] = k + 1
    image = 100 + 300 * (labels > 0) + rng.normal(0, 10, labels.shape)
    return AnnotatedImage(
        image=image.astype(np.uint16), labels=labels, spacing=spacing, name=f"balls-{seed}", spacing_known=True
    )


@dataclass
class Bright:
    """A segmenter: connected pixels above a level are a cell."""

    level: float = 200.0
    calls: list[Any] = field(default_factory=list)

    def segment(self, image: np.ndarray, spacing: Sequence[float] | None = None) -> np.ndarray:
        self.calls.append(spacing)
        return np.asarray(label(image > self.level), dtype=np.uint16)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "segmenter.json").write_text(json.dumps({"method": "bright", "level": self.level}))


class BrightMethod:
    """Loads `Bright`, and remembers all that it loaded."""

    name = "bright"

    def __init__(self) -> None:
        self.loaded: list[Bright] = []

    def load(self, folder: Path, *, device: str = "cpu") -> Bright:
        self.loaded.append(Bright(json.loads((folder / "segmenter.json").read_text())["level"]))
        return self.loaded[-1]

    @property
    def calls(self) -> list[Any]:
        """What was segmented with which spacing, by all that were loaded."""
        return [call for one in self.loaded for call in one.calls]


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> BrightMethod:
    method = BrightMethod()
    monkeypatch.setitem(registry.METHODS, "bright", method)
    return method
