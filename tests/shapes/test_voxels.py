from __future__ import annotations

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.mesh import surface_mesh
from cytocascade.shapes.voxels import Voxels, distance_at, rotate_about_z, slice_distances, voxelise
from cytocascade.types import Array, CellSurface

from ._solids import ellipsoid, ellipsoid_volume

SPACINGS = [(0.3, 0.3, 0.3), (0.5, 0.25, 0.25), (2.0, 0.3, 0.3)]
SHIFT = (0.1, 0.05, -0.1)


def centres(voxels: Voxels) -> Array:
    axes = [np.arange(n) * s + c for n, s, c in zip(voxels.coverage.shape, voxels.spacing, voxels.corner)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axes", [(5.0, 5.0, 5.0), (2.0, 4.0, 6.0)])
def test_the_volume_is_right_at_every_spacing(axes: tuple[float, float, float], spacing: tuple) -> None:
    assert voxelise(ellipsoid(axes), spacing, shift=SHIFT).volume == pytest.approx(ellipsoid_volume(axes), rel=0.01)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_labels_of_a_ball_are_right_to_the_voxel(spacing: tuple[float, float, float]) -> None:
    voxels = voxelise(ellipsoid((5.0, 5.0, 5.0)), spacing, shift=SHIFT)
    distance = 5.0 - np.sqrt((centres(voxels) ** 2).sum(axis=0))
    # The surface itself, read from its grid, is right to 0.02 um.
    sure = 0.5 * np.linalg.norm(spacing) + 0.02
    assert (voxels.coverage[distance > sure] == 1).all()
    assert (voxels.coverage[distance < -sure] == 0).all()
    partly = (voxels.coverage > 0) & (voxels.coverage < 1)
    assert partly.any()
    assert (voxels.mask == (voxels.coverage >= 0.5)).all()


@pytest.mark.parametrize("spacing", SPACINGS)
def test_coverage_is_the_share_of_the_voxel_inside(spacing: tuple[float, float, float]) -> None:
    voxels = voxelise(ellipsoid((5.0, 5.0, 5.0)), spacing, shift=SHIFT)
    where, share = centres(voxels), np.zeros(voxels.coverage.shape)
    for index in np.ndindex(6, 6, 6):
        part = ((np.asarray(index) + 0.5) / 6 - 0.5) * spacing
        share += ((where + part[:, None, None, None]) ** 2).sum(axis=0) < 25
    assert np.abs(share / 216 - voxels.coverage).max() < 0.1
    assert np.abs(share / 216 - voxels.coverage).mean() < 0.005


def test_the_whole_cell_is_there_in_a_tight_box() -> None:
    voxels = voxelise(ellipsoid((2.0, 4.0, 6.0)), (0.5, 0.5, 0.5))
    touched = voxels.coverage > 0
    for axis, extent in enumerate((4.0, 8.0, 12.0)):
        others = tuple(a for a in range(3) if a != axis)
        profile = touched.any(axis=others)
        assert profile[0]
        assert profile[-1]
        assert len(profile) * 0.5 == pytest.approx(extent, abs=1.0)
    assert np.allclose(voxels.coverage, voxels.coverage[::-1], atol=0.02)


def test_offset_corner_and_shift_tell_the_same_place() -> None:
    voxels = voxelise(ellipsoid((2.0, 4.0, 6.0)), (0.5, 0.25, 0.3), shift=SHIFT)
    assert np.allclose(np.asarray(voxels.offset) * voxels.spacing - SHIFT, voxels.corner)
    middle = (centres(voxels) * voxels.coverage).reshape(3, -1).sum(axis=1) / voxels.coverage.sum()
    assert np.allclose(middle, 0, atol=0.01)


def test_a_cell_smaller_than_a_voxel_is_one_partly_covered_voxel() -> None:
    voxels = voxelise(ellipsoid((0.4, 0.4, 0.4)), (2.0, 2.0, 2.0))
    assert voxels.coverage.shape == (1, 1, 1)
    assert voxels.volume == pytest.approx(ellipsoid_volume((0.4, 0.4, 0.4)), rel=0.5)


def test_bad_spacings_and_empty_surfaces_are_refused() -> None:
    surface = ellipsoid((2.0, 2.0, 2.0), 12)
    for spacing in ((0.5, 0.0, 0.5), (0.5, 0.5), (float("nan"), 1.0, 1.0)):
        with pytest.raises(CytoCascadeError, match="three positive numbers"):
            voxelise(surface, spacing)
    with pytest.raises(CytoCascadeError, match="empty"):
        voxelise(CellSurface(-np.abs(surface.distance) - 1, 0.1), (1.0, 1.0, 1.0))


def test_distances_go_on_outside_the_grid() -> None:
    surface = ellipsoid((3.0, 3.0, 3.0))
    points = np.array([[0.0, 0.0, 0.0], [0.0, 20.0, 0.0], [0.0, 0.0, 0.0]])
    assert np.allclose(distance_at(surface, points), [3.0, -17.0, 3.0], atol=0.2)


def test_slices_of_a_ball_are_discs_to_a_fraction_of_a_pixel() -> None:
    heights = [-6.0, -4.0, 0.0, 3.0]
    slices = slice_distances(ellipsoid((5.0, 5.0, 5.0)), heights, crop_spacing=0.25)
    assert slices.shape == (4, 64, 64)
    assert (slices[0] < 0).all()
    line = (np.arange(64) - 31.5) * 0.25
    radius = np.hypot(line[:, None], line[None, :])
    for height, one in zip(heights[1:], slices[1:]):
        true = (np.sqrt(25 - height**2) - radius) / 0.25
        assert np.abs(one - true)[np.abs(true) < 2].max() < 0.3
        assert np.abs(one - true)[np.abs(true) < 2].mean() < 0.1


def test_slices_are_taken_around_the_origin() -> None:
    surface = ellipsoid((2.0, 4.0, 6.0))
    moved = CellSurface(surface.distance, surface.step, (23.5 + 1 / surface.step, 23.5 - 2 / surface.step, 23.5))
    inside = slice_distances(moved, [-1.0, 1.5], crop_spacing=0.25) > 0
    y, x = np.nonzero(inside[0])
    assert (y.mean() - 31.5) * 0.25 == pytest.approx(2.0, abs=0.05)
    assert (x.mean() - 31.5) * 0.25 == pytest.approx(0.0, abs=0.05)
    assert not inside[1].any()


def test_a_quarter_turn_swaps_x_and_y() -> None:
    turned = rotate_about_z(ellipsoid((2.0, 4.0, 6.0)), np.pi / 2)
    assert np.allclose(surface_mesh(turned).extents, [8, 12, 4], atol=0.25)


@pytest.mark.parametrize("mirror", [False, True])
def test_turning_moves_points_as_it_says(mirror: bool) -> None:
    surface = ellipsoid((3.0, 4.0, 6.0))
    # The origin beside the middle: it is the fixed point.
    off = CellSurface(surface.distance, surface.step, (23.5, 23.5 + 1 / surface.step, 23.5 - 2 / surface.step))
    angle = 0.6
    turned = rotate_about_z(off, angle, mirror)
    generator = np.random.default_rng(0)
    z, y, x = points = generator.uniform(-4, 4, (3, 200))
    flipped = -y if mirror else y
    moved = np.stack([z, np.sin(angle) * x + np.cos(angle) * flipped, np.cos(angle) * x - np.sin(angle) * flipped])
    before, after = distance_at(off, points), distance_at(turned, moved)
    near = np.abs(before) < 1.5
    assert near.sum() > 50
    assert np.abs(before - after)[near].max() < 0.1
