from __future__ import annotations

import numpy as np
import torch

from cytocascade.shapes.fusion import fuse_views
from cytocascade.shapes.views import render_views

from ._solids import ellipsoid_grid, overlap, views_and_mask


def test_the_hull_holds_the_shape_and_the_depths_make_it_better() -> None:
    grid = ellipsoid_grid((0.35, 0.8, 0.6), 32)
    views, _ = views_and_mask(grid[None])
    found = {content: fuse_views(views, 32, content=content)[0].numpy() for content in ("silhouettes", "front", "both")}
    assert (found["silhouettes"] > -0.03)[grid > 0].all()
    scores = [overlap(found[content], grid) for content in ("silhouettes", "both")]
    assert scores[0] > 0.75
    assert scores[1] > 0.95


def test_a_hull_looks_at_no_depths() -> None:
    views, _ = views_and_mask(ellipsoid_grid((0.5, 0.6, 0.7), 24)[None])
    spoiled = views.clone()
    spoiled[:, :, 1:] = 0.3
    assert torch.equal(fuse_views(views, 24, content="silhouettes"), fuse_views(spoiled, 24, content="silhouettes"))


def test_errors_of_the_views_average_out() -> None:
    grid = ellipsoid_grid((0.5, 0.6, 0.7), 32)
    views, _ = views_and_mask(grid[None])
    noisy = views + 0.05 * torch.randn(views.shape[:3], generator=torch.Generator().manual_seed(0))[..., None, None]
    fused = fuse_views(noisy, 32)[0].numpy()
    volume = float((fused > 0).sum() / (grid > 0).sum())
    assert 0.85 < volume < 1.1
    least = float(np.mean(fuse_views(noisy, 32, content="front")[0].numpy() > 0) / np.mean(grid > 0))
    assert least < 0.85


def test_every_cell_is_fused_alone() -> None:
    grids = np.stack([ellipsoid_grid((0.5, 0.6, 0.7), 24), ellipsoid_grid((0.3, 0.4, 0.5), 24)])
    views, _ = views_and_mask(grids)
    both = fuse_views(views, 24)
    assert torch.allclose(both[1], fuse_views(views[1:], 24)[0], atol=1e-6)


def test_the_hull_of_cameras_at_a_distance_holds_the_shape() -> None:
    grid = ellipsoid_grid((0.35, 0.8, 0.6), 32)
    views = render_views(torch.from_numpy(grid[None]), camera_distance=2.2)
    right = fuse_views(views, 32, content="silhouettes", camera_distance=2.2)[0].numpy()
    assert (right > -0.03)[grid > 0].all()
    assert overlap(right, grid) > overlap(fuse_views(views, 32, content="silhouettes")[0].numpy(), grid)
