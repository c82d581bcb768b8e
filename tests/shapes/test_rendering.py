from __future__ import annotations

import torch

from cytocascade.shapes.rendering import render_rays

DEPTHS = torch.linspace(-1, 1, 81)


def paper(outside: torch.Tensor, s: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return T_i and alpha_i exactly as arXiv 2106.10689 states them, for f along one ray."""
    phi = torch.sigmoid(s * outside)
    alpha = ((phi[:-1] - phi[1:]) / phi[:-1]).clamp(min=0)
    through = torch.cat([torch.ones(1), (1 - alpha).cumprod(0)])
    return through[:-1], alpha


def test_opacity_and_depth_are_those_of_the_papers_equation() -> None:
    # Two walls, one behind the other.
    inside = torch.maximum(0.15 - (DEPTHS + 0.4).abs(), 0.1 - (DEPTHS - 0.3).abs())
    through, alpha = paper(-inside, 30.0)
    weight = through * alpha
    middle = (DEPTHS[1:] + DEPTHS[:-1]) / 2
    opacity, front, _ = render_rays(inside[None, :, None], torch.tensor([30.0]), DEPTHS)
    assert torch.allclose(opacity[0, 0], weight.sum(), atol=1e-5)
    assert torch.allclose(front[0, 0], (weight * middle).sum() / weight.sum(), atol=1e-4)


def test_the_first_surface_hides_the_second_and_backwards_the_other_way_round() -> None:
    inside = torch.maximum(0.15 - (DEPTHS + 0.4).abs(), 0.15 - (DEPTHS - 0.3).abs())
    opacity, front, back = render_rays(inside[None, :, None], torch.tensor([80.0]), DEPTHS)
    assert opacity[0, 0] > 0.99
    assert abs(float(front) + 0.55) < 0.02
    assert abs(float(back) - 0.45) < 0.02


def test_depth_is_unbiased_for_every_sharpness() -> None:
    for s in (20.0, 40.0, 80.0):
        _, front, back = render_rays((0.4 - (DEPTHS - 0.1).abs())[None, :, None], torch.tensor([s]), DEPTHS)
        assert abs(float(front) + 0.3) < 0.01
        assert abs(float(back) - 0.5) < 0.01


def test_a_ray_that_misses_is_transparent() -> None:
    missed = (-0.3 - DEPTHS.abs())[None, :, None]
    opacity, front, back = render_rays(missed, torch.tensor([40.0]), DEPTHS)
    assert float(opacity) < 1e-4
    assert torch.isfinite(front).all()
    assert torch.isfinite(back).all()


def test_grazing_by_a_distance_d_gives_half_opacity_at_zero() -> None:
    grazed = (0.0 - DEPTHS.abs())[None, :, None]
    opacity, _, _ = render_rays(grazed, torch.tensor([40.0]), DEPTHS)
    assert abs(float(opacity) - 0.5) < 0.02


def test_every_cell_has_its_own_sharpness() -> None:
    along = (0.02 - DEPTHS.abs())[None, :, None].expand(1, -1, 2)
    opacity, _, _ = render_rays(along, torch.tensor([20.0, 80.0]), DEPTHS)
    assert float(opacity[0, 0]) < float(opacity[0, 1])
