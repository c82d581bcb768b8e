from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.closing import close_body, mask_at_nodes, match_projection, single_body, without_tips

from ._solids import ellipsoid_grid, overlap, projection

STEP = 2 / 47


def test_the_largest_component_is_kept_and_its_cavity_filled() -> None:
    inside = np.zeros((12, 12, 12), dtype=bool)
    inside[2:7, 2:7, 2:7] = True
    inside[4, 4, 4] = False
    inside[9:11, 9:11, 9:11] = True
    body = single_body(inside)
    assert body.sum() == 125
    assert body[4, 4, 4]
    assert not body[9, 9, 9]


def test_an_empty_shape_is_refused() -> None:
    with pytest.raises(CytoCascadeError, match="empty"):
        single_body(np.zeros((4, 4, 4), dtype=bool))


def test_a_closed_body_has_one_piece_no_cavity_and_a_negative_border() -> None:
    field = ellipsoid_grid((0.5, 0.5, 0.5))
    field[23:25, 23:25, 23:25] = -0.1
    field[2:4, 2:4, 2:4] = 0.1
    field[:, 24, 24] = np.maximum(field[:, 24, 24], 0.05)
    closed = close_body(field, STEP)
    assert ndi.label(closed > 0)[1] == 1
    assert ndi.label(closed <= 0)[1] == 1
    border = np.ones(closed.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    assert (closed[border] < 0).all()


def test_a_closed_body_is_not_moved() -> None:
    field = ellipsoid_grid((0.3, 0.5, 0.7))
    near = np.abs(field) < 3 * STEP
    assert np.abs(close_body(field, STEP) - field)[near].max() < 0.2 * STEP


@pytest.mark.parametrize("axes", [(0.3, 0.5, 0.7), (0.3, 0.62, 0.56), (0.2, 0.4, 0.4)])
def test_the_projection_becomes_the_mask_whatever_it_was(axes: tuple[float, float, float]) -> None:
    wanted = projection(ellipsoid_grid((0.3, 0.45, 0.63)))
    matched = close_body(match_projection(ellipsoid_grid(axes), mask_at_nodes(wanted, 48)), STEP)
    assert overlap(projection(matched), wanted) > 0.98


def test_a_body_that_is_too_narrow_is_widened_not_rimmed() -> None:
    narrow, right = ellipsoid_grid((0.3, 0.4, 0.4)), ellipsoid_grid((0.3, 0.5, 0.5))
    matched = match_projection(narrow, mask_at_nodes(projection(right), 48))
    assert overlap(matched, right) > 0.9 > overlap(narrow, right) + 0.2


def test_a_projection_that_is_right_already_changes_nothing() -> None:
    field = ellipsoid_grid((0.3, 0.5, 0.7))
    assert overlap(match_projection(field, mask_at_nodes(projection(field), 48)), field) > 0.985


def test_tips_are_rounded_off_and_the_rest_stays() -> None:
    line = np.linspace(-1, 1, 41)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    ball = 0.5 - np.sqrt(z**2 + y**2 + x**2)
    # The cone that touches the ball around its pole and ends at 1.5 radii.
    cone = np.minimum((0.75 - z) * (2 / 3) - np.sqrt(y**2 + x**2) * np.sqrt(5) / 3, z - 0.3)
    rounded = without_tips(np.maximum(ball, cone).astype(np.float32), 0.05)
    assert cone[34, 20, 20] > 0 > ball[34, 20, 20]
    assert rounded[34:].max() < 0
    inside = ball > 0.05
    assert (rounded > 0)[inside].all()
    assert ((rounded > 0) & (ball < -0.12)).sum() == 0
