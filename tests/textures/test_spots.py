"""Dark spots are drawn into as many cells as wished, and nowhere else."""

import numpy as np
import pytest

from cytocascade.images.cells import signed_distance
from cytocascade.images.spots import basin_depth
from cytocascade.textures.spots import (
    DEEPEST,
    LARGEST,
    SHALLOWEST,
    SMALLEST,
    USUAL_SHARE,
    draw_spots,
    lacking,
    share_of,
    with_spots,
)

RADIUS = 14.0


def discs(count: int, radius: float = RADIUS) -> np.ndarray:
    axis = np.arange(64) - 31.5
    mask = np.hypot(axis[:, None], axis) < radius
    return np.repeat(signed_distance(mask, (1.0, 1.0))[None], count, axis=0)


def drawn(count: int, share: float, seed: int = 0) -> list[list[float]]:
    return draw_spots(count, share, np.random.default_rng(seed))


def test_as_many_cells_as_wished_have_spots_of_the_measured_kind():
    spots = np.array(drawn(4000, 0.1))
    cells, number = np.unique(spots[:, 0], return_counts=True)
    assert len(cells) / 4000 == pytest.approx(0.1, abs=0.015)
    assert set(number) == {1, 2}
    assert ((spots[:, 2] >= SMALLEST) & (spots[:, 2] <= LARGEST)).all()
    assert ((spots[:, 3] >= SHALLOWEST) & (spots[:, 3] <= DEEPEST)).all()
    assert drawn(50, 0.0) == []


def test_a_larger_share_leaves_the_spots_that_were_there():
    few, many = drawn(200, 0.05), drawn(200, 0.3)
    assert 0 < len(few) < len(many)
    assert all(spot in many for spot in few)


def test_most_drawn_spots_are_seen_as_such():
    distance = discs(100)
    spots = drawn(100, 1.0)
    light = with_spots(np.ones_like(distance), distance, spots)
    depth = [basin_depth(cell, outline > 0) for cell, outline in zip(light, distance)]
    assert np.mean(np.array(depth) > 0.3) > 0.9
    # Nothing shines more for it, and nothing is taken from what lies outside.
    assert ((light >= 0.0) & (light <= 1.0)).all()
    assert np.array_equal(light[distance < -0.5], np.ones_like(light)[distance < -0.5])


@pytest.mark.parametrize("size", [0.15, 0.25])
def test_spots_are_as_wide_as_wished_whatever_the_size_of_the_cell(size):
    for radius in (12.0, 22.0):
        distance = discs(1, radius)
        dark = 1 - with_spots(np.ones_like(distance), distance, [[0, 0.5, size, 0.8, 1.0, 0.0]])[0]
        assert dark.max() == pytest.approx(0.8, abs=0.01)
        across = np.sqrt(4 / np.pi * (dark > 0.4).sum())
        assert across == pytest.approx(size * 2 * radius, abs=0.6)


def test_spots_are_anywhere_but_at_the_outline_and_as_long_as_wished():
    distance = discs(1)
    ends = []
    for place in (0.0, 0.5, 1.0):
        dark = 1 - with_spots(np.ones_like(distance), distance, [[0, place, 0.25, 0.8, 0.5, 0.0]])[0]
        middle = np.unravel_index(dark.argmax(), dark.shape)
        assert distance[0][middle] > 0.1 * 2 * RADIUS
        ends.append(middle[0])
    # Places are counted row by row.
    assert ends[0] < ends[1] < ends[2]
    rows, columns = np.nonzero(
        1 - with_spots(np.ones_like(distance), distance, [[0, 0.5, 0.25, 0.8, 0.5, 0.0]])[0] > 0.4
    )
    assert np.ptp(rows) > 1.5 * np.ptp(columns)


def test_cells_without_spots_and_the_given_light_stay():
    distance, light = discs(3), np.full((3, 64, 64), 0.7, dtype=np.float32)
    spotted = with_spots(light, distance, [[1, 0.2, 0.2, 0.9, 0.8, 1.0]])
    assert (spotted != light).any(axis=(1, 2)).tolist() == [False, True, False]
    assert (light == np.float32(0.7)).all()
    assert with_spots(light, distance, []) is light
    # A cell that is nowhere deep enough has no room for one.
    nothing = np.full_like(distance, -1.0)
    assert np.array_equal(with_spots(light, nothing, [[0, 0.2, 0.2, 0.9, 0.8, 1.0]]), light)


def test_few_cells_tell_little_of_the_share():
    assert share_of(0, 0) == USUAL_SHARE
    assert USUAL_SHARE / 2 < share_of(0, 16) < USUAL_SHARE < share_of(1, 16) < 0.05
    assert share_of(300, 1000) == pytest.approx(0.3, abs=0.01)


def test_only_what_textures_lack_is_drawn():
    assert lacking(0.3, 0.0) == pytest.approx(0.3)
    # Of the 80 % without a spot an eighth gets one.
    assert lacking(0.3, 0.2) == pytest.approx(0.125)
    assert lacking(0.1, 0.2) == lacking(0.1, 1.0) == 0.0
