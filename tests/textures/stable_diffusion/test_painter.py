from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.textures.stable_diffusion import tiny

from cytocascade.diffusion.sampling import starting_noise
from cytocascade.errors import CytoCascadeError
from cytocascade.textures.axial_fit import ellipses
from cytocascade.textures.axial_noise import AxialNoise
from cytocascade.textures.model import sample_textures
from cytocascade.textures.slices import sample_slice_textures
from cytocascade.textures.stable_diffusion.config import Sampling, StableDiffusionOptions
from cytocascade.textures.stable_diffusion.networks import add_lora, kept_weights
from cytocascade.textures.stable_diffusion.painter import StableDiffusionPainter
from cytocascade.textures.stable_diffusion.presets import SAMPLERS
from cytocascade.textures.stable_diffusion.prompt import empty_prompt
from cytocascade.textures.stable_diffusion.runtime import Runtime
from cytocascade.textures.stable_diffusion.storage import load_painter
from cytocascade.textures.stable_diffusion.task import assemble
from cytocascade.types import FloatArray

WISHES = np.zeros((3, 2), dtype=np.float32)


def made(base: Path, controlnet: Path | None, **options: object) -> StableDiffusionPainter:
    wished = StableDiffusionOptions.model_validate(
        {
            "base": str(base),
            "controlnet": None if controlnet is None else str(controlnet),
            "sampling": Sampling(steps=2),
            **options,
        }
    )
    task = assemble(base, wished, "fluorescence", seed=0, start=None)
    return StableDiffusionPainter(task.config, kept_weights(task.networks), task.prompt, Runtime(device="cpu"))


@pytest.fixture(scope="module")
def pixel(sd_base: Path, sd_controlnet: Path) -> StableDiffusionPainter:
    return made(sd_base, sd_controlnet, mode="pixel", sampling=Sampling(steps=1))


@pytest.fixture(scope="module")
def latent(sd_base: Path, sd_controlnet: Path) -> StableDiffusionPainter:
    return made(sd_base, sd_controlnet, mode="latent", latent_size=16)


def paint(painter: StableDiffusionPainter, distance: FloatArray | None = None, **options: object) -> FloatArray:
    distance = ellipses(3) if distance is None else distance
    noise = starting_noise(painter, range(len(distance)))
    wishes = np.zeros((len(distance), 2), dtype=np.float32)
    return painter.paint(noise, distance, wishes, modality="fluorescence", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["pixel", "latent"])
def test_textures_have_a_mean_of_one_and_depend_on_seed_and_hint(mode: str, request: pytest.FixtureRequest) -> None:
    painter: StableDiffusionPainter = request.getfixturevalue(mode)
    distance = ellipses(2)
    signal = sample_textures(painter, distance, WISHES[:2], range(2), modality="fluorescence")
    assert signal.shape == (2, 64, 64)
    assert signal.dtype == np.float32
    means = [float(each[outline > 0].mean()) for each, outline in zip(signal, distance)]
    np.testing.assert_allclose(means, 1.0, atol=1e-5)
    again = sample_textures(painter, distance, WISHES[:2], range(2), modality="fluorescence", workers=2)
    np.testing.assert_array_equal(signal, again)
    assert not np.array_equal(signal[0], sample_textures(painter, distance[:1], WISHES[:1], [9], modality="phase")[0])
    brighter = sample_textures(painter, distance[:1], WISHES[:1] + 2, range(1), modality="fluorescence")
    assert np.abs(brighter - signal[:1]).max() > 1e-5


def test_chunks_do_not_notice_each_other(latent: StableDiffusionPainter) -> None:
    chunk = latent.config.chunk
    distance = ellipses(chunk + 2)
    noise = starting_noise(latent, range(len(distance)))
    last = latent.paint(noise[chunk:], distance[chunk:], WISHES[:2], modality="fluorescence")
    np.testing.assert_array_equal(paint(latent, distance)[chunk:], last)


def test_nothing_is_painted_for_no_cells(pixel: StableDiffusionPainter) -> None:
    none = pixel.paint(torch.zeros((0, 4, 64, 64)), ellipses(3)[:0], WISHES[:0], modality="fluorescence")
    assert none.shape == (0, 64, 64)


def test_latent_mode_is_made_of_latents(latent: StableDiffusionPainter, pixel: StableDiffusionPainter) -> None:
    assert latent.sample_shape == (4, 16, 16)
    assert pixel.sample_shape == (4, 64, 64)
    assert latent.ready().vae is not None
    assert pixel.ready().vae is None


def test_slices_with_alike_noise_are_alike(pixel: StableDiffusionPainter) -> None:
    distance = np.repeat(ellipses(1), 3, axis=0)
    heights, cell = np.asarray([0.0, 0.1, 50.0]), np.zeros(3, dtype=int)
    signal = sample_slice_textures(
        pixel, distance, heights, cell, WISHES[:1], [4], noise=AxialNoise(length=2.0), modality="fluorescence"
    )
    inside = distance[0] > 3
    near, far = (np.corrcoef(signal[0][inside], signal[k][inside])[0, 1] for k in (1, 2))
    assert near > 0.95
    assert near > far + 0.1


