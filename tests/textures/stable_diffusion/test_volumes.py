"""Volumes whose slices Stable Diffusion paints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.textures.stable_diffusion import tiny

from cytocascade.bundle import Bundle, load_bundle, save_bundle
from cytocascade.cascade import Cascade
from cytocascade.fitting import FitOptions
from cytocascade.images.stacks import StackDataset
from cytocascade.textures.stable_diffusion.config import Mode, Sampling, StableDiffusionOptions
from cytocascade.textures.stable_diffusion.networks import kept_weights
from cytocascade.textures.stable_diffusion.painter import StableDiffusionPainter
from cytocascade.textures.stable_diffusion.runtime import Runtime
from cytocascade.textures.stable_diffusion.task import assemble
from cytocascade.types import AnnotatedImage
from cytocascade.volumes.fitting import fit_volumes


def options_for(base: Path, controlnet: Path, mode: Mode = "latent") -> StableDiffusionOptions:
    return StableDiffusionOptions(
        base=str(base),
        controlnet=str(controlnet),
        mode=mode,
        latent_size=16 if mode == "latent" else 64,
        batch=1,
        sampling=Sampling(steps=1),
    )


def test_volumes_are_painted_saved_and_loaded(
    tiny_volumes: Bundle, sd_base: Path, sd_controlnet: Path, tmp_path: Path
) -> None:
    task = assemble(sd_base, options_for(sd_base, sd_controlnet), "fluorescence", seed=0, start=None)
    painter = StableDiffusionPainter(task.config, kept_weights(task.networks), task.prompt, Runtime(device="cpu"))
    save_bundle(replace(tiny_volumes, textures=painter), tmp_path / "volumes")
    loaded = load_bundle(tmp_path / "volumes", Runtime(device="cpu"))
    assert isinstance(loaded.textures, StableDiffusionPainter)
    given = {"seed": 1, "size": (14, 64, 64), "cells": 1, "shape_prior": "ellipsoid"}
    one = next(Cascade(loaded).generate(1, workers=1, **given))  # type: ignore[arg-type]
    assert one.image.shape == (14, 64, 64)
    assert one.labels.max() == 1
    compact = next(Cascade(tiny_volumes).generate(1, workers=1, **given))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one.labels, compact.labels)
    assert not np.array_equal(one.image, compact.image)


@pytest.mark.slow
@pytest.mark.usefixtures("small_calibration")
@pytest.mark.parametrize(("mode", "single"), [("latent", False), ("pixel", True)])
def test_slices_are_fitted(
    tiny_volumes: Bundle,
    drawn_images: list[AnnotatedImage],
    sd_base: Path,
    sd_controlnet: Path,
    tmp_path: Path,
    mode: Mode,
    single: bool,
) -> None:
    base = tiny.make_single_file(sd_base, tmp_path / "tiny.safetensors") if single else sd_base
    wished = options_for(base, sd_controlnet, mode)
    options = FitOptions(steps=1, batch=4, budget=None, seed=1, stable_diffusion=wished)
    dataset = StackDataset((), tuple(drawn_images), "folder", Path("drawn"), tuple(() for _ in drawn_images))
    fitted = fit_volumes(dataset, tmp_path / "one", options, base=tiny_volumes)
    assert isinstance(fitted.textures, StableDiffusionPainter)
    assert fitted.textures.config.mode == mode
    assert fitted.config.dim == 3
    assert "Stable Diffusion" in fitted.card
    sample = next(Cascade(fitted).generate(1, seed=0, size=(14, 64, 64), cells=1, shape_prior="ellipsoid"))
    assert sample.labels.max() == 1
