from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.canonical import Frame
from cytocascade.shapes.descriptors import describe_surface
from cytocascade.shapes.distances import redistance
from cytocascade.shapes.mesh import surface_mesh
from cytocascade.shapes.neus import NeusSettings
from cytocascade.shapes.priors import ellipsoid_surface, hull_surfaces, learned_surfaces, surface_in_frame
from cytocascade.shapes.voxels import slice_distances
from cytocascade.types import FloatArray

from ._solids import bean_grid, ellipsoid_grid, overlap, projection, views_and_mask

FRAME = Frame(unit=6.0, middle=(0.6, -0.3), extent=10.0)


def ellipse(minor: float, major: float, *, middle: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
    """Return the signed distance of an ellipse in canonical pixels, major axis along x."""
    line = np.arange(64) - 31.5
    y, x = np.meshgrid(line - middle[0], line - middle[1], indexing="ij")
    norm = np.sqrt((y / minor) ** 2 + (x / major) ** 2)
    return redistance((1 - norm) * minor, 1.0)


@pytest.mark.parametrize(("minor", "major", "ratio"), [(12, 24, None), (18, 22, 0.3), (16, 16, 1.2)])
def test_an_ellipse_becomes_an_ellipsoid(minor: float, major: float, ratio: float | None) -> None:
    surface = ellipsoid_surface(ellipse(minor, major), 0.25, axial_ratio=ratio)
    measured = describe_surface(surface)
    height = minor if ratio is None else ratio * major
    assert measured["volume"] == pytest.approx(4 / 3 * np.pi * minor * major * height * 0.25**3, rel=0.03)
    assert measured["axial_ratio"] == pytest.approx(height / major, rel=0.04)
    # At 0.6 of the height an ellipsoid's slice has 0.64 of the area.
    areas = (slice_distances(surface, [0.0, 0.6 * height * 0.25, -0.6 * height * 0.25], crop_spacing=0.25) > 0).sum(
        (1, 2)
    )
    assert areas[1:] / areas[0] == pytest.approx(0.64, rel=0.04)


def test_the_inflated_surface_lies_over_its_mask() -> None:
    mask = ellipse(10, 18, middle=(4.0, -6.0))
    surface = ellipsoid_surface(mask, 0.5, axial_ratio=0.4)
    heights = np.linspace(-5, 5, 21)
    projected = slice_distances(surface, heights, crop_spacing=0.5).max(axis=0)
    assert overlap(projected, mask) > 0.97


def test_any_mask_is_inflated_to_one_closed_surface() -> None:
    dumbbell = np.maximum(ellipse(9, 9, middle=(0, -14)), ellipse(12, 12, middle=(0, 12)))
    line = np.arange(64) - 31.5
    bridge = np.minimum(3.0 - np.abs(line)[:, None], 14.0 - np.abs(line)[None, :]).astype(np.float32)
    stray = ellipse(3, 3, middle=(-26, -26))
    mesh = surface_mesh(ellipsoid_surface(np.maximum.reduce([dumbbell, bridge, stray]), 0.2))
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert mesh.bounds[0, 1] > -4


def test_a_wrong_ratio_or_an_empty_mask_is_refused() -> None:
    with pytest.raises(CytoCascadeError, match="not positive"):
        ellipsoid_surface(ellipse(10, 10), 0.2, axial_ratio=0.0)
    with pytest.raises(CytoCascadeError, match="empty"):
        ellipsoid_surface(np.full((64, 64), -3.0, dtype=np.float32), 0.2)


@pytest.fixture(scope="module")
def grids() -> FloatArray:
    return np.stack([bean_grid(), ellipsoid_grid((0.3, 0.5, 0.8))])


@pytest.fixture(scope="module")
def seen(grids: FloatArray) -> tuple[torch.Tensor, torch.Tensor]:
    return views_and_mask(grids)


def test_hull_and_learned_surfaces_are_closed_and_lie_over_their_masks(seen) -> None:
    views, mask = seen
    hulls = hull_surfaces(views, mask, [FRAME, FRAME], grid=40)
    learned = learned_surfaces(views, mask, [FRAME, FRAME], grid=40, settings=NeusSettings(iterations=15))
    for surface, one in zip([*hulls, *learned], [*mask.numpy()] * 2):
        mesh = surface_mesh(surface)
        assert mesh.is_watertight
        assert mesh.body_count == 1
        assert ndi.label(surface.distance <= 0)[1] == 1
        assert overlap(projection(surface.distance / 6.0), one) > 0.97


def test_the_hull_is_larger_than_what_the_depths_leave(seen) -> None:
    views, mask = seen
    hull = hull_surfaces(views[1:], mask[1:], [FRAME], grid=40)[0]
    learned = learned_surfaces(views[1:], mask[1:], [FRAME], grid=40, settings=NeusSettings(iterations=30))[0]
    true = surface_mesh(surface_in_frame(ellipsoid_grid((0.3, 0.5, 0.8)), FRAME)).volume
    assert surface_mesh(hull).volume > 1.05 * true
    assert surface_mesh(learned).volume == pytest.approx(true, rel=0.03)


def test_the_origin_is_the_middle_of_the_crop_at_half_height(grids) -> None:
    raised = np.roll(grids[1], 5, axis=0)
    mesh = surface_mesh(surface_in_frame(raised, FRAME))
    low, high = mesh.bounds
    assert (low + high) / 2 == pytest.approx([-0.3, 0.6, 0.0], abs=0.03)
    assert high - low == pytest.approx([9.6, 6.0, 3.6], abs=0.25)
