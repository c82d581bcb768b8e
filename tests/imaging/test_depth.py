from __future__ import annotations

import numpy as np
import pytest

from cytocascade.imaging.depth import Attenuation, attenuation_factors, fit_attenuation


def test_light_falls_exponentially_from_its_surface() -> None:
    light = [1.0] * 10
    first = attenuation_factors(Attenuation(coefficient=0.1, reference=0.0), 10, 2.0, light)
    assert first == pytest.approx(np.exp(-0.1 * (np.arange(10) + 0.5) * 2), rel=1e-5)
    last = attenuation_factors(Attenuation(coefficient=0.1, surface="last", reference=0.0), 10, 2.0, light)
    assert last == pytest.approx(first[::-1], rel=1e-5)


def test_without_reference_the_mean_depth_of_the_light_keeps_its_brightness() -> None:
    light = np.zeros(11)
    light[[2, 4]] = 1
    factors = attenuation_factors(Attenuation(coefficient=0.2), 11, 1.0, light.tolist())
    assert factors[3] == pytest.approx(1)
    assert factors[2] > 1 > factors[4]
    assert attenuation_factors(Attenuation(coefficient=0.2), 3, 1.0, [0, 0, 0])[1] == pytest.approx(1)


@pytest.mark.parametrize(("sign", "surface"), [(-1, "first"), (1, "last")])
def test_attenuation_is_recovered_from_cells_of_several_stacks(sign: int, surface: str) -> None:
    generator = np.random.default_rng(0)
    groups = []
    for exposure in (100, 5000, 40):
        z = generator.uniform(0, 40, 12)
        groups.append((z, exposure * np.exp(sign * 0.03 * z + 0.15 * generator.standard_normal(12))))
    groups[0][1][3] *= 6
    fitted = fit_attenuation(groups)
    assert fitted.surface == surface
    assert fitted.coefficient == pytest.approx(0.03, rel=0.2)


def test_chance_and_exposure_are_no_attenuation() -> None:
    generator = np.random.default_rng(1)
    z = generator.uniform(0, 10, 20)
    assert fit_attenuation([(z, np.exp(0.3 * generator.standard_normal(20)))]).coefficient == 0
    apart = [(np.full(5, 1.0), np.full(5, 900.0)), (np.full(5, 9.0), np.full(5, 100.0))]
    assert fit_attenuation(apart).coefficient == 0
    assert fit_attenuation([]).coefficient == 0
