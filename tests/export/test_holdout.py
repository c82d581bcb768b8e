from __future__ import annotations

import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.export.holdout import HoldOut


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 0), (0.1, 10), (0.25, 25), (0.3, 30), (0.7, 70)])
def test_the_test_fraction_is_met_exactly_and_by_index_alone(fraction, expected):
    held_out = HoldOut(fraction)
    chosen = [held_out.is_test(index) for index in range(100)]
    assert sum(chosen) == expected
    assert chosen[::-1] == [held_out.is_test(index) for index in reversed(range(100))]
    assert [held_out.part(index) == "test" for index in range(100)] == chosen
    assert bool(held_out) == (expected > 0)


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(CytoCascadeError, match="test fraction"):
        HoldOut(fraction)
