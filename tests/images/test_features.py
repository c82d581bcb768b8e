from __future__ import annotations

import numpy as np
import pytest

from cytocascade.images.features import FEATURE_NAMES, measure_cells, nearest_neighbour_distances
from cytocascade.types import Array


@pytest.fixture
def scene() -> tuple[Array, Array, Array]:
    """Return image, labels and background of two squares, one at the frame, on a slope."""
    background = np.tile(np.linspace(100, 140, 80), (60, 1)).astype(np.float32)
    labels = np.zeros((60, 80), dtype=np.uint16)
    labels[20:30, 20:40] = 3
    labels[20:30, 70:80] = 7
    image = background + 50.0 * (labels == 3) + 20.0 * (labels == 7)
    image[20:30, 20:30] += 10
    image[20:30, 30:40] -= 10
    return image, labels, background


def test_measurements_are_those_of_the_drawing(scene: tuple[Array, Array, Array]) -> None:
    table = measure_cells(scene[0], scene[1], (0.5, 0.25), scene[2], 2.0)
    assert len(table) == 2
    assert table.label.tolist() == [3, 7]
    assert table.centroid.tolist() == [[24.5, 29.5], [24.5, 74.5]]
    assert table.touches_border.tolist() == [False, True]
    assert set(table.values) == set(FEATURE_NAMES)
    assert table.values["area"].tolist() == [200 * 0.125, 100 * 0.125]
    assert table.values["solidity"].tolist() == [1, 1]
    assert table.values["signal"] == pytest.approx([50, 20], rel=1e-4)
    assert table.values["mean_intensity"][0] == pytest.approx(scene[2][20:30, 20:40].mean() + 50, rel=1e-5)
    assert table.values["intensity_cv"] == pytest.approx([0.2, 0.0], abs=1e-5)
    assert table.values["contrast"] == pytest.approx([25, 10], rel=1e-4)
    assert table.values["nearest_neighbour_distance"] == pytest.approx([45 * 0.25] * 2)


def test_eccentricity_of_an_ellipse_is_that_of_its_axes() -> None:
    y, x = np.mgrid[:80, :80] - 39.5
    labels = ((y / 15) ** 2 + (x / 30) ** 2 <= 1).astype(np.uint16)
    table = measure_cells(labels * 9.0, labels, (1.0, 1.0), np.zeros((80, 80), np.float32), 1.0)
    assert table.values["eccentricity"][0] == pytest.approx(np.sqrt(0.75), abs=0.01)


def test_lone_cell_has_no_neighbour(scene: tuple[Array, Array, Array]) -> None:
    labels = np.where(scene[1] == 7, 0, scene[1])
    table = measure_cells(scene[0], labels, (1.0, 1.0), scene[2], 2.0)
    assert np.isnan(table.values["nearest_neighbour_distance"]).all()


def test_image_without_cells_has_an_empty_table(scene: tuple[Array, Array, Array]) -> None:
    table = measure_cells(scene[0], np.zeros_like(scene[1]), (1.0, 1.0), scene[2], 2.0)
    assert len(table) == 0
    assert all(len(values) == 0 for values in table.values.values())


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_cells_at_every_side_touch_the_border(side: str) -> None:
    labels = np.zeros((20, 30), dtype=np.uint16)
    where = {
        "top": np.s_[:3, 9:12],
        "bottom": np.s_[17:, 9:12],
        "left": np.s_[9:12, :3],
        "right": np.s_[9:12, 27:],
    }[side]
    labels[where] = 1
    labels[8:11, 14:17] = 2
    table = measure_cells(labels * 1.0, labels, (1.0, 1.0), np.zeros((20, 30), np.float32), 1.0)
    assert table.touches_border.tolist() == [True, False]


def test_nearest_neighbours_of_a_line_of_points() -> None:
    points = np.asarray([[0.0, 0.0], [0.0, 1.0], [0.0, 4.0]])
    assert nearest_neighbour_distances(points).tolist() == [1, 1, 3]
