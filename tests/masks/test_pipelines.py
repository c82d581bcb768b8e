from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _pipelines import PIPELINES, mask_unet, save_mask_pipeline
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler
from pydantic import ValidationError
from skimage.measure import label

from cytocascade.diffusion.sampling import single_threaded_torch
from cytocascade.errors import CytoCascadeError
from cytocascade.images.descriptors import describe_shape
from cytocascade.masks import pipelines
from cytocascade.masks.maskddpm import MAX_ATTEMPTS
from cytocascade.masks.pipeline_files import MaskPipeline, read_pipeline
from cytocascade.masks.pipelines import MaskSource, PipelineMasks, sample_pictures, sample_pipeline_masks
from cytocascade.seeding import torch_generator
from cytocascade.types import FloatArray

ORDINARY = np.zeros(3, dtype=np.float32)


@pytest.fixture(scope="module")
def pipeline() -> MaskPipeline:
    schedule = {**DDPMScheduler(prediction_type="sample").config, "_class_name": "DDPMScheduler"}
    return MaskPipeline("DDPMPipeline", mask_unet(), schedule)


def masks_of(pipeline: MaskPipeline, **source: Any) -> PipelineMasks:
    return PipelineMasks(pipeline, MaskSource(origin="tests", **source))


def drawing(monkeypatch: pytest.MonkeyPatch, pictures: Callable[[int], FloatArray]) -> list[int]:
    """Let the n-th picture that is asked for be `pictures(n)`; return the list of the seeds that were asked for."""
    asked: list[int] = []

    def sample(model: object, seeds: list[int], **_: object) -> FloatArray:
        first = len(asked)
        asked.extend(seeds)
        return np.stack([pictures(first + n) for n in range(len(seeds))])

    monkeypatch.setattr(pipelines, "sample_pictures", sample)
    return asked


def ellipse(major: float, minor: float, size: int = 64) -> FloatArray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return ((y / major) ** 2 + (x / minor) ** 2 <= 1).astype(np.float32)


