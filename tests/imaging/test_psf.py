from __future__ import annotations

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.axis import discrete_gaussian, overlap_weights
from cytocascade.imaging.psf import ConePsf, GaussianPsf, axial_kernel, gaussian_psf, separable_parts
from cytocascade.types import Array


def _debye_curvature(na: float, wave: float, index: float) -> tuple[float, float]:
    """Return axial and lateral widths of the numerically integrated scalar PSF, from its curvature at the peak."""
    angle = np.linspace(0, np.arcsin(na / index), 4001)
    weight = np.sqrt(np.cos(angle)) * np.sin(angle)
    k = 2 * np.pi * index / wave
    step = 1e-3 * wave
    centre = np.trapezoid(weight, angle)
    along = np.trapezoid(weight * np.exp(1j * k * step * np.cos(angle)), angle)
    across = np.trapezoid(weight * (1 - (k * step * np.sin(angle)) ** 2 / 4), angle)
    widths = [step / np.sqrt(2 * (1 - abs(value / centre) ** 2)) for value in (along, across)]
    return widths[0], widths[1]


@pytest.mark.parametrize(("na", "index"), [(1.4, 1.515), (0.8, 1.0), (1.2, 1.33)])
def test_widefield_gaussian_has_the_curvature_of_the_debye_integral(na: float, index: float) -> None:
    psf = gaussian_psf(na, 0.52, refractive_index=index)
    axial, lateral = _debye_curvature(na, 0.52, index)
    assert psf.axial == pytest.approx(axial, rel=2e-3)
    assert psf.lateral == pytest.approx(lateral, rel=2e-3)


def test_low_apertures_agree_with_the_paraxial_formulas() -> None:
    psf = gaussian_psf(0.1, 0.5, refractive_index=1.0)
    k = 2 * np.pi / 0.5
    assert psf.lateral == pytest.approx(np.sqrt(2) / (k * 0.1), rel=0.01)
    assert psf.axial == pytest.approx(2 * np.sqrt(6) / (k * 0.01), rel=0.01)


def test_confocal_excitation_makes_the_psf_smaller_by_the_product_of_two() -> None:
    wide, confocal = gaussian_psf(1.4, 0.5), gaussian_psf(1.4, 0.5, excitation=0.5)
    assert confocal.axial == pytest.approx(wide.axial / np.sqrt(2))
    assert confocal.lateral == pytest.approx(wide.lateral / np.sqrt(2))
    assert confocal.without_lateral() == GaussianPsf(axial=confocal.axial)


def test_impossible_optics_are_refused() -> None:
    with pytest.raises(CytoCascadeError, match="numerical aperture"):
        gaussian_psf(1.4, 0.5, refractive_index=1.33)
    with pytest.raises(CytoCascadeError, match="not light"):
        gaussian_psf(0.8, 520)


def _variance(kernel: Array) -> float:
    places = np.arange(len(kernel)) - len(kernel) // 2
    return float((kernel * places**2).sum())


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0, 4.0])
def test_discrete_gaussian_has_its_variance_however_narrow(sigma: float) -> None:
    kernel = discrete_gaussian(sigma)
    assert kernel.sum() == pytest.approx(1)
    assert _variance(kernel) == pytest.approx(sigma**2, rel=0.01)
    assert len(discrete_gaussian(0.0)) == 1


def test_parts_of_a_cone_sum_to_its_axial_kernel_and_spread_with_distance() -> None:
    psf = ConePsf(axial=0.7, halo=0.3, halo_axial=2.5, spread=0.5)
    spacing = (0.5, 0.25, 0.25)
    parts = separable_parts(psf, spacing)
    kernel = axial_kernel(psf, spacing)
    assert kernel.sum() == pytest.approx(1)
    plain = axial_kernel(psf.model_copy(update={"spread": 0.0}), spacing)
    assert np.allclose(kernel, plain)
    focus = len(kernel) // 2
    assert parts[0][1] == 0.0
    assert parts[0][0][focus] == pytest.approx(kernel[focus])
    for distance in (2, 6):
        variance = sum(part[focus + distance] * width**2 for part, width in parts) / kernel[focus + distance]
        assert np.sqrt(variance) == pytest.approx(0.5 * distance * 0.5, rel=1e-6)


def test_overlap_interpolates_or_averages() -> None:
    ramp = np.arange(12.0)
    same = overlap_weights(12, 1.0, 12, 1.0, width=1.0) @ ramp
    assert np.allclose(same, ramp)
    halved = overlap_weights(12, 0.5, 4, 1.5, width=1.5) @ ramp
    assert np.allclose(halved, [1, 4, 7, 10])
    between = overlap_weights(12, 0.5, 6, 1.0, width=0.5) @ ramp
    assert np.allclose(between, [0.5, 2.5, 4.5, 6.5, 8.5, 10.5])
    fractional = overlap_weights(12, 0.5, 8, 0.7, width=0.5)
    assert np.allclose(fractional.sum(axis=1), 1)
    assert np.allclose(np.diff(fractional @ ramp)[1:-1], 1.4)
