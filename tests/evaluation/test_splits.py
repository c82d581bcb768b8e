from __future__ import annotations

import pytest

from cytocascade.evaluation.splits import real_splits, with_floor


def test_the_first_split_keeps_the_order_and_the_others_are_new() -> None:
    splits = real_splits(9, seed=4)
    assert splits[0].first == (0, 1, 2, 3)
    assert splits[0].second == (4, 5, 6, 7, 8)
    assert len({frozenset(split.first) for split in splits}) == len(splits) == 4
    for split in splits:
        assert sorted(split.first + split.second) == list(range(9))


def test_two_images_can_be_split_in_one_way_only() -> None:
    assert len(real_splits(2, seed=0)) == 1


def test_the_floor_is_the_mean_over_all_splits() -> None:
    figure = with_floor(3.0, [1.0, 2.0, 6.0])
    assert figure.floor == pytest.approx(3.0)
    assert (figure.floor_contiguous, figure.floor_random) == (1.0, [2.0, 6.0])
