from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline

from cytocascade.diffusion.training import TrainingConfig, train
from cytocascade.images.cells import CROP_MARGIN, CROP_SIZE, signed_distance
from cytocascade.masks.mask_images import largest_mask, mask_area
from cytocascade.masks.pipeline_files import read_pipeline, write_pipeline
from cytocascade.masks.pipeline_training import (
    MaskUNetConfig,
    as_pipeline,
    new_network,
    picture_batches,
    trained_here,
    trained_schedule,
)
from cytocascade.masks.pipelines import MaskSource, PipelineMasks, sample_pictures
from cytocascade.types import FloatArray

TINY = MaskUNetConfig(size=16, widths=(8, 16), groups=4)


@pytest.fixture(scope="module")
def distance() -> FloatArray:
    """Three ellipses, with the margin of extracted cells."""
    side = CROP_SIZE + 2 * CROP_MARGIN
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.stack([signed_distance((y / a) ** 2 + (x / 14) ** 2 <= 1, (1.0, 1.0)) for a in (14, 17, 20)])


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_hold_turned_cells_white_on_black(distance: FloatArray, channels: int) -> None:
    network = new_network(TINY.model_copy(update={"channels": channels}), 0)
    batch_at = picture_batches(distance, network, batch=6, seed=1)
    batch = batch_at(3)
    assert batch.target.shape == (6, channels, 16, 16)
    assert (float(batch.target.min()), float(batch.target.max())) == (-1, 1)
    assert torch.equal(batch.target[:, 0], batch.target[:, -1])
    # About the area of the ellipses: 14 x 14 to 14 x 20 canonical pixels.
    area = (batch.target[:, 0] > 0).sum(dim=(1, 2)).double() * (CROP_SIZE / 16) ** 2
    assert ((area > 350) & (area < 1200)).all()
    assert torch.equal(batch_at(3).target, batch.target)
    assert not torch.equal(batch_at(4).target, batch.target)
    other = picture_batches(distance, network, batch=6, seed=2)
    assert not torch.equal(other(3).target, batch.target)


def test_seed_determines_the_first_weights_and_nothing_else() -> None:
    before = torch.random.get_rng_state()
    one, two, other = (new_network(TINY, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_resumed_training_gives_the_same_bytes(distance: FloatArray, tmp_path: Path) -> None:
    config = TrainingConfig(steps=3, batch=2, warmup=0, checkpoint_seconds=1e-9)

    def trained(folder: Path, *, interrupted: bool) -> bytes:
        folder.mkdir()
        for stop in (True, False) if interrupted else (False,):
            network = new_network(TINY, 1)
            batches = picture_batches(distance, network, batch=2, seed=1)

            def progress(done: int, total: int, loss: float, stop: bool = stop) -> None:
                if stop and done == 2:
                    raise KeyboardInterrupt

            try:
                train(network, batches, config, seed=1, checkpoint=folder / "state", progress=progress)
            except KeyboardInterrupt:
                assert (folder / "state").exists()
        write_pipeline(as_pipeline(network), folder / "pipeline", half=True)
        return (folder / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()

    assert trained(tmp_path / "one", interrupted=True) == trained(tmp_path / "two", interrupted=False)


def test_trained_pipelines_are_loaded_and_run_by_diffusers(tmp_path: Path) -> None:
    write_pipeline(as_pipeline(new_network(TINY, 0)), tmp_path / "it")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "it")
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    image = pipeline(num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert (image.mode, image.size) == ("L", (16, 16))
    found = read_pipeline(tmp_path / "it")
    assert trained_here(found)
    assert found.schedule == trained_schedule()


def test_training_goes_on_only_from_what_predicts_the_same() -> None:
    ours = as_pipeline(new_network(TINY, 0))
    for name, value in (("prediction_type", "epsilon"), ("beta_schedule", "linear")):
        ours.schedule[name] = value
        assert not trained_here(ours)
        ours.schedule.update(trained_schedule())


@pytest.mark.slow
def test_training_learns_whole_cells_of_the_right_size(distance: FloatArray) -> None:
    network = new_network(MaskUNetConfig(size=32, widths=(16, 32, 64)), 0)
    batches = picture_batches(distance, network, batch=8, seed=1)
    train(network, batches, TrainingConfig(steps=300, batch=8, learning_rate=2e-3, warmup=20), seed=1)
    model = PipelineMasks(as_pipeline(network), MaskSource(origin="fit", sampler="dpm", scale=2.0))
    outlines = [largest_mask(picture) for picture in sample_pictures(model, range(16))]
    areas = [4 * mask_area(outline, 32) for outline in outlines if outline is not None]
    assert len(areas) >= 12
    assert np.median(areas) == pytest.approx(np.pi * 14 * 17, rel=0.25)
