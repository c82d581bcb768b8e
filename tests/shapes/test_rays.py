from __future__ import annotations

import numpy as np
import torch

from cytocascade.shapes.cameras import pixel_centres, ray_points, ring
from cytocascade.shapes.rays import draw_rays, ray_matrix, read_grids, trilinear_matrix
from cytocascade.shapes.views import sample_grid


def test_the_matrix_interpolates_as_grid_sample_does() -> None:
    grids = torch.randn(3, 9, 9, 9, generator=torch.Generator().manual_seed(1))
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(2)) * 2.4 - 1.2
    matrix = trilinear_matrix(points.numpy(), 9)
    found = read_grids(grids.reshape(3, -1).T.contiguous(), matrix)
    assert torch.allclose(found.T, sample_grid(grids, points), atol=1e-5)


def test_gradients_go_back_through_the_matrix() -> None:
    matrix = trilinear_matrix(np.array([[0.1, 0.2, 0.3], [-0.5, 0.9, 0.0]], dtype=np.float32), 4)
    values = torch.zeros(64, 2, requires_grad=True)
    weights = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    (read_grids(values, matrix) * weights).sum().backward()
    assert values.grad is not None
    assert torch.allclose(values.grad, torch.from_numpy(matrix.toarray().T) @ weights, atol=1e-6)


def test_rays_pass_the_points_that_the_cameras_say() -> None:
    depths = torch.tensor([-0.4, 0.0, 0.3])
    points = ray_points(ring()[3], 8, depths)[:, 5, 2]
    pixel = np.array([[float(pixel_centres(8)[2]), float(pixel_centres(8)[5])]], dtype=np.float32)
    expected = trilinear_matrix(points.numpy(), 6)
    found = ray_matrix(ring()[3:4].numpy(), pixel, depths.numpy(), 6)
    assert np.allclose(found.toarray(), expected.toarray(), atol=1e-5)


def test_rays_depend_on_seed_and_step_alone() -> None:
    one, same, other = (draw_rays(7, step, counts=(50, 20), pixels=(32, 64)) for step in (3, 3, 4))
    assert np.array_equal(one.camera, same.camera)
    assert np.array_equal(one.above, same.above)
    assert not np.array_equal(one.pixel, other.pixel)
    assert one.camera.max() < 16
    assert one.pixel.max() < 32 <= one.above.max() < 64


def test_rays_of_cameras_at_different_distances_spread_differently() -> None:
    depths = torch.tensor([-0.4, 0.0, 0.3])
    pixel = np.array([[float(pixel_centres(8)[2]), float(pixel_centres(8)[5])]], dtype=np.float32)
    axes, pixels = ring()[[3, 3]].numpy(), np.repeat(pixel, 2, axis=0)
    found = ray_matrix(axes, pixels, depths.numpy(), 6, np.array([2.1875, np.inf]))
    for rows, camera_distance in ((slice(0, 3), 2.1875), (slice(3, 6), np.inf)):
        points = ray_points(ring()[3], 8, depths, camera_distance)[:, 5, 2]
        assert np.allclose(found[rows].toarray(), trilinear_matrix(points.numpy(), 6).toarray(), atol=1e-5)
