import pytest
import torch

from cytocascade.shapes.cameras import pixel_centres
from cytocascade.shapes.views import (
    TRUNCATION,
    fill_depths,
    from_network,
    network_weight,
    render_views,
    to_network,
)

RADIUS = 0.6


@pytest.fixture(scope="module")
def ball():
    axis = torch.linspace(-1, 1, 48)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return RADIUS - torch.sqrt(z**2 + y**2 + x**2)


@pytest.fixture(scope="module")
def seen(ball):
    return render_views(ball[None])


def test_a_ball_has_the_same_disc_as_silhouette_in_all_views(seen):
    u = pixel_centres(32)
    disc = torch.sqrt(u[None, :] ** 2 + u[:, None] ** 2) < RADIUS
    assert ((seen[0, :, 0] > 0) == disc).float().mean() > 0.995


def test_the_silhouette_field_is_the_distance_outside(seen):
    u = pixel_centres(32)
    distance = RADIUS - torch.sqrt(u[None, :] ** 2 + u[:, None] ** 2)
    near = (distance < -0.02) & (distance > -0.2)
    assert (seen[0, :, 0] - distance)[:, near].abs().max() < 0.02
    assert seen[:, :, 0].abs().max() <= TRUNCATION


def test_first_and_last_surface_of_a_ball_are_as_deep_as_geometry_says(seen):
    u = pixel_centres(32)
    squared = RADIUS**2 - u[None, :] ** 2 - u[:, None] ** 2
    inner = squared > 0.05
    depth = torch.sqrt(squared[inner])
    assert (seen[0, :, 1][:, inner] + depth).abs().max() < 0.02
    assert (seen[0, :, 2][:, inner] - depth).abs().max() < 0.02


def test_a_shift_along_x_moves_the_silhouette_of_the_camera_on_the_y_axis():
    axis = torch.linspace(-1, 1, 48)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    views = render_views((0.3 - torch.sqrt(z**2 + y**2 + (x - 0.4) ** 2))[None])
    # Camera 4 stands at azimuth 90 degrees, on the y axis: its right is -x.
    columns = (views[0, 4, 0] > 0).any(dim=0).nonzero().float().mean()
    assert columns == pytest.approx((1 - 0.4) * 16 - 0.5, abs=0.7)


def test_outside_the_silhouette_the_cell_has_no_thickness(seen):
    outside = seen[0, :, 0] < 0
    assert torch.equal(seen[0, :, 1][outside], seen[0, :, 2][outside])


def test_filling_keeps_depths_inside(seen):
    again = fill_depths(seen)
    assert torch.equal(
        again[:, :, 1:][(seen[:, :, :1] > 0).expand(-1, -1, 2, -1, -1)],
        seen[:, :, 1:][(seen[:, :, :1] > 0).expand(-1, -1, 2, -1, -1)],
    )


def test_the_network_range_is_left_as_it_was_entered(seen):
    assert torch.allclose(from_network(to_network(seen)), seen, atol=1e-5)


def test_thickness_from_the_network_is_never_negative():
    values = torch.randn(2, 16, 3, 32, 32) * 3
    views = from_network(values)
    assert (views[:, :, 2] >= views[:, :, 1]).all()


def test_the_middle_depth_counts_only_where_there_is_a_cell(seen):
    weight = network_weight(seen)
    assert (weight[:, :, :2] == 1).all()
    assert (weight[0, :, 2][seen[0, :, 0] < -0.1] == 0).all()
    assert (weight[0, :, 2][seen[0, :, 0] > 0] == 1).all()
