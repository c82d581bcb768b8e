"""Small samples to export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytocascade.export.manifest import record_of
from cytocascade.types import GeneratedSample, label_dtype

MakeSample = Callable[..., GeneratedSample]


@pytest.fixture
def make_sample() -> MakeSample:
    def make(
        index: int = 0, *, shape: tuple[int, ...] = (48, 40), cells: int = 4, dtype: Any = np.uint16
    ) -> GeneratedSample:
        """Return noise with `cells` round cells on a grid, the last of them cut by the frame."""
        rng = np.random.default_rng(index)
        grid = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")
        labels = np.zeros(shape, label_dtype(cells))
        for label in range(1, cells + 1):
            centre = [size // 2 for size in shape[:-2]] + [
                6 + 11 * ((label - 1) // 3),
                6 + 12 * ((label - 1) % 3),
            ]
            if label == cells:
                centre[-2:] = [shape[-2] - 1, shape[-1] - 1]
            labels[sum((axis - c) ** 2 for axis, c in zip(grid, centre)) < 22] = label
        image = rng.normal(100.0, 5.0, shape) + 80.0 * (labels > 0)
        return GeneratedSample(
            image=image.astype(dtype),
            labels=labels,
            spacing=(1.5, 0.25, 0.5)[-len(shape) :],
            index=index,
            seed=7,
            params={"haze": np.float32(0.5), "angles": np.arange(2)},
            cells=[{"label": label, "placement": "alone", "features": {"area": 3.5}} for label in range(1, cells + 1)],
            spacing_known=True,
        )

    return make


@pytest.fixture
def records_of() -> Callable[..., list[dict[str, Any]]]:
    def records(*samples: GeneratedSample) -> list[dict[str, Any]]:
        return [record_of(sample, "nuclei", "ab12", "0.1.0", {}) for sample in samples]

    return records


@pytest.fixture
def tree_bytes() -> Callable[[Path], dict[str, bytes]]:
    def read(root: Path) -> dict[str, bytes]:
        return {
            path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
        }

    return read
