"""Volumes whose cells come from a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from _pipelines import mask_unet

from cytocascade.bundle import Bundle, load_bundle, save_bundle
from cytocascade.cascade import Cascade
from cytocascade.masks.pipeline_files import MaskPipeline
from cytocascade.masks.pipelines import MaskSource, PipelineMasks
from cytocascade.volumes.shape_library import draw_shape_masks

TreeBytes = Callable[[Path], dict[str, bytes]]


def test_shapes_are_made_from_masks_of_a_pipeline(tiny_volumes: Bundle, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    schedule = {"_class_name": "DDPMScheduler", "prediction_type": "sample", "num_train_timesteps": 4}
    masks = PipelineMasks(MaskPipeline("DDPMPipeline", mask_unet(), schedule), MaskSource(origin="x", candidates=1))
    save_bundle(replace(tiny_volumes, masks=masks), tmp_path / "bundle")
    cascade = Cascade.from_pretrained(tmp_path / "bundle")
    options = {"cells": 1, "texture_steps": 2, "shape_steps": 2, "shape_prior": "ellipsoid"}
    sample = next(cascade.generate(1, seed=1, workers=1, **options))
    assert sample.image.shape == (14, 64, 64)
    assert sample.labels.max() == 1
    assert sample.params["options"]["mask_steps"] == 4
    drawn = draw_shape_masks(cascade.bundle, 2, seed=1)
    assert all((one.distance > 0).any() for one in drawn)
    assert not np.array_equal(drawn[0].distance, drawn[1].distance)
    save_bundle(load_bundle(tmp_path / "bundle"), tmp_path / "again")
    assert tree_bytes(tmp_path / "again") == tree_bytes(tmp_path / "bundle")
    assert "shapes.safetensors" in tree_bytes(tmp_path / "again")
