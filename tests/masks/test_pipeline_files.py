from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from _pipelines import PIPELINES, mask_unet, save_mask_pipeline
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file

from cytocascade.errors import CytoCascadeError
from cytocascade.masks.pipeline_files import (
    PIPELINE_FILES,
    WEIGHTS,
    export_pipeline,
    pipeline_hash,
    read_pipeline,
    write_pipeline,
)

TreeBytes = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline as diffusers writes it."""
    return save_mask_pipeline(tmp_path_factory.mktemp("pipeline") / "ddpm-masks")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_bytes()), **changes}))


@pytest.mark.parametrize(
    ("name", "size", "channels"), [("DDPMPipeline", 32, 1), ("DDIMPipeline", 32, 3), ("DDPMPipeline", 64, 3)]
)
def test_pipelines_of_diffusers_are_read(tmp_path: Path, name: str, size: int, channels: int) -> None:
    save_mask_pipeline(tmp_path / "it", name, size=size, channels=channels)
    found = read_pipeline(tmp_path / "it")
    assert (found.name, found.shape) == (name, (channels, size, size))
    assert found.schedule["_class_name"] == PIPELINES[name][1].__name__
    assert not found.unet.training
    assert all(torch.equal(a, b) for a, b in zip(found.unet.parameters(), mask_unet(size, channels).parameters()))


@pytest.mark.parametrize("name", PIPELINES)
def test_written_pipelines_are_loaded_and_run_by_diffusers(tmp_path: Path, name: str) -> None:
    save_mask_pipeline(tmp_path / "given", name, channels=3)
    write_pipeline(read_pipeline(tmp_path / "given"), tmp_path / "written")
    images = []
    for folder in (tmp_path / "given", tmp_path / "written"):
        pipeline = PIPELINES[name][0].from_pretrained(folder)
        assert type(pipeline.scheduler) is PIPELINES[name][1]
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(1)
        images.append(pipeline(generator=generator, num_inference_steps=2, output_type="np").images)
    assert images[0].shape == (1, 32, 32, 3)
    assert np.array_equal(*images)


def test_half_precision_is_kept_from_then_on(folder: Path, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    write_pipeline(read_pipeline(folder), tmp_path / "one", half=True)
    half = read_pipeline(tmp_path / "one")
    assert all(parameter.dtype == torch.float32 for parameter in half.unet.parameters())
    write_pipeline(half, tmp_path / "two", half=True)
    assert tree_bytes(tmp_path / "one") == tree_bytes(tmp_path / "two")
    assert set(tree_bytes(tmp_path / "one")) == set(PIPELINE_FILES)
    assert (tmp_path / "one" / WEIGHTS).stat().st_size < 0.6 * (folder / WEIGHTS).stat().st_size


def test_nothing_of_the_place_it_was_read_from_is_written(folder: Path, tmp_path: Path) -> None:
    write_pipeline(read_pipeline(folder), tmp_path / "out")
    assert all(str(folder.parent).encode() not in file.read_bytes() for file in tmp_path.rglob("*.json"))


def test_averaged_weights_are_preferred(copy: Path) -> None:
    other = mask_unet(variation=0.02)
    EMAModel(other.parameters(), model_cls=UNet2DModel, model_config=other.config).save_pretrained(copy / "unet_ema")
    plain = pipeline_hash(copy)
    found = read_pipeline(copy)
    assert torch.equal(found.unet.conv_out.weight, other.conv_out.weight)
    shutil.rmtree(copy / "unet_ema")
    assert torch.equal(read_pipeline(copy).unet.conv_out.weight, mask_unet().conv_out.weight)
    assert pipeline_hash(copy) != plain


def test_reading_does_not_touch_the_global_generator(folder: Path) -> None:
    before = torch.random.get_rng_state()
    read_pipeline(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", PIPELINE_FILES)
def test_hash_depends_on_every_file_and_on_nothing_else(copy: Path, folder: Path, name: str) -> None:
    (copy / "README.md").write_text("x")
    assert pipeline_hash(copy) == pipeline_hash(folder)
    if name.endswith("json"):
        edit(copy / name, _diffusers_version="0.1")
    else:
        tensors = load_file(copy / name)
        tensors["conv_out.bias"] += 1
        save_file(tensors, copy / name)
    assert pipeline_hash(copy) != pipeline_hash(folder)


def test_pickled_weights_are_refused_with_the_conversion_command(copy: Path) -> None:
    file = (copy / WEIGHTS).with_suffix(".bin")
    (copy / WEIGHTS).rename(file)
    for read in (read_pipeline, pipeline_hash):
        with pytest.raises(CytoCascadeError, match="pickle") as caught:
            read(copy)
        assert caught.value.path == file
        assert "python -c" in str(caught.value)
        assert f"{file} {copy / WEIGHTS}" in str(caught.value)


@pytest.mark.parametrize("name", ["masks.ckpt", "masks.pt"])
@pytest.mark.parametrize("inside", [False, True])
def test_single_pickles_are_refused(tmp_path: Path, name: str, inside: bool) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CytoCascadeError, match="pickle") as caught:
        read_pipeline(tmp_path if inside else tmp_path / name)
    assert caught.value.path == tmp_path / name


@pytest.mark.parametrize("name", PIPELINE_FILES)
def test_missing_file_is_told(copy: Path, name: str) -> None:
    (copy / name).unlink()
    for read in (read_pipeline, pipeline_hash):
        with pytest.raises(CytoCascadeError) as caught:
            read(copy)
        assert str(copy) in str(caught.value)
        assert caught.value.hint


@pytest.mark.parametrize("name", PIPELINE_FILES)
@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_damaged_file_is_named(copy: Path, name: str, text: str) -> None:
    (copy / name).write_text(text)
    with pytest.raises(CytoCascadeError) as caught:
        read_pipeline(copy)
    assert caught.value.path == copy / name
    assert "\n" not in caught.value.problem


def test_weights_of_another_network_are_named(copy: Path) -> None:
    edit(copy / "unet" / "config.json", layers_per_block=2)
    with pytest.raises(CytoCascadeError, match="not the weights of its network") as caught:
        read_pipeline(copy)
    assert caught.value.path == copy / WEIGHTS


@pytest.mark.parametrize(
    ("file", "changes", "text"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionPipeline"}, "this is a StableDiffusionPipeline"),
        ("model_index.json", {"unet": ["my_module", "MyUNet"]}, "my_module"),
        ("model_index.json", {"scheduler": ["diffusers", "PNDMScheduler"]}, "PNDMScheduler"),
        ("unet/config.json", {"class_embed_type": "timestep"}, "conditioned on classes"),
        ("unet/config.json", {"num_class_embeds": 4}, "conditioned on classes"),
        ("unet/config.json", {"sample_size": [32, 64]}, r"\[32, 64\] pixels"),
        ("unet/config.json", {"sample_size": None}, "None pixels"),
        ("unet/config.json", {"out_channels": 2}, "2 channels of 1"),
        ("unet/config.json", {"in_channels": 4, "out_channels": 4}, "4 channels of 4"),
    ],
)
def test_what_cannot_make_masks_is_refused(copy: Path, file: str, changes: dict[str, object], text: str) -> None:
    edit(copy / file, **changes)
    with pytest.raises(CytoCascadeError, match=text) as caught:
        read_pipeline(copy)
    assert caught.value.path == copy / file
    assert "train_unconditional.py" in str(caught.value.hint)


def test_sizes_of_both_axes_are_read(copy: Path) -> None:
    edit(copy / "unet" / "config.json", sample_size=[32, 32])
    assert read_pipeline(copy).shape == (1, 32, 32)


def test_checkpoint_of_the_training_script_is_told(tmp_path: Path) -> None:
    mask_unet().save_pretrained(tmp_path / "checkpoint-500" / "unet")
    (tmp_path / "checkpoint-500" / "optimizer.bin").write_bytes(b"")
    with pytest.raises(CytoCascadeError, match="checkpoint of the training script") as caught:
        read_pipeline(tmp_path / "checkpoint-500")
    assert "--output_dir" in str(caught.value.hint)


def test_other_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no diffusers pipeline"):
        read_pipeline(tmp_path)
    with pytest.raises(CytoCascadeError, match="no such folder"):
        read_pipeline(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CytoCascadeError, match="a pipeline is a folder"):
        read_pipeline(tmp_path / "file")


def test_export_replaces_only_if_asked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    pipeline = read_pipeline(folder)
    with pytest.raises(CytoCascadeError, match="exists already"):
        export_pipeline(pipeline, tmp_path / "out")
    assert export_pipeline(pipeline, tmp_path / "out", overwrite=True) == tmp_path / "out"
    assert not (tmp_path / "out" / "mine").exists()
