from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.axial_noise import AxialNoise, axial_starting_noise
from cytocascade.types import Array

IRREGULAR = np.asarray([0.0, 0.1, 0.7, 2.0, 5.0])


def noise_of(axial: AxialNoise, heights: Array = IRREGULAR, seed: int = 3, size: int = 64) -> torch.Tensor:
    return axial_starting_noise(axial, heights, np.zeros(len(heights), dtype=int), [seed], channels=2, size=size)


@pytest.mark.parametrize(
    "axial",
    [
        AxialNoise(rho=0.7),
        AxialNoise(rho=3.0),
        AxialNoise(length=1.2),
        AxialNoise(length=1.2, kernel="exponential"),
    ],
)
def test_every_slice_is_standard_normal_and_correlated_as_the_formula_says(axial: AxialNoise) -> None:
    noise = noise_of(axial, size=128).flatten(1).double().numpy()
    assert np.abs(noise.mean(axis=1)).max() < 0.03
    assert noise.std(axis=1) == pytest.approx(np.ones(5), abs=0.02)
    assert np.abs(np.mean(noise**4, axis=1) - 3).max() < 0.2
    expected = axial.correlation(IRREGULAR[:, None] - IRREGULAR[None, :])
    assert np.abs(np.corrcoef(noise) - expected).max() < 0.03


def test_neighbouring_pixels_are_independent() -> None:
    noise = noise_of(AxialNoise(length=2.0), size=128)
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.02


def test_correlations_have_the_documented_formulas() -> None:
    d = np.asarray([0.0, 0.5, 2.0])
    assert AxialNoise(rho=0.7).correlation(d) == pytest.approx([1, 0.49 / 1.49, 0.49 / 1.49])
    assert AxialNoise(length=2.0).correlation(-d) == pytest.approx([1, np.exp(-1 / 32), np.exp(-0.5)])
    assert AxialNoise(length=2.0, kernel="exponential").correlation(d) == pytest.approx([1, np.exp(-0.25), np.exp(-1)])


def test_nearly_equal_heights_make_nearly_equal_noise() -> None:
    noise = noise_of(AxialNoise(length=2.0), np.concatenate([np.linspace(0, 0.01, 30), [0.005]]))
    assert torch.isfinite(noise).all()
    assert float((noise - noise[0]).std()) < 0.02


def test_noise_is_a_pure_function_of_seed_and_heights() -> None:
    axial = AxialNoise(length=1.0)
    torch.manual_seed(1)
    first = noise_of(axial)
    torch.manual_seed(2)
    assert torch.equal(first, noise_of(axial))
    assert not torch.equal(first, noise_of(axial, seed=4))
    assert not torch.equal(first, noise_of(axial, IRREGULAR * 2))
    assert torch.equal(first, noise_of(axial, IRREGULAR + 7))


@pytest.mark.parametrize("axial", [AxialNoise(rho=1.0), AxialNoise(length=1.0)])
def test_other_cells_do_not_matter(axial: AxialNoise) -> None:
    alone = axial_starting_noise(axial, IRREGULAR, np.zeros(5, dtype=int), [3], size=16)
    heights = np.empty(10)
    heights[0::2], heights[1::2] = IRREGULAR, IRREGULAR[::-1]
    both = axial_starting_noise(axial, heights, np.tile([1, 0], 5), [8, 3], size=16)
    assert torch.equal(both[0::2], alone)
    assert abs(float((both[0::2] * both[1::2]).mean())) < 0.1


def test_no_slices_make_no_noise() -> None:
    assert axial_starting_noise(AxialNoise(rho=1), np.zeros(0), np.zeros(0, dtype=int), []).shape == (0, 1, 64, 64)


@pytest.mark.parametrize("wish", [{}, {"rho": 1, "length": 1}, {"length": 0}, {"rho": -1}, {"length": 1, "lenght": 2}])
def test_unclear_wishes_are_refused(wish: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AxialNoise.model_validate(wish)


def test_slices_without_cells_are_refused() -> None:
    with pytest.raises(CytoCascadeError, match="do not make slices"):
        axial_starting_noise(AxialNoise(rho=1), np.zeros(3), np.zeros(2, dtype=int), [1])
    with pytest.raises(CytoCascadeError, match="there are 1"):
        axial_starting_noise(AxialNoise(rho=1), np.zeros(2), np.asarray([0, 1]), [1])
    with pytest.raises(CytoCascadeError, match="finite"):
        axial_starting_noise(AxialNoise(rho=1), np.asarray([0, np.nan]), np.zeros(2, dtype=int), [1])
