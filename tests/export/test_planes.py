from __future__ import annotations

import numpy as np
import pytest

from cytocascade.export.planes import MIN_PIXELS, anisotropy, axial_positions, cut, separate
from cytocascade.types import GeneratedSample


def volume(shape=(8, 30, 40), spacing=(1.0, 0.25, 0.25), dtype=np.uint16):
    """Return a ramp along z with one box-shaped cell."""
    labels = np.zeros(shape, np.uint16)
    labels[2:6, 5:20, 8:30] = 9
    image = (np.indices(shape)[0] * 100).astype(dtype)
    return GeneratedSample(image=image, labels=labels, spacing=spacing, index=0, seed=0, spacing_known=True)


def test_planes_along_z_have_square_pixels():
    planes = list(cut(volume(), step=1, min_cells=0))
    shapes = {plane.name: plane.image.shape for plane in planes}
    assert shapes == {"yx": (30, 40), "zy": (32, 30), "zx": (32, 40)}
    assert [sum(plane.name == name for plane in planes) for name in ("yx", "zy", "zx")] == [8, 40, 30]
    for plane in planes:
        assert plane.labels.shape == plane.image.shape
        assert plane.spacing == (0.25, 0.25)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_image_is_interpolated_in_its_own_type(dtype):
    image = next(p for p in cut(volume(dtype=dtype, shape=(3, 30, 40)), step=1, min_cells=0) if p.name == "zx").image
    assert image.dtype == dtype
    # Rows at -0.375, -0.125, 0.125, ... slices; those beyond the first slice repeat it.
    expected = [0, 0, 12.5, 37.5, 62.5, 87.5, 112.5, 137.5, 162.5, 187.5, 200, 200]
    np.testing.assert_allclose(image[:, 0], np.rint(expected) if dtype != np.float32 else expected)


def test_planes_show_what_lies_at_their_position():
    sample = volume()
    image = np.random.default_rng(0).integers(0, 1000, sample.image.shape).astype(np.uint16)
    object.__setattr__(sample, "image", image)
    object.__setattr__(sample, "spacing", (0.25, 0.25, 0.25))
    for plane in cut(sample, step=3, min_cells=0):
        axis = {"yx": 0, "zy": 2, "zx": 1}[plane.name]
        np.testing.assert_array_equal(plane.image, image.take(plane.position, axis=axis))
        np.testing.assert_array_equal(plane.labels > 0, sample.labels.take(plane.position, axis=axis) > 0)


def test_planes_are_equally_far_apart_in_all_directions():
    positions = {name: [] for name in ("yx", "zy", "zx")}
    for plane in cut(volume(shape=(12, 64, 64)), step=8, min_cells=0):
        positions[plane.name].append(plane.position)
    assert positions == {"yx": [0, 2, 4, 6, 8, 10], "zy": list(range(3, 64, 8)), "zx": list(range(3, 64, 8))}
    assert [p.position for p in cut(volume(), step=1000, min_cells=0)] == [3, 19, 14]


def test_planes_with_too_few_cells_are_left_out():
    assert {p.position for p in cut(volume(), step=1, min_cells=1) if p.name == "yx"} == {2, 3, 4, 5}
    assert list(cut(volume(), step=1, min_cells=2)) == []


def test_a_cell_cut_twice_becomes_two_objects_and_labels_are_numbered_anew():
    plane = np.zeros((12, 30), np.uint16)
    plane[:, 2:6] = plane[:, 20:24] = 70
    plane[:, 6:9] = 3
    plane[5, 26] = 8  # too small
    found = separate(plane)
    assert np.unique(found).tolist() == [0, 1, 2, 3]
    assert [np.unique(found[plane == label]).tolist() for label in (70, 3, 8)] == [[1, 3], [2], [0]]
    assert found.dtype == np.uint16


def test_pieces_are_kept_from_the_smallest_size_on():
    plane = np.zeros((3, 40), np.uint16)
    plane[0, :MIN_PIXELS] = 1
    plane[2, : MIN_PIXELS - 1] = 1
    np.testing.assert_array_equal(separate(plane), (np.arange(3) == 0)[:, None] & (plane > 0))


def test_anisotropy_is_the_step_in_lateral_pixels():
    assert anisotropy((2.0, 0.5, 0.5)) == 4
    assert anisotropy((2.0, 0.25, 1.0)) == 4
    assert len(axial_positions(10, (0.1, 0.2, 0.2))) == 5
    assert axial_positions(1, (3.0, 1.0, 1.0)).tolist() == [0, 0, 0]
