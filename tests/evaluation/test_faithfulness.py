from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.evaluation.faithfulness import measure_faithfulness
from cytocascade.evaluation.measured import MeasuredSet, measure_set, select_images
from cytocascade.evaluation.results import Faithfulness
from cytocascade.evaluation.splits import real_splits
from cytocascade.types import AnnotatedImage

from .scenes import scenes


def against(synthetic: list[AnnotatedImage], real: list[AnnotatedImage] | None = None) -> Faithfulness:
    return measure_faithfulness(measured(real or scenes(8, 3)), measured(synthetic), real_splits(3, 0))


def measured(images: list[AnnotatedImage]) -> MeasuredSet:
    return measure_set(*select_images(images, "test"), "test", in_pixels=True, seed=0)


def grown(image: AnnotatedImage) -> AnnotatedImage:
    """The same image with labels one to two pixels too wide."""
    from skimage.segmentation import expand_labels

    return replace(image, labels=expand_labels(image.labels, 2).astype(np.uint16))


def test_faithful_labels_are_within_five_percent() -> None:
    found = against(scenes(108, 3))
    assert found.edge_ratio.value == pytest.approx(1, abs=0.05)
    assert found.dice_ratio.value == pytest.approx(1, abs=0.02)
    assert abs(found.offset_synthetic) < 0.5


def test_labels_that_are_too_wide_have_the_gradient_inside() -> None:
    found = against([grown(image) for image in scenes(108, 3)])
    assert found.offset_synthetic < found.offset_real - 1
    assert found.edge_ratio.value < 0.9
    assert found.dice_ratio.value < 0.95


def test_dark_cells_are_segmented_as_dark() -> None:
    real, synthetic = (
        [replace(image, image=(1000 - image.image).astype(np.uint16)) for image in scenes(start, 3)]
        for start in (8, 108)
    )
    found = against(synthetic, real)
    assert found.segmenter.startswith(("dark", "departure"))
    assert found.dice_real > 0.9