@pytest.mark.parametrize("name", ["paper", "ddim", "dpm++"])
def test_samplers_differ_and_repeat(latent: StableDiffusionPainter, name: str) -> None:
    painter = latent.with_sampling(SAMPLERS[name].model_copy(update={"steps": 3}))
    one, again = paint(painter, ellipses(1)), paint(painter, ellipses(1))
    np.testing.assert_array_equal(one, again)
    assert np.isfinite(one).all()
    other = latent.with_sampling(Sampling(sampler="dpm++" if name != "dpm++" else "ddim", steps=3))
    assert np.abs(one - paint(other, ellipses(1))).max() > 1e-4


def test_guidance_drives_away_from_what_the_unet_paints_without_hint(latent: StableDiffusionPainter) -> None:
    plain, guided = paint(latent, ellipses(1)), paint(latent, ellipses(1), guidance=3.0)
    weak = paint(latent.with_sampling(latent.config.sampling.model_copy(update={"strength": 0.0})), ellipses(1))
    assert np.abs(guided - plain).max() > 1e-5
    # Without any control, guidance has nothing to drive away from.
    none = latent.with_sampling(latent.config.sampling.model_copy(update={"strength": 0.0, "guidance": 3.0}))
    np.testing.assert_allclose(paint(none, ellipses(1)), weak, atol=1e-5)
    assert np.abs(weak - plain).max() > 1e-4


def test_lcm_needs_a_base_that_was_made_for_it(
    pixel: StableDiffusionPainter, sd_controlnet: Path, tmp_path: Path
) -> None:
    lcm = Sampling(sampler="lcm", steps=4)
    with pytest.raises(CytoCascadeError, match="not made for the sampler lcm"):
        paint(pixel.with_sampling(lcm))
    base = tiny.make_base(tmp_path / "lcm", time_cond_proj_dim=16)
    painter = made(base, sd_controlnet, latent_size=16, sampling=lcm)
    one, again = paint(painter, ellipses(1)), paint(painter, ellipses(1))
    np.testing.assert_array_equal(one, again)
    assert np.isfinite(one).all()


def test_phase_contrast_is_painted_too(pixel: StableDiffusionPainter) -> None:
    noise = starting_noise(pixel, [1])
    assert np.isfinite(pixel.paint(noise, ellipses(1), WISHES[:1], modality="phase")).all()


def test_lcm_lora_makes_another_base_sample_in_few_steps(
    latent: StableDiffusionPainter, sd_base: Path, tmp_path: Path
) -> None:
    def with_lora(lora: Path) -> StableDiffusionPainter:
        runtime = Runtime(device="cpu", lcm_lora=str(lora))
        return StableDiffusionPainter(latent.config, latent.weights, latent.prompt, runtime)

    painter = with_lora(tiny.make_lora(sd_base, tmp_path / "lora", seed=0))
    assert np.abs(paint(painter, ellipses(1)) - paint(latent, ellipses(1))).max() > 1e-6
    assert np.isfinite(paint(painter.with_sampling(Sampling(sampler="lcm", steps=2)), ellipses(1))).all()
    with pytest.raises(CytoCascadeError, match="no LCM-LoRA"):
        paint(with_lora(Path("nobody/nothing")))


def test_painter_is_the_same_after_saving(latent: StableDiffusionPainter, tmp_path: Path) -> None:
    latent.save(tmp_path / "textures.safetensors")
    loaded = load_painter(tmp_path / "textures.safetensors", Runtime(device="cpu"))
    assert loaded.config == latent.config
    np.testing.assert_array_equal(loaded.prompt.tokens.numpy(), latent.prompt.tokens.numpy())
    np.testing.assert_allclose(paint(loaded, ellipses(1)), paint(latent, ellipses(1)), atol=0.01)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "textures.safetensors").read_bytes()


def test_what_was_learned_before_is_gone_on_from(latent: StableDiffusionPainter, sd_base: Path) -> None:
    changed = {name: value + 1 for name, value in latent.weights.items()}
    before = StableDiffusionPainter(latent.config, changed, latent.prompt, Runtime(device="cpu"))
    wished = StableDiffusionOptions(base=str(sd_base), latent_size=16)
    task = assemble(sd_base, wished, "fluorescence", seed=0, start=before)
    # The fitted ControlNet had a smaller entrance than a new one; what fits is taken over.
    weights = dict(task.networks.named_parameters())
    assert torch.equal(weights["controlnet.conv_in.weight"], changed["controlnet.conv_in.weight"])


def test_missing_packages_are_named(sd_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CytoCascadeError, match=r"cytocascade\[sd\]"):
        empty_prompt(sd_base)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CytoCascadeError, match=r"cytocascade\[sd\]"):
        add_lora(torch.nn.Module(), 2, seed=0)  # type: ignore[arg-type]
