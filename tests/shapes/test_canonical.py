import numpy as np
import pytest
import torch

from cytocascade.shapes.canonical import (
    FILL,
    axial_ratio,
    canonical_mask,
    enclosing_circle,
    feret_diameter,
    frame_of,
    rotate_masks,
)


def disc(size=64, radius=20.0, centre=(31.5, 31.5)):
    y, x = np.indices((size, size))
    return (radius - np.hypot(y - centre[0], x - centre[1])).astype(np.float32)


def test_a_flat_cell_fills_the_cube_laterally():
    frame = frame_of(disc(), 0.5, 0.2)
    assert frame.unit * FILL == pytest.approx(10.0, rel=0.06)
    assert frame.extent == pytest.approx(20.0, rel=0.05)


def test_a_tall_cell_is_shown_smaller_so_that_all_views_hold_it():
    flat, tall = (frame_of(disc(), 0.5, ratio).unit for ratio in (0.5, 1.5))
    half_height = 1.5 * 20.0 / 2
    assert tall > flat
    assert tall * FILL >= half_height


def test_the_frame_follows_the_cell_in_micrometres():
    frame = frame_of(disc(centre=(25.5, 37.5)), 0.5, 0.5)
    assert frame.middle == pytest.approx((-3.0, 3.0), abs=0.1)


def test_the_canonical_mask_is_centred_and_in_canonical_units():
    distance = disc(centre=(25.5, 37.5))
    frame = frame_of(distance, 0.5, 0.5)
    mask = canonical_mask(distance, 0.5, frame)
    rows, columns = np.nonzero(mask > 0)
    assert rows.mean() == pytest.approx(31.5, abs=0.5)
    assert columns.mean() == pytest.approx(31.5, abs=0.5)
    assert mask.max() == pytest.approx(10.0 / frame.unit, rel=0.08)


def test_the_enclosing_circle_of_a_rectangle_goes_through_its_corners():
    points = np.array([[0, 0], [0, 6], [8, 0], [8, 6], [4, 3]])
    middle, radius = enclosing_circle(points)
    assert middle == pytest.approx([4, 3], abs=0.1)
    assert radius == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize(("points", "expected"), [([[0, 0]], 1.0), ([[0, k] for k in range(20)], 20.0)])
def test_feret_diameters_of_thin_masks(points, expected):
    assert feret_diameter(np.array(points)) == pytest.approx(expected)


def test_the_axial_ratio_of_a_box():
    mask = np.zeros((20, 40, 40), dtype=bool)
    mask[5:15, 10:30, 10:11] = True
    assert axial_ratio(mask) == pytest.approx(0.5)


def test_masks_turn_from_x_towards_y():
    mask = torch.full((1, 1, 64, 64), -1.0)
    mask[0, 0, 31:33, 50:54] = 1.0  # on the x axis
    turned = rotate_masks(mask, torch.tensor([torch.pi / 2]), torch.tensor([False]))
    rows, columns = torch.nonzero(turned[0, 0] > 0, as_tuple=True)
    assert rows.float().mean() == pytest.approx(51.5, abs=0.6)
    assert columns.float().mean() == pytest.approx(31.5, abs=0.6)


def test_mirroring_exchanges_up_and_down():
    mask = torch.randn(1, 1, 16, 16)
    mirrored = rotate_masks(mask, torch.zeros(1), torch.tensor([True]))
    assert torch.allclose(mirrored, mask.flip(2), atol=1e-5)
