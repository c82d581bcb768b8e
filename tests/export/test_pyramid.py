from __future__ import annotations

import numpy as np
import pytest

from cytocascade.export.pyramid import level_factors, pyramid, shrink_by_mean, shrink_by_nearest


def test_lateral_axes_shrink_alone_until_voxels_are_about_cubes():
    assert level_factors((60, 1000, 1000), (1.0, 0.25, 0.25)) == [
        (1, 1, 1),
        (1, 2, 2),
        (1, 4, 4),
        (2, 8, 8),
        (4, 16, 16),
    ]
    assert level_factors((60, 140, 140), (0.6, 0.216, 0.216)) == [(1, 1, 1), (1, 2, 2), (2, 4, 4)]
    assert level_factors((200, 130, 130), (0.1, 0.2, 0.2)) == [(1, 1, 1), (2, 1, 1), (4, 2, 2), (8, 4, 4)]


def test_small_arrays_have_one_level_and_axes_of_one_voxel_stay():
    assert level_factors((64, 64), (0.5, 0.5)) == [(1, 1)]
    assert level_factors((1, 65, 10), (0.5, 0.5, 0.5)) == [(1, 1, 1), (1, 2, 2)]
    assert level_factors((1, 1, 300), (0.1, 0.1, 5.0))[-1] == (1, 1, 8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_means_keep_the_type_and_cover_odd_sizes(dtype):
    array = np.array([[1, 3, 250], [5, 8, 252]], dtype)
    found = shrink_by_mean(array, (2, 2))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [[4, 251]] if dtype != np.float32 else [[4.25, 251]])


def test_labels_are_never_mixed():
    labels = np.random.default_rng(0).choice(np.array([0, 7, 70_000], np.uint32), (9, 33, 31))
    found = shrink_by_nearest(labels, (1, 2, 2))
    assert (found.shape, found.dtype) == ((9, 17, 16), np.uint32)
    assert set(np.unique(found)) <= {0, 7, 70_000}
    np.testing.assert_array_equal(found, labels[:, ::2, ::2])


def test_levels_follow_from_each_other():
    levels = level_factors((5, 150, 90), (1.0, 0.5, 0.5))
    arrays = pyramid(np.ones((5, 150, 90), np.uint16), levels, shrink_by_mean)
    assert [array.shape for array in arrays] == [(5, 150, 90), (5, 75, 45), (3, 38, 23)]
    assert all((array == 1).all() for array in arrays)
