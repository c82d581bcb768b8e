from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import polygon2mask
from skimage.measure import label

from cytocascade.export.outlines import outline, run_lengths


def fill(corners, shape):
    return polygon2mask(shape, corners[:, ::-1] - 0.5)


def decode(rle):
    values = np.repeat(np.arange(len(rle["counts"])) % 2, rle["counts"]).astype(bool)
    return values.reshape(rle["size"], order="F")


def test_a_single_pixel_is_a_square_of_four_corners():
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    assert outline(mask).tolist() == [[2, 1], [3, 1], [3, 2], [2, 2]]


def test_straight_borders_have_no_corners_between():
    assert outline(np.ones((5, 7), bool)).tolist() == [[0, 0], [7, 0], [7, 5], [0, 5]]


@pytest.mark.parametrize(
    "rows",
    [["###", "#.#", "###"], ["#.#"], ["#.", ".#"], [".#", "#."], ["...", "..."]],
    ids=["hole", "parts", "diagonal", "antidiagonal", "empty"],
)
def test_holes_parts_and_diagonals_have_no_outline(rows):
    assert outline(np.array([[character == "#" for character in row] for row in rows])) is None


def test_a_ring_open_at_a_corner_is_one_line():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    corners = outline(mask)
    assert corners is not None
    np.testing.assert_array_equal(fill(corners, mask.shape), mask)


@settings(max_examples=300, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_exist_for_simple_shapes_and_fill_to_the_same_pixels(mask):
    corners = outline(mask)
    parts = label(mask, connectivity=1).max()
    holes = label(np.pad(~mask, 1, constant_values=True), connectivity=2).max() - 1
    assert (corners is not None) == (parts == 1 and holes == 0)
    if corners is not None:
        x, y = corners.T
        assert abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2 == mask.sum()
        np.testing.assert_array_equal(fill(corners, mask.shape), mask)


@settings(max_examples=200, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8))), st.integers(0, 3), st.integers(0, 3))
def test_run_lengths_decode_to_the_mask_in_its_place(mask, down, right):
    mask[0, 0] = True
    expected = np.zeros((12, 11), bool)
    expected[down : down + mask.shape[0], right : right + mask.shape[1]] = mask
    rle = run_lengths(mask, (down, right), expected.shape)
    assert all(isinstance(count, int) for count in rle["counts"])
    np.testing.assert_array_equal(decode(rle), expected)


def test_run_lengths_of_a_full_image_end_with_the_image():
    assert run_lengths(np.ones((2, 3), bool), (0, 0), (2, 3)) == {"counts": [0, 6], "size": [2, 3]}
