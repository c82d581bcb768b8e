from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cytocascade.bundle import load_bundle
from cytocascade.cascade import Cascade
from cytocascade.fitting import FitOptions, fit
from cytocascade.textures.stable_diffusion.config import Sampling, StableDiffusionOptions
from cytocascade.textures.stable_diffusion.painter import StableDiffusionPainter
from cytocascade.textures.stable_diffusion.runtime import Runtime
from cytocascade.types import AnnotatedImage

TreeBytes = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.usefixtures("small_calibration")


def wishes(base: Path, controlnet: Path, **changes: Any) -> FitOptions:
    given: dict[str, Any] = {
        "base": str(base),
        "controlnet": str(controlnet),
        "latent_size": 16,
        "batch": 2,
        "learning_rate": 1e-3,
        "sampling": Sampling(steps=1),
        "checkpoint_seconds": 1e-9,
        **changes,
    }
    return FitOptions(
        steps=2, batch=4, budget=None, seed=1, stable_diffusion=StableDiffusionOptions.model_validate(given)
    )


@pytest.fixture(scope="module")
def undisturbed(
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    sd_base: Path,
    sd_controlnet: Path,
    tmp_path_factory: pytest.TempPathFactory,
    small_calibration: None,
) -> Path:
    """A bundle that was fitted in one go, in latent mode."""
    out = tmp_path_factory.mktemp("fit") / "drawn"
    fit(drawn_images, out, wishes(sd_base, sd_controlnet), base=nuclei.bundle)
    return out


def painter_of(folder: Path, runtime: Runtime | None = None) -> StableDiffusionPainter:
    textures = load_bundle(folder, runtime).textures
    assert isinstance(textures, StableDiffusionPainter)
    return textures


def test_bundle_says_what_it_needs(undisturbed: Path, sd_base: Path) -> None:
    config = painter_of(undisturbed).config
    assert config.base.name == str(sd_base.resolve())
    assert set(config.base.files) == {"unet", "vae"}
    assert all(len(value) == 64 for value in config.base.files.values())
    assert (config.mode, config.trained, config.latent_size) == ("latent", "controlnet", 16)
    assert load_bundle(undisturbed).config.training["steps"] == {"masks": 2, "textures": 2}
    assert "Stable Diffusion" in load_bundle(undisturbed).card
    assert config.base.files["unet"][:12] in load_bundle(undisturbed).card


def test_only_the_controlnet_is_kept_and_was_trained(undisturbed: Path, sd_controlnet: Path) -> None:
    from diffusers import ControlNetModel

    weights = painter_of(undisturbed).weights
    assert all(name.startswith("controlnet.") for name in weights)
    before = ControlNetModel.from_pretrained(sd_controlnet).state_dict()
    assert {name.removeprefix("controlnet.") for name in weights} == set(before)
    changed = [not torch.equal(v.float(), before[n.removeprefix("controlnet.")]) for n, v in weights.items()]
    assert all(changed)


def test_bundle_generates_the_same_images_every_time(undisturbed: Path) -> None:
    small = {"seed": 3, "size": (64, 64), "cells": 2}
    one, again = (next(Cascade.from_pretrained(undisturbed).generate(1, workers=k, **small)) for k in (1, 2))
    assert one.labels.max() > 0
    np.testing.assert_array_equal(one.image, again.image)


@pytest.mark.slow
def test_two_fits_with_one_seed_agree(
    undisturbed: Path,
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    sd_base: Path,
    sd_controlnet: Path,
    tmp_path: Path,
    tree_bytes: TreeBytes,
) -> None:
    fit(drawn_images, tmp_path / "drawn", wishes(sd_base, sd_controlnet), base=nuclei.bundle)
    assert tree_bytes(tmp_path / "drawn") == tree_bytes(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_interrupted_fit_is_continued_to_the_same_bytes(
    undisturbed: Path,
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    sd_base: Path,
    sd_controlnet: Path,
    tmp_path: Path,
    tree_bytes: TreeBytes,
    number: int,
) -> None:
    out, options = tmp_path / "drawn", wishes(sd_base, sd_controlnet)
    remarks: list[str] = []

    def progress(stage: str, done: int, total: int, remark: str) -> None:
        remarks.append(remark)
        if stage == "textures" and remark.startswith("loss") and done == number:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(drawn_images, out, options, base=nuclei.bundle, progress=progress)
    assert any(remark.startswith("needs about 0.") for remark in remarks)
    assert (tmp_path / "drawn.fit" / "textures.checkpoint.safetensors").exists()
    fit(drawn_images, out, options, base=nuclei.bundle)
    assert tree_bytes(out) == tree_bytes(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("train", ["lora", "decoder", "all"])
def test_more_than_the_controlnet_can_be_trained(
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    sd_base: Path,
    sd_controlnet: Path,
    tmp_path: Path,
    tree_bytes: TreeBytes,
    train: str,
) -> None:
    options = wishes(
        sd_base, sd_controlnet, train=train, lora_rank=2, ema=0.0, accumulation=2, checkpointing=True, mode="pixel",
        latent_size=64, batch=1, steps=1, hint="mask",
    )  # fmt: skip
    fit(drawn_images, tmp_path / "one", options, base=nuclei.bundle, name="same")
    painter = painter_of(tmp_path / "one")
    of_unet = {name for name in painter.weights if name.startswith("unet.")}
    assert of_unet
    assert all(("lora_" in name) == (train == "lora") for name in of_unet)
    assert any("down_blocks" in name for name in of_unet) == (train != "decoder")
    assert not any(name.startswith("vae") for name in painter.weights)
    # What was trained in the UNet is put back, not only the ControlNet.
    weights = dict(painter.ready().networks.named_parameters())
    with torch.inference_mode():
        assert all(torch.equal(weights[name].float(), painter.weights[name].float()) for name in of_unet)


@pytest.mark.slow
def test_two_processes_train_together(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], sd_base: Path, sd_controlnet: Path, tmp_path: Path
) -> None:
    options = wishes(sd_base, sd_controlnet, processes=2)
    fit(drawn_images, tmp_path / "one", options, base=nuclei.bundle, name="same")
    fit(drawn_images, tmp_path / "two", options, base=nuclei.bundle, name="same")
    one, two = painter_of(tmp_path / "one").weights, painter_of(tmp_path / "two").weights
    alone = wishes(sd_base, sd_controlnet, accumulation=2)
    fit(drawn_images, tmp_path / "alone", alone, base=nuclei.bundle, name="same")
    summed = painter_of(tmp_path / "alone").weights
    for name, value in summed.items():
        assert torch.equal(one[name], two[name])
        # Two devices see the same batches as one that accumulates two.
        torch.testing.assert_close(one[name].float(), value.float(), atol=2e-4, rtol=2e-3)
