"""Images that are brighter than the fitted ones do not saturate."""

import numpy as np
import pytest
from tests.imaging._fields import field

from cytocascade.imaging.exposure import MOST_SATURATED, dimmed
from cytocascade.imaging.statistics import fit_imaging, with_gains

LEVEL, HIGH, USUAL = 100.0, 1100.0, 300.0


@pytest.fixture(scope="module")
def statistics():
    fitted = with_gains(fit_imaging([field(0)]), [USUAL])
    return fitted.model_copy(update={"output": fitted.output.model_copy(update={"high": HIGH})})


def background(gain):
    return {"gain": gain, "level": LEVEL, "field_seed": 3}


def cells(brightest):
    return np.linspace(LEVEL, brightest, 5001)


def test_cells_that_the_camera_can_hold_stay(statistics):
    assert dimmed(cells(HIGH), background(2 * USUAL), statistics) is None


def test_cells_that_saturate_are_dimmed_until_few_do(statistics):
    seen = cells(HIGH + 800)
    less = dimmed(seen, background(2 * USUAL), statistics)
    factor = less["gain"] / (2 * USUAL)
    assert np.mean(LEVEL + factor * (seen - LEVEL) > HIGH) == pytest.approx(MOST_SATURATED, abs=0.002)
    assert less == {**background(2 * USUAL), "gain": less["gain"]}


def test_no_image_becomes_darker_than_the_usual_one(statistics):
    assert dimmed(cells(10 * HIGH), background(1.25 * USUAL), statistics)["gain"] == USUAL
    assert dimmed(cells(10 * HIGH), background(USUAL), statistics) is None


def test_without_a_largest_value_or_without_cells_nothing_is_dimmed(statistics):
    boundless = statistics.model_copy(update={"output": statistics.output.model_copy(update={"high": None})})
    assert dimmed(cells(10 * HIGH), background(2 * USUAL), boundless) is None
    assert dimmed(cells(10 * HIGH)[:0], background(2 * USUAL), statistics) is None
