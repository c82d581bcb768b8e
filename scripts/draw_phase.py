"""Draw docs/images/phase.png: images of the shipped bundle `phase`, and their labels below."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.io import imsave

from cytocascade.cascade import Cascade
from cytocascade.pictures import label_overlay, to_bytes, to_grey

TARGET = Path(__file__).parents[1] / "docs" / "images" / "phase.png"
GAP = 8


def main() -> None:
    """Generate two images and lay them side by side, labels below."""
    samples = Cascade.from_pretrained("phase").generate(2, seed=3, size=(420, 480), cells=16)
    columns = []
    for sample in samples:
        grey = to_grey(sample.image)
        plain = np.repeat(to_bytes(grey)[..., None], 3, axis=2)
        gap = np.full((GAP, grey.shape[1], 3), 255, dtype=np.uint8)
        columns.append(np.concatenate([plain, gap, label_overlay(grey, sample.labels)]))
    between = np.full((len(columns[0]), GAP, 3), 255, dtype=np.uint8)
    imsave(TARGET, np.concatenate([columns[0], between, columns[1]], axis=1))


if __name__ == "__main__":
    main()
