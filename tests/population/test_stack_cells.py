from __future__ import annotations

import numpy as np
import pytest
from tests.population.solids import ball_labels, ellipsoid, layer_labels, paint, stack

from cytocascade.population.stack_cells import measure_stack


def test_whole_labels_tell_heights_and_footprints() -> None:
    cells = measure_stack(stack(layer_labels()))
    assert cells is not None
    assert len(cells) == 9
    assert sorted(set(cells.bottom)) == [4.0, 5.0]
    np.testing.assert_allclose(cells.top - cells.bottom, 7.0)
    assert cells.crowding == 1.0
    assert not cells.cut_z.any()
    np.testing.assert_array_equal(cells.footprints > 0, layer_labels().any(axis=0))


def test_a_few_slices_with_labels_that_disagree_tell_the_same_cells() -> None:
    whole, few = measure_stack(stack(layer_labels())), measure_stack(stack(layer_labels(), (6, 8)))
    assert whole is not None
    assert few is not None
    assert len(few) == len(whole)
    np.testing.assert_allclose(np.sort(few.bottom), np.sort(whole.bottom), atol=1.01)
    # The outermost planes hold but a tip of the ellipsoids, which are 6 micrometres tall.
    np.testing.assert_allclose(np.median(few.top - few.bottom), 6.0, atol=1.0)


def test_cells_that_lie_over_each_other_are_told_apart_by_the_light_between() -> None:
    labels = paint((30, 24, 24), [(3, 4, 4), (13, 5, 4)], ellipsoid(8, 8, 8))
    cells = measure_stack(stack(labels, (7, 17)))
    assert cells is not None
    assert len(cells) == 2
    assert cells.crowding > 1.8
    assert np.sort(cells.bottom) == pytest.approx([3, 13], abs=1.5)


def test_a_section_that_meets_nothing_in_the_next_slice_ends_before_it() -> None:
    labels = paint((30, 24, 24), [(3, 4, 4)], ellipsoid(8, 8, 8))
    lit = stack(labels, (7, 14))
    lit.image[:] = 200
    lit.image[:, :3, :] = 10
    cells = measure_stack(lit)
    assert cells is not None
    assert cells.top[0] <= 14.5


def test_the_chance_to_be_seen_is_height_over_slab_for_one_slice() -> None:
    cells = measure_stack(stack(ball_labels(), (11,)))
    assert cells is not None
    assert cells.seen == 1.0
    labels = paint((40, 60, 60), [(2, 2, 2), (12, 2, 30), (22, 30, 2), (30, 30, 30)], ellipsoid(8, 8, 8))
    few = measure_stack(stack(labels, (6, 16)))
    assert few is not None
    assert len(few) == 2
    assert 0.3 < few.seen <= 1.0


def test_a_stack_without_cells_is_none() -> None:
    assert measure_stack(stack(np.zeros((5, 8, 8), dtype=np.uint16))) is None
