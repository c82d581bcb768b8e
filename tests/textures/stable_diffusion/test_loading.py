from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.textures.stable_diffusion import tiny

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion.loading import load_controlnet, load_networks, new_controlnet
from cytocascade.textures.stable_diffusion.prompt import empty_prompt


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return set(first) == set(second) and all(torch.equal(value, second[name]) for name, value in first.items())


def test_single_file_holds_the_same_networks_as_the_folder(sd_base: Path, tmp_path: Path) -> None:
    file = tiny.make_single_file(sd_base, tmp_path / "tiny.safetensors")
    folder, single = load_networks(sd_base, "latent"), load_networks(file, "latent")
    assert same(folder.unet, single.unet)
    assert folder.vae is not None
    assert single.vae is not None
    assert same(folder.vae, single.vae)
    assert folder.schedule == single.schedule
    x, t, words = torch.randn(1, 4, 16, 16), torch.tensor(7), torch.randn(1, tiny.LENGTH, tiny.TEXT)
    with torch.inference_mode():
        assert torch.equal(folder.unet(x, t, words).sample, single.unet(x, t, words).sample)
        assert torch.equal(folder.vae.decode(x).sample, single.vae.decode(x).sample)


def test_empty_prompt_is_the_same_from_folder_and_single_file(sd_base: Path, tmp_path: Path) -> None:
    file = tiny.make_single_file(sd_base, tmp_path / "tiny.safetensors")
    folder, single = empty_prompt(sd_base), empty_prompt(file)
    assert folder.tokens.shape == (tiny.LENGTH, tiny.TEXT)
    assert folder.pooled is None
    torch.testing.assert_close(folder.tokens, single.tokens)


def test_linear_projections_mean_heads_of_64(tmp_path: Path) -> None:
    base = tiny.make_base(tmp_path / "base", linear=True)
    single = load_networks(tiny.make_single_file(base, tmp_path / "tiny.safetensors"), "pixel")
    assert single.unet.config.use_linear_projection
    assert single.unet.config.attention_head_dim == [1, 1]
    assert same(load_networks(base, "pixel").unet, single.unet)


def test_vae_is_read_in_latent_mode_only(sd_base: Path) -> None:
    assert load_networks(sd_base, "pixel").vae is None


def test_what_the_base_predicts_is_read_and_can_be_told(tmp_path: Path) -> None:
    base = tiny.make_base(tmp_path / "base", prediction="v_prediction")
    assert load_networks(base, "pixel").schedule["prediction_type"] == "v_prediction"
    assert load_networks(base, "pixel", prediction="epsilon").schedule["prediction_type"] == "epsilon"
    file = tiny.make_single_file(base, tmp_path / "tiny.safetensors", open_clip=True)
    with pytest.raises(CytoCascadeError, match="does not tell what it predicts") as caught:
        load_networks(file, "pixel")
    assert "--sd-prediction v_prediction" in str(caught.value.hint)
    assert load_networks(file, "pixel", prediction="v_prediction").schedule["prediction_type"] == "v_prediction"


def test_xl_has_two_text_encoders(tmp_path: Path) -> None:
    prompt = empty_prompt(tiny.make_base(tmp_path / "base", xl=True))
    assert prompt.tokens.shape == (tiny.LENGTH, 2 * tiny.TEXT)
    assert prompt.pooled is not None
    assert prompt.pooled.shape == (16,)


def test_new_controlnet_changes_nothing_and_depends_on_the_seed_alone(sd_base: Path) -> None:
    unet = load_networks(sd_base, "pixel").unet
    one, again, other = (new_controlnet(unet, seed=seed) for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)
    x, words, hint = torch.randn(1, 4, 8, 8), torch.randn(1, tiny.LENGTH, tiny.TEXT), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        down, middle = one(x, torch.tensor(3), words, controlnet_cond=hint, return_dict=False)
    assert all(not each.any() for each in (*down, middle))


def test_controlnet_can_be_given(sd_base: Path, sd_controlnet: Path, tmp_path: Path) -> None:
    unet = load_networks(sd_base, "pixel").unet
    found = load_controlnet(str(sd_controlnet), unet, seed=0, download=False)
    assert found.config.conditioning_embedding_out_channels == [4, 4, 4, 8]
    other = tiny.make_base(tmp_path / "other", xl=True)
    with pytest.raises(CytoCascadeError, match="another Stable Diffusion"):
        load_controlnet(str(sd_controlnet), load_networks(other, "pixel").unet, seed=0, download=False)
    with pytest.raises(CytoCascadeError, match="no ControlNet"):
        load_controlnet("nobody/nothing", unet, seed=0, download=False)


def test_damaged_weights_are_told(sd_base: Path, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(sd_base, tmp_path / "broken")
    file = broken / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CytoCascadeError, match="cannot be read"):
        load_networks(broken, "pixel")
    (tmp_path / "no.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CytoCascadeError, match="safetensors"):
        load_networks(tmp_path / "no.safetensors", "pixel")
