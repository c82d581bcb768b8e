from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from cytocascade.diffusion.denoiser import DenoiserConfig, refolded

from .conftest import MakeDenoiser


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("channels", [1, 2])
def test_prediction_has_the_shape_of_the_sample(make_denoiser: MakeDenoiser, size: int, channels: int) -> None:
    model = make_denoiser(size=size, channels=channels)
    sample = noise(3, channels, size, size)
    assert model(sample, torch.tensor([0, 500, 999])).shape == sample.shape


def test_attention_keeps_the_shape(make_denoiser: MakeDenoiser) -> None:
    model = make_denoiser(attention=True, widths=(8, 32))
    assert model(noise(2, 1, 16, 16), torch.tensor(3)).shape == (2, 1, 16, 16)


@torch.no_grad()
def test_every_condition_changes_the_prediction(make_denoiser: MakeDenoiser) -> None:
    model = make_denoiser(condition_channels=1, scalars=2, styles=2)
    sample, step = noise(2, 1, 16, 16), torch.tensor([100, 700])
    image, scalars, style = noise(2, 1, 16, 16, seed=1), noise(2, 2, seed=2), torch.tensor([0, 0])
    plain = model(sample, step, image, scalars, style)
    assert not torch.equal(plain, model(sample, step, image + 1, scalars, style))
    assert not torch.equal(plain, model(sample, step, image, scalars + 1, style))
    assert not torch.equal(plain, model(sample, step, image, scalars, torch.tensor([1, 1])))
    assert not torch.equal(plain, model(sample, step + 200, image, scalars, style))


@torch.no_grad()
def test_withheld_vector_and_style_do_not_matter_but_the_image_does(make_denoiser: MakeDenoiser) -> None:
    model = make_denoiser(condition_channels=1, scalars=2, styles=2)
    sample, step, image = noise(2, 1, 16, 16), torch.tensor(300), noise(2, 1, 16, 16, seed=1)
    withheld = torch.tensor([True, True])
    one = model(sample, step, image, noise(2, 2, seed=2), torch.tensor([0, 0]), withheld)
    other = model(sample, step, image, noise(2, 2, seed=3), torch.tensor([1, 1]), withheld)
    assert torch.equal(one, other)
    assert not torch.equal(one, model(sample, step, image + 1, noise(2, 2, seed=2), torch.tensor([0, 0]), withheld))


@torch.no_grad()
def test_withholding_differs_from_a_vector_of_zeros(make_denoiser: MakeDenoiser) -> None:
    model = make_denoiser(scalars=2)
    sample, step, zeros = noise(1, 1, 16, 16), torch.tensor(300), torch.zeros(1, 2)
    dropped = model(sample, step, None, zeros, None, torch.tensor([True]))
    assert not torch.equal(model(sample, step, None, zeros), dropped)


@torch.no_grad()
def test_withholding_concerns_only_the_chosen_samples(make_denoiser: MakeDenoiser) -> None:
    model = make_denoiser(scalars=1)
    sample, step, scalars = noise(2, 1, 16, 16), torch.tensor(300), torch.ones(2, 1)
    plain = model(sample, step, None, scalars)
    half = model(sample, step, None, scalars, None, torch.tensor([False, True]))
    assert torch.equal(plain[0], half[0])
    assert not torch.equal(plain[1], half[1])


@torch.no_grad()
def test_style_and_vector_are_optional(make_denoiser: MakeDenoiser) -> None:
    model = make_denoiser(scalars=1, styles=3)
    sample, step = noise(2, 1, 16, 16), torch.tensor(300)
    given = model(sample, step, None, torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))
    assert torch.equal(model(sample, step), given)


def test_parameter_count_counts_every_weight(make_denoiser: MakeDenoiser) -> None:
    small, large = make_denoiser(), make_denoiser(styles=3)
    # A data-set embedding has four times the width of the first level.
    assert large.parameter_count() - small.parameter_count() == 2 * 32


@pytest.mark.parametrize("wrong", [{"size": 4}, {"channels": 0}, {"styles": 0}, {"depth": 3}])
def test_impossible_shapes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        DenoiserConfig(**wrong)


@torch.no_grad()
@pytest.mark.parametrize(("fold", "size"), [(4, 32), (8, 64), (2, 16)])
def test_refolded_network_takes_samples_of_another_resolution(
    make_denoiser: MakeDenoiser, fold: int, size: int
) -> None:
    model = make_denoiser(condition_channels=1, scalars=2)
    other = refolded(model, fold)
    assert (other.config.fold, other.config.size, other.noise_shift) == (fold, size, fold / 2)
    # Networks of the usual resolution are written as they were before there were others.
    assert ("fold" in other.config.model_dump()) == (fold != 2)
    found = other(noise(2, 1, size, size), torch.tensor(300), noise(2, 1, size, size, seed=1), noise(2, 2, seed=2))
    assert found.shape == (2, 1, size, size)


@torch.no_grad()
def test_u_net_sees_in_finer_samples_what_it_saw_in_coarse_ones(make_denoiser: MakeDenoiser) -> None:
    model = make_denoiser()
    features = noise(1, model.config.stem_width, 16, 16)
    larger = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
    inner = slice(1, -1)
    coarse, fine = model.fold(features), refolded(model, 4).fold(larger)
    assert torch.allclose(coarse[..., inner, inner], fine[..., inner, inner], atol=1e-5)


@torch.no_grad()
def test_there_and_back_again_is_the_network_itself(make_denoiser: MakeDenoiser) -> None:
    model = make_denoiser(scalars=2)
    again = refolded(refolded(model, 4), 2)
    assert again.config == model.config
    for name, weight in model.state_dict().items():
        assert torch.allclose(again.state_dict()[name], weight, atol=1e-6), name
