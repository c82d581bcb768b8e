from __future__ import annotations

import numpy as np
import pytest

from cytocascade.population.gaps import (
    cell_outlines,
    gap_matrix,
    group_sizes,
    sequential_gaps,
    touching_distance,
)


def blocks(*corners: tuple[int, int], size: int = 4, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    labels = np.zeros(shape, dtype=np.uint16)
    for label, (y, x) in enumerate(corners, start=1):
        labels[y : y + size, x : x + size] = label
    return labels


@pytest.mark.parametrize("corner", [(10, 14), (14, 14), (6, 6), (14, 10)])
def test_cells_beside_or_diagonal_to_each_other_touch(corner: tuple[int, int]) -> None:
    outlines = cell_outlines(blocks((10, 10), corner), (0.5, 0.5))
    assert gap_matrix(outlines, (0.5, 0.5))[0, 1] == 0


def test_gap_is_the_distance_of_the_nearest_pixels_less_a_diagonal() -> None:
    spacing = (2.0, 2.0)
    gaps = gap_matrix(cell_outlines(blocks((10, 10), (10, 20)), spacing), spacing)
    assert gaps[0, 1] == gaps[1, 0] == pytest.approx(2 * 7 - touching_distance(spacing))
    assert np.isinf(np.diag(gaps)).all()


def test_near_gaps_are_exact_among_many_cells() -> None:
    rng = np.random.default_rng(0)
    labels = blocks(*[(int(y), int(x)) for y, x in rng.integers(0, 296, (60, 2))], shape=(300, 300))
    outlines = cell_outlines(labels, (1.0, 1.0))
    gaps = gap_matrix(outlines, (1.0, 1.0))
    for i in range(0, len(outlines), 7):
        for j in range(len(outlines)):
            pixels = [np.argwhere(labels == np.unique(labels)[1:][k]) for k in (i, j)]
            exact = np.linalg.norm(pixels[0][:, None] - pixels[1][None], axis=2).min()
            if i != j and exact < 5:
                assert gaps[i, j] == pytest.approx(max(0.0, exact - touching_distance((1.0, 1.0))))


def test_cells_at_the_frame_count_as_cut() -> None:
    outlines = cell_outlines(blocks((0, 10), (10, 10), (36, 30)), (1.0, 1.0))
    assert outlines.cut.tolist() == [True, False, True]


def test_a_coarse_z_step_does_not_make_neighbours_in_a_plane_touch() -> None:
    assert touching_distance((5.0, 0.5, 0.5)) == pytest.approx(0.5 * np.sqrt(2))


def test_sequential_gap_looks_only_at_cells_visited_before() -> None:
    gaps = np.array([[np.inf, 1.0, 5.0], [1.0, np.inf, 3.0], [5.0, 3.0, np.inf]])
    assert sequential_gaps(gaps, np.array([0, 2, 1])).tolist() == [np.inf, 5.0, 1.0]


def test_groups_are_connected_cells() -> None:
    linked = np.zeros((6, 6), dtype=bool)
    for i, j in ((0, 1), (1, 2), (4, 5)):
        linked[i, j] = linked[j, i] = True
    assert group_sizes(linked) == [2, 3]
