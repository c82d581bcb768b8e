from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cytocascade.bundle import load_bundle
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting import FitOptions, StageProgress, fit
from cytocascade.textures.stable_diffusion.config import Sampling, StableDiffusionOptions
from cytocascade.textures.stable_diffusion.painter import Runtime, StableDiffusionPainter
from cytocascade.types import AnnotatedImage

TreeBytes = Callable[[Path], dict[str, bytes]]
InterruptAt = Callable[[str, int], StageProgress]

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
    one, again = (next(Cascade.from_pretrained(undisturbed).generate(1, seed=3, workers=k)) for k in (1, 2))
    assert one.labels.max() > 0
    np.testing.assert_array_equal(one.image, again.image)


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


@pytest.mark.parametrize("number", [4, 5])
def test_interrupted_fit_is_continued_to_the_same_bytes(
    undisturbed: Path,
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    sd_base: Path,
    sd_controlnet: Path,
    tmp_path: Path,
    tree_bytes: TreeBytes,
    interrupt_at: InterruptAt,
    number: int,
) -> None:
    out, options = tmp_path / "drawn", wishes(sd_base, sd_controlnet)
    reported: list[tuple[int, int]] = []
    stop = interrupt_at("textures", number)

    def progress(stage: str, done: int, total: int, remark: str) -> None:
        if stage == "textures" and remark.startswith("loss"):
            reported.append((done, total))
        stop(stage, done, total, remark)

    with pytest.raises(KeyboardInterrupt):
        fit(drawn_images, out, options, base=nuclei.bundle, progress=progress)
    assert reported[-1] == (number - 3, 2)
    assert (tmp_path / "drawn.fit" / "textures.checkpoint.safetensors").exists()
    fit(drawn_images, out, options, base=nuclei.bundle)
    assert tree_bytes(out) == tree_bytes(undisturbed)
