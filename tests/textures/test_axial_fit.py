from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.cascade import Cascade
from cytocascade.textures.axial_fit import (
    LEVELS,
    TextureResponse,
    contrast_left,
    ellipses,
    fit_axial_noise,
    match_axial_noise,
    measure_response,
    predicted_correlation,
)
from cytocascade.textures.axial_noise import DEFAULT_LENGTH, AxialNoise
from cytocascade.textures.axial_statistics import AxialCorrelation
from cytocascade.types import AnnotatedStack, Array

FAITHFUL = TextureResponse(np.asarray([0.0, 1.0]), np.asarray([0.0, 1.0]))
DISTANCE = np.arange(1, 11) * 0.5


def correlation(values: Array, share: float = 1.0) -> AxialCorrelation:
    return AxialCorrelation(
        distance=list(DISTANCE), correlation=list(share * values), pixels=[100.0] * 10, texture_share=share
    )


def test_ellipses_are_masks_of_trial_cells() -> None:
    masks = ellipses(5)
    assert masks.shape == (5, 64, 64)
    areas = (masks > 0).sum(axis=(1, 2))
    assert areas.min() > 350
    assert areas.max() < 1700
    slope = np.hypot(*np.gradient(masks, axis=(1, 2)))
    assert slope[np.abs(masks) < 2] == pytest.approx(np.ones((np.abs(masks) < 2).sum()), abs=0.15)


def test_shipped_network_makes_more_alike_textures_of_more_alike_noise(nuclei: Cascade) -> None:
    response = measure_response(nuclei.bundle.textures, modality="fluorescence", distance=ellipses(3), steps=4)
    assert list(response.noise) == list(LEVELS)
    assert response.texture[-1] == 1
    assert (np.diff(response.texture) > 0.03).all()
    assert response.texture[0] < 0.3
    assert response(np.asarray(0.85)) == pytest.approx(0.83, abs=0.08)


@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.0])
def test_predicted_correlation_is_that_of_blurred_noise(sigma: float) -> None:
    # In a Gaussian field, blur adds 2 sigma^2 to the squared length.
    length = 1.2
    found = predicted_correlation(AxialNoise(length=length), FAITHFUL, DISTANCE, axial_sigma=sigma)
    assert found == pytest.approx(np.exp(-(DISTANCE**2) / 2 / (length**2 + 2 * sigma**2)), abs=0.01)
    left = contrast_left(AxialNoise(length=length), FAITHFUL, sigma)
    assert left == pytest.approx((length**2 / (length**2 + 2 * sigma**2)) ** 0.25, abs=0.01)


def test_predicted_correlation_holds_for_sampled_slices_too() -> None:
    rng = np.random.default_rng(0)
    noise = AxialNoise(length=0.8, kernel="exponential")
    heights = np.arange(40) * 0.25
    root = np.linalg.cholesky(noise.correlation(heights[:, None] - heights[None]))
    field = ndi.gaussian_filter1d(root @ rng.standard_normal((40, 20000)), 0.5 / 0.25, axis=0)[10:30]
    found = np.corrcoef(field)
    assert found[0, [2, 4, 8]] == pytest.approx(
        predicted_correlation(noise, FAITHFUL, np.asarray([0.5, 1.0, 2.0]), axial_sigma=0.5), abs=0.03
    )
    assert field.std() == pytest.approx(contrast_left(noise, FAITHFUL, 0.5), abs=0.03)


def test_shared_noise_survives_the_blur() -> None:
    found = predicted_correlation(AxialNoise(rho=1.0), FAITHFUL, np.asarray([0.5, 5.0]), axial_sigma=0.3)
    assert found[1] > 0.5
    assert contrast_left(AxialNoise(rho=1.0), FAITHFUL, 0.3) == pytest.approx(np.sqrt(0.5), abs=0.05)


@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_length_and_kernel_are_found_again(kernel: str, sigma: float) -> None:
    true = AxialNoise.model_validate({"length": 1.7, "kernel": kernel})
    wished = correlation(predicted_correlation(true, FAITHFUL, DISTANCE, axial_sigma=sigma), share=0.6)
    found = match_axial_noise(wished, FAITHFUL, axial_sigma=sigma, kernels=["gaussian", "exponential"])
    assert found.kernel == kernel
    assert found.length == pytest.approx(1.7, rel=0.03)


def test_network_that_forgets_gets_longer_noise() -> None:
    forgetful = TextureResponse(np.linspace(0, 1, 11), np.linspace(0, 1, 11) ** 2)
    wished = correlation(np.exp(-(DISTANCE**2) / 2))
    lengths = [match_axial_noise(wished, response).length or 0 for response in (FAITHFUL, forgetful)]
    assert lengths == pytest.approx([1.0, np.sqrt(2)], rel=0.03)


def test_blur_beyond_the_measured_correlation_leaves_some_contrast() -> None:
    noise = match_axial_noise(correlation(np.exp(-(DISTANCE**2) / 2)), FAITHFUL, axial_sigma=1.2)
    assert noise.length == pytest.approx(0.72, rel=0.02)
    assert contrast_left(noise, FAITHFUL, 1.2) > 0.6


def test_fit_without_stacks_is_the_default(nuclei: Cascade) -> None:
    noise, measured = fit_axial_noise([], nuclei.bundle.textures, modality="fluorescence")
    assert noise == AxialNoise(length=DEFAULT_LENGTH)
    assert measured is None


def test_fit_follows_the_stacks(nuclei: Cascade) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :40] - 19.5
    labels = np.tile((np.hypot(y, x) < 17).astype(np.uint16), (20, 1, 1))
    lengths = []
    for sigma in (1.0, 3.0):  # slices of 0.5 um
        image = ndi.gaussian_filter(rng.standard_normal((60, 40, 40)), (sigma, 0.7, 0.7))[20:40]
        stack = AnnotatedStack(image, labels, tuple(range(20)), (0.5, 0.2, 0.2), "made")
        noise, measured = fit_axial_noise(
            [stack], nuclei.bundle.textures, modality="fluorescence", distance=ellipses(2), steps=3
        )
        assert measured is not None
        lengths.append(noise.length or 0)
    assert lengths == pytest.approx([0.5 * np.sqrt(2), 1.5 * np.sqrt(2)], rel=0.3)
