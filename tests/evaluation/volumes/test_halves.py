from __future__ import annotations

import numpy as np

from cytocascade.evaluation.splits import Split
from cytocascade.evaluation.volumes.halves import cell_halves


def test_cells_are_split_by_volume_where_both_halves_have_enough() -> None:
    owners = np.repeat([0, 1, 2, 3], 5)
    (first, second), *_ = cell_halves(owners, [Split((0, 1), (2, 3)), Split((0, 2), (1, 3))], 0)
    assert set(owners[first]) == {0, 1}
    assert np.array_equal(second, ~first)


def test_splits_that_leave_a_half_almost_empty_are_dropped() -> None:
    owners = np.array([0] * 20 + [1] * 20 + [2])
    halves = cell_halves(owners, [Split((0, 1), (2,)), Split((0,), (1, 2))], 0)
    assert len(halves) == 1
    assert halves[0][0].sum() == 20


def test_cells_of_one_volume_are_split_themselves() -> None:
    halves = cell_halves(np.zeros(11, int), [Split((0,), (1,)), Split((1,), (0,))], 0)
    assert [int(first.sum()) for first, _ in halves] == [5, 5]
    assert all((first ^ second).all() for first, second in halves)
    assert not np.array_equal(halves[0][0], halves[1][0])
