from __future__ import annotations

import numpy as np
import pytest

from cytocascade.export.shape_interpolation import between_rows, cell_distances, plane_across

SPACING = (3.0, 1.0, 1.0)


def ellipsoid(shape, centre, radii):
    grid = np.indices(shape)
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii)) <= 1


def isotropic_heights(depth):
    return np.clip((np.arange(3 * depth) + 0.5) / 3 - 0.5, 0, depth - 1)


@pytest.mark.parametrize("axis", [1, 2])
def test_at_the_slices_themselves_labels_are_the_given_ones(axis):
    rng = np.random.default_rng(0)
    labels = (rng.integers(0, 4, (4, 5, 6)) * (rng.random((4, 5, 6)) < 0.8)).repeat(3, 1).repeat(3, 2)
    cells = cell_distances(labels.astype(np.uint16), SPACING)
    for position in range(labels.shape[axis]):
        plane = plane_across(cells, axis, position, np.arange(4.0), labels.shape[3 - axis])
        np.testing.assert_array_equal(plane, labels.take(position, axis=axis))


@pytest.mark.parametrize(("axis", "middle"), [(1, 14), (2, 18)])
def test_a_sphere_stays_a_circle_seen_from_the_side(axis, middle):
    labels = ellipsoid((11, 29, 37), (5, 14, 18), (11 / 3, 11, 11)).astype(np.uint16)
    plane = plane_across(cell_distances(labels, SPACING), axis, middle, isotropic_heights(11), labels.shape[3 - axis])
    circle = ellipsoid(plane.shape, (16, labels.shape[3 - axis] // 2), (11, 11))
    stairs = labels.take(middle, axis=axis).repeat(3, 0) > 0
    smooth, rough = (np.mean(mask != circle) for mask in (plane > 0, stairs))
    assert smooth < 0.5 * rough
    assert np.logical_and(plane > 0, circle).sum() / np.logical_or(plane > 0, circle).sum() > 0.96


def test_touching_cells_divide_every_row_between_them_without_a_gap():
    labels = np.zeros((5, 6, 20), np.uint16)
    for z in range(5):  # the border between the two moves with z
        labels[z, :, : 4 + 3 * z] = 1
        labels[z, :, 4 + 3 * z :] = 2
    plane = plane_across(cell_distances(labels, SPACING), 1, 3, isotropic_heights(5), 20)
    borders = (plane == 1).sum(1)
    assert set(np.unique(plane)) <= {1, 2} or (plane == 0).mean() < 0.02
    assert (np.diff(borders) >= 0).all()
    assert np.abs(np.diff(borders)).max() <= 2


def test_a_cell_cut_by_the_frame_reaches_it():
    labels = np.zeros((3, 8, 8), np.uint16)
    labels[:, 2:6, 2:6] = 5
    plane = plane_across(cell_distances(labels, SPACING), 1, 4, isotropic_heights(3), 8)
    assert (plane[:, 3] == 5).all()
    labels[:] = 7
    assert (plane_across(cell_distances(labels, SPACING), 2, 0, isotropic_heights(3), 8) == 7).all()


def test_rows_are_interpolated_linearly():
    plane = np.array([[0, 10], [4, 30]], np.uint16)
    np.testing.assert_allclose(
        between_rows(plane, np.array([0.0, 0.25, 0.5, 1.0])), [[0, 10], [1, 15], [2, 20], [4, 30]]
    )
