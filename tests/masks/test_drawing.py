from __future__ import annotations

import numpy as np
import pytest
from _pipelines import mask_unet

from cytocascade.cascade import Cascade
from cytocascade.masks.drawing import draw_masks, usual_steps
from cytocascade.masks.maskddpm import MASK_STEPS, sample_masks
from cytocascade.masks.pipeline_files import MaskPipeline
from cytocascade.masks.pipelines import MaskSource, PipelineMasks, sample_pipeline_masks

SHAPE = np.asarray([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]], dtype=np.float32)


@pytest.fixture(scope="module")
def pipeline() -> PipelineMasks:
    schedule = {"_class_name": "DDIMScheduler", "prediction_type": "sample", "num_train_timesteps": 10}
    return PipelineMasks(MaskPipeline("DDIMPipeline", mask_unet(), schedule), MaskSource(origin="x", candidates=1))


def test_our_own_network_is_sampled_as_ever(nuclei: Cascade) -> None:
    model = nuclei.bundle.masks
    assert usual_steps(model) == MASK_STEPS == 16
    found = draw_masks(model, [1, 2], SHAPE, style=1)
    assert np.array_equal(found.distance, sample_masks(model, [1, 2], SHAPE, style=1, steps=16).distance)


def test_pipelines_take_their_own_steps(pipeline: PipelineMasks) -> None:
    # Fewer than usual, because it was trained with fewer.
    assert usual_steps(pipeline) == 10
    found = draw_masks(pipeline, [1, 2], SHAPE, style=5)
    assert np.array_equal(found.distance, sample_pipeline_masks(pipeline, [1, 2], SHAPE, steps=10).distance)
    fewer = draw_masks(pipeline, [1, 2], SHAPE, steps=2)
    assert np.array_equal(fewer.distance, sample_pipeline_masks(pipeline, [1, 2], SHAPE, steps=2).distance)
