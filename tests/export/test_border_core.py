from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.export.border_core import CLASSES, to_classes, to_instances

CROWD = {2: ((60, 70), (0.5, 0.5)), 3: ((9, 60, 70), (2.0, 0.5, 0.5))}


def crowd(dim, count=12):
    """Return cells that fill the frame: the regions nearest to random points, with some background."""
    shape, spacing = CROWD[dim]
    rng = np.random.default_rng(1)
    points = np.stack([rng.uniform(0, size, count) for size in shape], 1) * spacing
    grid = np.stack([axis * step for axis, step in zip(np.indices(shape), spacing)], -1)
    distance = np.linalg.norm(grid[..., None, :] - points, axis=-1)
    labels = np.where(distance.min(-1) < 9, distance.argmin(-1) + 1, 0)
    return labels.astype(np.uint16), spacing


@pytest.mark.parametrize("dim", [2, 3])
def test_every_cell_has_one_interior_and_interiors_never_touch(dim):
    labels, spacing = crowd(dim)
    classes = to_classes(labels, spacing)
    np.testing.assert_array_equal(classes > 0, labels > 0)
    cores, count = ndi.label(classes == CLASSES["interior"], structure=np.ones((3,) * dim))
    assert count == len(np.unique(labels)) - 1
    assert [len(np.unique(labels[cores == core])) for core in range(1, count + 1)] == [1] * count
    assert ndi.label(classes == CLASSES["interior"])[1] == count


@pytest.mark.parametrize(("dim", "least"), [(2, 0.93), (3, 0.85)])
def test_cells_come_back_from_their_classes(dim, least):
    labels, spacing = crowd(dim)
    found = to_instances(to_classes(labels, spacing), spacing)
    np.testing.assert_array_equal(found > 0, labels > 0)
    for label in np.unique(labels[labels > 0]):
        mask = labels == label
        other = found == np.bincount(found[mask]).argmax()
        assert (mask & other).sum() / (mask | other).sum() > least


@pytest.mark.parametrize("step", [0.5, 0.216, 0.1, 0.3, 0.7])
def test_borders_are_as_thick_as_stated(step):
    labels = np.zeros((20, 20), np.uint16)
    labels[4:16, 4:16] = 1
    classes = to_classes(labels, (step, step))
    assert classes[10].tolist() == [0] * 4 + [2] * 2 + [1] * 8 + [2] * 2 + [0] * 4


def test_cells_stacked_along_a_coarse_z_are_kept_apart():
    labels = np.zeros((6, 20, 20), np.uint16)
    labels[:3, 4:16, 4:16], labels[3:, 4:16, 4:16] = 1, 2
    classes = to_classes(labels, (10.0, 0.5, 0.5))
    assert [int(plane[10, 10]) for plane in classes] == [1, 1, 2, 2, 1, 1]


def test_thin_cells_keep_an_interior_and_those_with_a_waist_one():
    labels = np.zeros((24, 40), np.uint16)
    labels[2, 2:30] = 1
    labels[6:16, 4:14] = labels[6:16, 20:34] = labels[10, 14:20] = 2
    labels[20, 5] = 3
    classes = to_classes(labels, (1.0, 1.0))
    cores, _ = ndi.label(classes == CLASSES["interior"])
    for label in (1, 2, 3):
        assert len(np.unique(cores[(labels == label) & (cores > 0)])) == 1, label
    assert classes[10, 27] == CLASSES["interior"]
    assert classes[10, 9] == CLASSES["border"]


def test_a_cell_that_fills_the_frame_is_interior():
    assert (to_classes(np.full((4, 5, 6), 3, np.uint16), (1.0, 1.0, 1.0)) == CLASSES["interior"]).all()


def test_a_prediction_without_interiors_has_no_cells():
    classes = np.zeros((6, 6), np.uint8)
    classes[2, 2] = CLASSES["border"]
    assert to_instances(classes, (1.0, 1.0)).max() == 0
