from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cytocascade.bundle import Bundle
from cytocascade.generation_options import GenerationOptions
from cytocascade.textures.axial_statistics import measure_axial_correlation, measure_stacks
from cytocascade.types import AnnotatedStack
from cytocascade.volumes import calibration
from cytocascade.volumes.calibration import calibrate_grain, with_grain_noise
from cytocascade.volumes.generation import draw_volume_sample, expose, prepare_volume

SEED, CELLS = 4, 2


@pytest.fixture(autouse=True)
def small_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "TRIAL_CELLS", CELLS)


@pytest.fixture(scope="module")
def grainy(tiny_volumes: Bundle) -> Bundle:
    """A bundle whose cells have a strong grain from pixel to pixel, and whose optics blur over several planes."""
    grain = np.zeros((13, 13))
    grain[6, 6] = 0.03
    update = {"grain": grain.tolist(), "shape": (28, 112, 112), "spacing": (1.0, 1.0, 1.0)}
    return replace(tiny_volumes, config=tiny_volumes.config.model_copy(update=update))


Generate = Callable[[float], AnnotatedStack]


@pytest.fixture(scope="module")
def real(grainy: Bundle) -> Generate:
    """Make an annotated stack of the trial's cells whose grain is different in every slice by a known share."""
    params = draw_volume_sample(grainy, GenerationOptions(cells=CELLS, shape_prior="ellipsoid"), SEED, 0)
    prepared = prepare_volume(grainy, params)

    def make(noise: float) -> AnnotatedStack:
        image = expose(with_grain_noise(grainy, noise), params, prepared)
        planes = tuple(range(len(image)))
        return AnnotatedStack(image, prepared.labels, planes, (1.0, 1.0, 1.0), "known", spacing_known=True)

    return make


def grain_noise(bundle: Bundle) -> float:
    assert bundle.volume is not None
    return bundle.volume.grain_noise


def test_the_more_noise_the_less_is_shared_by_neighbouring_slices(real: Generate) -> None:
    shares = [measure_stacks([real(noise)]).texture_share for noise in (0.0, 0.5, 1.0)]
    assert shares[0] > shares[1] + 0.05 > shares[2] + 0.1


@pytest.mark.parametrize("noise", [0.2, 0.7])
def test_a_known_share_of_noise_is_found_again_and_nothing_else_changes(
    grainy: Bundle, real: Generate, noise: float
) -> None:
    before = grainy.volume.model_copy()
    found = calibrate_grain(grainy, [real(noise)], seed=SEED)
    assert grain_noise(found) == pytest.approx(noise, abs=0.06)
    assert found.volume.model_copy(update={"grain_noise": 0.0}) == before == grainy.volume
    assert found.config == grainy.config


def test_without_stacks_or_grain_the_bundle_stays_as_it_is(
    grainy: Bundle, tiny_volumes: Bundle, real: Generate
) -> None:
    assert calibrate_grain(grainy, [], seed=SEED) is grainy
    smooth = replace(tiny_volumes, config=tiny_volumes.config.model_copy(update={"grain": []}))
    assert calibrate_grain(smooth, [real(0.5)], seed=SEED) is smooth


def test_stacks_that_tell_nothing_leave_the_bundle_as_it_is(grainy: Bundle, real: Generate) -> None:
    known = real(0.5)
    blank = replace(known, labels=np.zeros_like(known.labels))
    assert measure_axial_correlation(blank.image, blank.labels, blank.spacing) is None
    assert calibrate_grain(grainy, [blank], seed=SEED) is grainy
