import numpy as np
import pytest
import torch

from cytocascade.shapes.bank import canonical_grid
from cytocascade.shapes.solids import (
    Roughness,
    blob_solid,
    deformed,
    draw_blob,
    draw_deformation,
    fit_roughness,
    voxel_solid,
)


def ball_mask(size=32, radius=11.0):
    z, y, x = np.indices((size,) * 3) - (size - 1) / 2
    return np.sqrt(z**2 + y**2 + x**2) < radius


def volume(solid, size=48):
    return float((solid(canonical_grid(size)) > 0).sum()) * (2 / (size - 1)) ** 3


def test_a_voxel_solid_has_the_volume_of_its_voxels():
    mask = ball_mask()
    assert volume(voxel_solid(mask)) == pytest.approx(mask.mean() * 8, rel=0.04)


def test_a_blob_without_roughness_is_an_ellipsoid():
    params = draw_blob(np.random.default_rng(0), Roughness(0.0, 0.5))
    expected = 4 / 3 * np.pi * 0.8**3 * np.prod(params["axes"])
    assert volume(blob_solid(params), 64) == pytest.approx(expected, rel=0.03)


def test_blobs_are_closed_and_differ():
    solids = [blob_solid(draw_blob(np.random.default_rng(seed), Roughness(0.07, 0.3))) for seed in range(3)]
    values = [solid(canonical_grid(24) * 1.6) for solid in solids]
    assert all(bool((value[[0, -1]] < 0).all()) for value in values)
    assert len({float(value.sum()) for value in values}) == 3


def test_a_quarter_turn_moves_what_lay_on_x_to_y():
    params = {**draw_deformation(np.random.default_rng(0), strength=0.0), "turn": np.pi / 2, "mirror": False}
    moved = deformed(lambda points: 0.2 - (points - torch.tensor([0.5, 0.0, 0.0])).norm(dim=-1), params)
    assert float(moved(torch.tensor([0.0, 0.5, 0.0]))) == pytest.approx(0.2, abs=1e-5)


def test_a_deformation_without_strength_keeps_the_volume():
    solid = voxel_solid(ball_mask())
    moved = deformed(solid, draw_deformation(np.random.default_rng(3), strength=0.0))
    assert volume(moved) == pytest.approx(volume(solid), rel=0.01)


def test_deformations_are_mild():
    solid = voxel_solid(ball_mask())
    volumes = [volume(deformed(solid, draw_deformation(np.random.default_rng(seed)))) for seed in range(6)]
    assert np.ptp(volumes) > 0
    assert np.abs(np.log(np.array(volumes) / volume(solid))).max() < 0.7


def test_the_fitted_roughness_grows_with_that_of_the_shapes():
    def masks(amplitude):
        grid = canonical_grid(40)
        blobs = [draw_blob(np.random.default_rng(seed), Roughness(amplitude, 0.5)) for seed in range(5)]
        return [(blob_solid({**blob, "axes": [0.9, 0.9, 0.8]})(grid) > 0).numpy() for blob in blobs]

    smooth, rough = fit_roughness(masks(0.02)), fit_roughness(masks(0.12))
    assert rough.amplitude > 2 * smooth.amplitude
    assert 0.02 < rough.amplitude < 0.25