BLACK = np.zeros((64, 64), np.float32)


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 1.0), ("ddim", 0.0), ("ddim", 1.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_those_of_diffusers(sampler: str, eta: float, channels: int) -> None:
    unet = mask_unet(channels=channels)
    schedule = {**DDPMScheduler().config, "_class_name": "DDPMScheduler"}
    model = masks_of(MaskPipeline("DDPMPipeline", unet, schedule), sampler=sampler, eta=eta)
    found = sample_pictures(model, [7], steps=4)
    theirs = DDPMPipeline(unet, DDPMScheduler()) if sampler == "ddpm" else DDIMPipeline(unet, DDIMScheduler())
    theirs.set_progress_bar_config(disable=True)
    more = {} if sampler == "ddpm" else {"eta": eta}
    with single_threaded_torch():
        wanted = theirs(generator=torch_generator(7, "noise"), num_inference_steps=4, output_type="np", **more).images
    assert np.allclose(found[0], wanted[0].mean(axis=-1), atol=1e-6)
    assert wanted.std() > 0.05


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm"])
def test_a_picture_depends_on_its_seed_alone(pipeline: MaskPipeline, sampler: str) -> None:
    model = masks_of(pipeline, sampler=sampler)
    together = sample_pictures(model, [1, 2, 3], steps=3, workers=2)
    assert np.allclose(sample_pictures(model, [3], steps=3)[0], together[2], atol=1e-3)
    assert np.array_equal(sample_pictures(model, [1, 2, 3], steps=3), together)
    assert np.abs(together[0] - together[1]).max() > 1e-2
    assert sample_pictures(model, [], steps=3).shape == (0, 32, 32)


def test_large_pictures_are_made_in_small_groups(pipeline: MaskPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []

    def chunk(model: object, seeds: list[int], steps: int) -> FloatArray:
        groups.append(len(seeds))
        return np.zeros((len(seeds), 1, 1), np.float32)

    monkeypatch.setattr(pipelines, "_sample_chunk", chunk)
    for size in (32, 64, 256):
        monkeypatch.setattr(MaskPipeline, "shape", (1, size, size))
        sample_pictures(masks_of(pipeline), range(30))
    assert groups == [30, 25, 5, *[1] * 30]


def test_usual_steps_are_those_of_the_sampler(pipeline: MaskPipeline) -> None:
    assert [masks_of(pipeline, sampler=name).steps for name in ("ddpm", "ddim", "dpm")] == [1000, 50, 16]


def test_more_steps_than_it_was_trained_with_are_refused(pipeline: MaskPipeline) -> None:
    with pytest.raises(CytoCascadeError, match="1001 steps per mask are more than the 1000"):
        sample_pictures(masks_of(pipeline), [1], steps=1001)


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize(("size", "channels", "variation"), [(32, 1, 0.01), (32, 3, 0.01), (64, 3, 0.003)])
def test_masks_are_whole_cells_of_the_wished_area_and_eccentricity(
    tmp_path: Path, name: str, size: int, channels: int, variation: float
) -> None:
    save_mask_pipeline(tmp_path / "it", name, size=size, channels=channels, variation=variation)
    shape = np.asarray([[0.5, 0.2, 0.0], [-1.0, -0.5, 0.0]], dtype=np.float32)
    model = masks_of(read_pipeline(tmp_path / "it"), candidates=1)
    found = sample_pipeline_masks(model, [1, 2], shape, steps=3)
    assert found.distance.shape == (2, 64, 64)
    for distance, wish in zip(found.distance, shape):
        mask = distance > 0
        assert label(mask, connectivity=1).max() == 1
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
        assert describe_shape(mask)[:2] == pytest.approx(wish[:2], abs=0.15)


def test_masks_depend_on_their_seeds_and_wishes_alone(pipeline: MaskPipeline) -> None:
    model = masks_of(pipeline, candidates=2)
    shape = np.asarray([[0, 0, 0], [0.5, 1.0, 0], [0, 0, 0]], dtype=np.float32)
    together = sample_pipeline_masks(model, [1, 2, 3], shape, steps=3, workers=2)
    alone = sample_pipeline_masks(model, [2], shape[1:2], steps=3)
    one, other = alone.distance[0] > 0, together.distance[1] > 0
    # An untrained network blows up the last bits, in which batches differ.
    assert (one & other).sum() > 0.95 * (one | other).sum()
    assert np.array_equal(sample_pipeline_masks(model, [1, 2, 3], shape, steps=3).distance, together.distance)
    assert not np.array_equal(together.distance[0], together.distance[2])
    assert (together.drawn, together.rejected) == (6, 0)


def test_bad_pictures_are_drawn_again_from_the_next_seed(
    pipeline: MaskPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = masks_of(pipeline, candidates=2)
    asked = drawing(monkeypatch, lambda n: BLACK if n in (2, 3, 4) else ellipse(18, 13))
    found = sample_pipeline_masks(model, [1, 2], np.stack([ORDINARY] * 2))
    assert (found.drawn, found.rejected, len(asked)) == (6, 3, 6)
    assert len(set(asked)) == 6
    assert (found.distance > 0).any(axis=(1, 2)).all()


def test_pictures_that_never_show_a_cell_are_an_error(pipeline: MaskPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = drawing(monkeypatch, lambda n: BLACK)
    with pytest.raises(CytoCascadeError, match="2 of 2 masks were still no whole cells") as caught:
        sample_pipeline_masks(masks_of(pipeline, candidates=3), [1, 2], np.stack([ORDINARY] * 2))
    assert "white on black" in str(caught.value.hint)
    assert len(asked) == 2 * 3 * MAX_ATTEMPTS


def test_candidate_nearest_to_the_wished_shape_is_taken(
    pipeline: MaskPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A smooth ellipse and a boomerang of the same area.
    notched = ellipse(20, 20) * (1 - ellipse(9, 30)[:, ::-1].T * (np.arange(64)[:, None] > 32))
    shapes = [ellipse(18, 14), notched]
    wished = [describe_shape(one > 0.5) for one in shapes]
    assert wished[1][2] > wished[0][2] + 1
    for number, wish in enumerate(wished):
        drawing(monkeypatch, lambda n: shapes[n % 2])
        found = sample_pipeline_masks(masks_of(pipeline, candidates=2), [1], wish[None])
        assert describe_shape(found.distance[0] > 0)[2] == pytest.approx(wished[number][2], abs=0.5)


def test_size_of_the_picture_counts_if_its_scale_is_known(
    pipeline: MaskPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The large cell is a little longer than wished, the small one is of the wished eccentricity.
    large, small = ellipse(22, 14), ellipse(9, 6.5)
    wish = describe_shape(ellipse(20, 14.4) > 0.5)
    assert abs(describe_shape(small > 0.5)[1] - wish[1]) < abs(describe_shape(large > 0.5)[1] - wish[1])
    for scale, expected in ((None, small), (1.0, large)):
        drawing(monkeypatch, lambda n: (large, small)[n % 2])
        monkeypatch.setattr(pipelines, "adjust_mask", lambda distance, *_: distance)
        found = sample_pipeline_masks(masks_of(pipeline, candidates=2, scale=scale), [1], wish[None])
        ratio = describe_shape(found.distance[0] > 0)[1]
        assert ratio == pytest.approx(describe_shape(expected > 0.5)[1], abs=0.25)


def test_cells_that_are_too_long_for_the_crop_are_made_smaller(
    pipeline: MaskPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(monkeypatch, lambda n: ellipse(28, 5))
    wish = np.asarray([[1.5, 1.4, 0.0]], dtype=np.float32)
    found = sample_pipeline_masks(masks_of(pipeline, candidates=1), [1], wish)
    assert found.rejected == 3
    assert 400 < (found.distance[0] > 0).sum() < 700


@pytest.mark.parametrize(("scale", "area"), [(None, 800.0), (0.5, np.pi * 18 * 14 / 4)])
def test_masks_without_wishes_have_their_own_size_if_it_is_known(
    pipeline: MaskPipeline, monkeypatch: pytest.MonkeyPatch, scale: float | None, area: float
) -> None:
    asked = drawing(monkeypatch, lambda n: ellipse(18, 14))
    found = sample_pipeline_masks(masks_of(pipeline, scale=scale), [1])
    assert (found.distance[0] > 0).sum() == pytest.approx(area, rel=0.05)
    assert len(asked) == 1


@pytest.mark.parametrize("wrong", [{"sampler": "pndm"}, {"eta": 2}, {"candidates": 0}, {"scale": 0}, {"colour": 1}])
def test_impossible_sources_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MaskSource(origin="x", **wrong)


def test_sampling_leaves_the_global_generator_alone(pipeline: MaskPipeline) -> None:
    before = torch.random.get_rng_state()
    sample_pictures(masks_of(pipeline, sampler="ddpm"), [1], steps=2)
    assert torch.equal(torch.random.get_rng_state(), before)
