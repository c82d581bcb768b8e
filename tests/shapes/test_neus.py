from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.neus import NeusSettings, optimise, reconstruct, starting_grids
from cytocascade.shapes.views import render_views

from ._solids import bean_grid, ellipsoid_grid, overlap, projection, views_and_mask

FEW = NeusSettings(iterations=20)


@pytest.fixture(scope="module")
def seen() -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    grids = np.stack([ellipsoid_grid((0.24, 0.6, 0.8)), bean_grid(), ellipsoid_grid((0.6, 0.5, 0.55))])
    return grids, *views_and_mask(grids)


@pytest.fixture(scope="module")
def found(seen: tuple[np.ndarray, torch.Tensor, torch.Tensor]) -> np.ndarray:
    return reconstruct(seen[1], seen[2], settings=replace(FEW, iterations=40)).numpy()


def test_flat_bent_and_round_cells_come_back(seen, found) -> None:
    for true, one in zip(seen[0], found):
        assert overlap(true, one) > 0.96


def test_silhouettes_agree_with_the_views(seen, found) -> None:
    again = render_views(torch.from_numpy(found))[:, :, 0].numpy()
    wanted = seen[1][:, :, 0].numpy()
    assert min(overlap(*pair) for pair in zip(again, wanted)) > 0.97


def test_the_projection_is_the_mask(seen, found) -> None:
    for mask, one in zip(seen[2].numpy(), found):
        assert overlap(mask, projection(one)) > 0.975


def test_surfaces_are_closed_in_one_piece_and_without_cavities(found) -> None:
    for one in found:
        assert ndi.label(one > 0)[1] == 1
        assert ndi.label(one <= 0)[1] == 1
        inner = one.copy()
        inner[1:-1, 1:-1, 1:-1] = -1
        assert inner.max() < 0


def test_values_are_distances(found) -> None:
    step = 2 / 47
    slope = np.sqrt(np.sum(np.square(np.asarray(np.gradient(found[2], step))), axis=0))
    near = np.abs(found[2]) < 3 * step
    assert abs(np.median(slope[near]) - 1) < 0.05


def test_positive_is_inside(found) -> None:
    assert found[2][24, 24, 24] > 0.4
    assert found[2][0, 0, 0] < -0.8


def test_the_optimisation_improves_on_what_the_views_say_at_once(seen) -> None:
    grids, views, mask = seen
    start = starting_grids(views, mask, "views", FEW)
    after = optimise(start, views, mask, FEW)
    fine = [
        torch.nn.functional.interpolate(g[:, None], size=48, mode="trilinear", align_corners=True)
        for g in (start, after)
    ]
    before, now = ([overlap(a, b[0].numpy()) for a, b in zip(grids, one)] for one in fine)
    assert np.mean(now) > np.mean(before) + 0.005


def test_a_sphere_is_a_start_too(seen) -> None:
    grids, views, mask = seen
    settings = NeusSettings(iterations=80, learning_rate=0.03, nodes=24)
    result = reconstruct(views[2:], mask[2:], init="sphere", settings=settings)
    assert overlap(result[0].numpy(), grids[2]) > 0.94


def test_the_sharpness_is_learned(seen, monkeypatch) -> None:
    used = []

    def spy(along, sharpness, depths):
        used.append(sharpness.detach().clone())
        return real(along, sharpness, depths)

    import cytocascade.shapes.neus as module

    real = module.render_rays
    monkeypatch.setattr(module, "render_rays", spy)
    optimise(starting_grids(seen[1], seen[2], "views", FEW), seen[1], seen[2], FEW)
    assert (used[-1] > used[0] * 1.1).all()
    assert len(set(used[-1].tolist())) == 3


def test_the_mask_has_the_last_word_against_the_views(seen) -> None:
    _, views, _ = seen
    other = torch.from_numpy(projection(ellipsoid_grid((0.3, 0.72, 0.66))))[None]
    result = reconstruct(views[:1], other, settings=FEW)
    assert overlap(projection(result[0].numpy()), other[0].numpy()) > 0.95


