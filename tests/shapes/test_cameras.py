import pytest
import torch

from cytocascade.shapes.cameras import (
    ELEVATION,
    ORTHOGRAPHIC,
    VIEWS,
    from_above,
    pixel_centres,
    project,
    ray_points,
    ring,
)


def test_every_camera_has_a_right_handed_orthonormal_frame():
    axes = ring()
    assert torch.allclose(axes @ axes.transpose(1, 2), torch.eye(3).expand(VIEWS, 3, 3), atol=1e-6)
    assert torch.allclose(torch.linalg.det(axes), torch.ones(VIEWS), atol=1e-6)


def test_all_cameras_look_down_at_the_same_elevation():
    away = ring()[:, 2]
    assert torch.allclose(torch.rad2deg(torch.asin(-away[:, 2])), torch.full((VIEWS,), ELEVATION), atol=1e-4)


def test_right_is_horizontal_and_down_points_down():
    axes = ring()
    assert torch.allclose(axes[:, 0, 2], torch.zeros(VIEWS), atol=1e-6)
    assert (axes[:, 1, 2] < 0).all()


def test_opposite_cameras_are_half_the_ring_apart():
    away = ring()[:, 2]
    assert torch.allclose(away[0, :2], -away[VIEWS // 2, :2], atol=1e-6)


def test_the_microscope_sees_x_to_the_right_and_y_down():
    points = ray_points(from_above(), 4, torch.zeros(1))
    assert torch.allclose(points[0, 0, :, 0], pixel_centres(4))
    assert torch.allclose(points[0, :, 0, 1], pixel_centres(4))


def test_pixel_centres_are_symmetric_and_half_a_pixel_from_the_border():
    centres = pixel_centres(8)
    assert float(centres[0]) == pytest.approx(-1 + 1 / 8)
    assert torch.allclose(centres, -centres.flip(0))


def test_depth_runs_along_the_line_of_sight():
    depths = torch.tensor([-0.5, 0.0, 0.75])
    points = ray_points(ring(), 3, depths)
    along = torch.einsum("ndvui,ni->ndvu", points, ring()[:, 2])
    assert torch.allclose(along, depths[None, :, None, None].expand_as(along), atol=1e-6)


@pytest.mark.parametrize("camera_distance", [ORTHOGRAPHIC, 2.2])
def test_points_on_a_ray_are_seen_at_its_pixel(camera_distance):
    depths = torch.tensor([-0.8, 0.0, 0.5])
    points = ray_points(ring()[5], 4, depths, camera_distance)
    seen = project(points.reshape(-1, 3), ring()[5:6], camera_distance).reshape(3, 4, 4, 3)
    centres = pixel_centres(4)
    assert torch.allclose(seen[..., 0], centres.expand(3, 4, 4), atol=1e-5)
    assert torch.allclose(seen[..., 1], centres[:, None].expand(3, 4, 4), atol=1e-5)
    assert torch.allclose(seen[..., 2], depths[:, None, None].expand(3, 4, 4), atol=1e-5)


def test_near_things_look_larger_to_cameras_at_a_distance():
    depths = torch.tensor([-1.0, 0.0, 1.0])
    wide = ray_points(ring()[0], 2, depths, 2.0)[:, 0, 1] @ ring()[0, 0]
    assert torch.allclose(wide, torch.tensor([0.25, 0.5, 0.75]), atol=1e-6)
    assert torch.equal(ray_points(ring(), 3, depths), ray_points(ring(), 3, depths, ORTHOGRAPHIC))
