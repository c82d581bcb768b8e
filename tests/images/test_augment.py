from __future__ import annotations

import math

import pytest
import torch

from cytocascade.images.augment import Warp, apply_warp, draw_warp


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def still(count: int = 1, *, angle: float = 0.0, flip: bool = False, zoom: float = 1.0) -> Warp:
    return Warp(
        torch.full((count,), angle),
        torch.full((count,), flip),
        torch.full((count,), zoom),
        torch.zeros((count, 2, 5, 5)),
    )


def disc(side: int, radius: float) -> torch.Tensor:
    axis = torch.arange(side) - (side - 1) / 2
    return (radius - (axis[:, None] ** 2 + axis[None] ** 2).sqrt())[None, None]


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_no_deformation_cuts_out_the_centre(mode: str) -> None:
    crops = torch.randn((2, 1, 24, 24), generator=generator())
    found = apply_warp(crops, still(2), 16, mode=mode)
    assert torch.allclose(found, crops[..., 4:20, 4:20], atol=1e-4)


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_symmetries_of_the_square_only_move_pixels(quarter: int, flip: bool) -> None:
    crops = torch.randn((1, 1, 24, 24), generator=generator())
    found = apply_warp(crops, still(angle=quarter * math.pi / 2, flip=flip), 16)[0, 0]
    centre = crops[0, 0, 4:20, 4:20]
    wanted = torch.rot90(centre, quarter, (0, 1))
    assert torch.allclose(found, wanted.flip(1) if flip else wanted, atol=1e-4)


def test_exact_share_of_one_draws_symmetries_only() -> None:
    warp = draw_warp(200, generator(), exact=1.0)
    assert torch.equal(warp.zoom, torch.ones(200))
    assert not warp.bend.any()
    quarters = warp.angle / (math.pi / 2)
    assert torch.allclose(quarters, quarters.round(), atol=1e-6)
    assert {(round(float(q)), bool(f)) for q, f in zip(quarters, warp.flip)} == {
        (q, f) for q in range(4) for f in (False, True)
    }


def test_upright_symmetries_keep_rows_rows() -> None:
    warp = draw_warp(200, generator(), exact=1.0, upright=True)
    assert {round(float(angle / math.pi), 6) for angle in warp.angle} == {0.0, 1.0}


def test_exact_share_of_nought_deforms_every_crop() -> None:
    warp = draw_warp(200, generator(), exact=0.0)
    assert (warp.zoom != 1).all()
    assert warp.bend.abs().amax(dim=(1, 2, 3)).min() > 0


def test_exact_share_is_the_share_of_undeformed_crops() -> None:
    assert 0.3 < float((draw_warp(1000, generator(), exact=0.4).zoom == 1).float().mean()) < 0.5


def test_same_generator_gives_the_same_deformation() -> None:
    one, again, other = draw_warp(4, generator(1)), draw_warp(4, generator(1)), draw_warp(4, generator(2))
    for name in ("angle", "flip", "zoom", "bend"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(one.angle, other.angle)
    crops = torch.randn((4, 1, 24, 24), generator=generator())
    assert torch.equal(apply_warp(crops, one, 16), apply_warp(crops, again, 16))


@pytest.mark.parametrize("zoom", [0.8, 1.25])
def test_zoom_magnifies_the_area_by_its_square(zoom: float) -> None:
    crops = disc(96, 18.0)
    plain, zoomed = (apply_warp(crops, still(zoom=z), 64) > 0 for z in (1.0, zoom))
    assert zoomed.sum() / plain.sum() == pytest.approx(zoom**2, rel=0.03)


def test_rotation_keeps_the_area_of_an_ellipse() -> None:
    axis = torch.arange(96) - 47.5
    ellipse = (1 - ((axis[:, None] / 20) ** 2 + (axis[None] / 12) ** 2).sqrt())[None, None]
    found = [(apply_warp(ellipse, still(angle=a), 64) > 0).sum() for a in (0.0, 0.6, 2.0)]
    assert float(max(found) / min(found)) < 1.02


def test_mild_bending_moves_an_outline_by_about_a_pixel() -> None:
    crops = disc(96, 18.0).expand(8, -1, -1, -1)
    drawn = draw_warp(8, generator(), zoom=0.0, bend=1.0)
    warp = Warp(torch.zeros(8), torch.zeros(8, dtype=torch.bool), drawn.zoom, drawn.bend)
    change = (apply_warp(crops, warp, 64) - apply_warp(crops, still(8), 64)).abs()
    assert 0.2 < float(change.mean()) < 2.0


def test_outside_of_the_crop_repeats_its_border() -> None:
    found = apply_warp(torch.full((1, 1, 24, 24), 3.0), still(zoom=0.5), 24)
    assert torch.allclose(found, torch.full_like(found, 3.0))