def test_a_cell_that_the_views_show_too_narrow_is_widened_without_a_rim() -> None:
    right, narrow = ellipsoid_grid((0.4, 0.6, 0.7)), ellipsoid_grid((0.4, 0.6 / 1.12, 0.7 / 1.12))
    views, _ = views_and_mask(narrow[None])
    result = reconstruct(views, torch.from_numpy(projection(right))[None], settings=FEW)[0].numpy()
    assert overlap(result, right) > 0.93 > overlap(narrow, right) + 0.05


def test_views_of_nothing_still_give_a_cell(seen) -> None:
    blank = torch.zeros_like(seen[1][:1])
    blank[:, :, 0] = -0.25
    result = reconstruct(blank, seen[2][:1], settings=FEW)
    assert overlap(projection(result[0].numpy()), seen[2][0].numpy()) > 0.95


def test_the_same_input_gives_the_same_bytes_whatever_the_workers(seen, monkeypatch) -> None:
    monkeypatch.setattr("cytocascade.shapes.neus.CHUNK", 2)
    settings = replace(FEW, iterations=4)
    one = reconstruct(seen[1], seen[2], settings=settings, grid=32)
    with torch.inference_mode():
        two = reconstruct(seen[1], seen[2], settings=settings, grid=32, workers=2)
    assert one.numpy().tobytes() == two.numpy().tobytes()


def test_bad_input_is_told(seen) -> None:
    _, views, mask = seen
    with pytest.raises(CytoCascadeError, match="not \\(cells, 16, 3"):
        reconstruct(views[:, :8], mask)
    with pytest.raises(CytoCascadeError, match="masks have shape"):
        reconstruct(views, mask[:2])
    with pytest.raises(CytoCascadeError, match="cells \\[1\\] are empty"):
        reconstruct(views, torch.where(torch.tensor([False, True, False])[:, None, None], -mask.abs() - 1, mask))
    with pytest.raises(CytoCascadeError, match="finite"):
        reconstruct(views * float("nan"), mask)


def test_no_cells_give_no_surfaces() -> None:
    assert reconstruct(torch.zeros(0, 16, 3, 32, 32), torch.zeros(0, 64, 64)).shape == (0, 48, 48, 48)


def test_views_of_cameras_at_a_distance_are_understood(seen) -> None:
    grid = seen[0][1:2] * 1.0
    away = 2.2
    views = render_views(torch.from_numpy(grid), camera_distance=away)
    assert overlap(views[:, :, 0].numpy(), seen[1][1:2, :, 0].numpy()) < 0.97
    settings = replace(FEW, iterations=30)
    right = reconstruct(views, seen[2][1:2], settings=replace(settings, camera_distance=away))[0].numpy()
    wrong = reconstruct(views, seen[2][1:2], settings=settings)[0].numpy()
    assert overlap(right, grid[0]) > 0.96
    assert overlap(right, grid[0]) > overlap(wrong, grid[0]) + 0.02


def test_views_alone_are_enough(seen) -> None:
    grids, views, _ = seen
    result = reconstruct(views[1:], None, settings=replace(FEW, iterations=30)).numpy()
    for true, one in zip(grids[1:], result):
        assert overlap(true, one) > 0.95
    ball = reconstruct(views[2:], None, init="sphere", settings=replace(FEW, learning_rate=0.03, nodes=24))[0].numpy()
    assert ball[24, 24, 24] > 0


def test_views_that_no_body_shows_are_refused_without_a_mask(seen) -> None:
    blank = torch.zeros_like(seen[1][:1])
    blank[:, :, 0] = -0.25
    with pytest.raises(CytoCascadeError, match="no body lies within all views of cells \\[0\\]"):
        reconstruct(blank, None, settings=FEW)
