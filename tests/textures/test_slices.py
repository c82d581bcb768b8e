from __future__ import annotations

import numpy as np
import pytest
import torch

from cytocascade.cascade import Cascade
from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import CROP_SIZE, signed_distance
from cytocascade.textures.axial_noise import AxialNoise
from cytocascade.textures.model import fade
from cytocascade.textures.slices import SMALLEST_RADIUS, edge_profile, painted_distance, sample_slice_textures
from cytocascade.types import FloatArray

Y, X = np.mgrid[:CROP_SIZE, :CROP_SIZE] - (CROP_SIZE - 1) / 2
HEIGHTS = np.linspace(-3.9, 3.9, 14)


def ball(radius: float = 18.0, half: float = 4.0) -> FloatArray:
    """Slices of a ball of `radius` pixels, from cap to cap."""
    radii = radius * np.sqrt(1 - (HEIGHTS / half) ** 2)
    return np.stack([signed_distance(np.hypot(Y, X) <= r, (1.0, 1.0)) for r in radii])


def paint(
    model: Denoiser,
    noise: AxialNoise,
    distance: FloatArray,
    seeds: list[int],
    *,
    contrast: float = 1.0,
    workers: int = 1,
) -> FloatArray:
    cells = len(seeds)
    return sample_slice_textures(
        model,
        np.tile(distance, (cells, 1, 1)),
        np.tile(HEIGHTS[: len(distance)], cells),
        np.repeat(np.arange(cells), len(distance)),
        np.zeros((cells, 2), np.float32),
        seeds,
        noise=noise,
        modality="fluorescence",
        steps=3,
        contrast=contrast,
        workers=workers,
    )


@pytest.fixture(scope="module")
def network() -> Denoiser:
    """Return a tiny network that has learned nothing."""
    config = DenoiserConfig(
        size=CROP_SIZE,
        condition_channels=1,
        scalars=2,
        widths=(8, 16),
        stem_width=4,
        groups=4,
        layers=1,
        attention=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Denoiser(config).to(memory_format=torch.channels_last).eval()


@pytest.fixture(scope="module")
def painted(nuclei: Cascade) -> FloatArray:
    return paint(nuclei.bundle.textures, AxialNoise(length=1.5), ball(), [1])


def test_mean_of_a_cell_is_one(painted: FloatArray, nuclei: Cascade) -> None:
    assert painted.shape == (len(HEIGHTS), CROP_SIZE, CROP_SIZE)
    assert painted.dtype == np.float32
    assert painted[ball() > 0].mean() == pytest.approx(1, abs=1e-4)
    strong = paint(nuclei.bundle.textures, AxialNoise(length=1.5), ball(), [1], contrast=1.4)
    assert strong[ball() > 0].mean() == pytest.approx(1, abs=1e-4)
    deep = ball() > 5
    assert strong[deep].std() > 1.2 * painted[deep].std()


def test_slices_do_not_flicker_and_caps_join(painted: FloatArray) -> None:
    distance = ball()
    profile = edge_profile(painted, distance)
    expected = np.interp(distance, np.arange(-12, 9), profile)
    inside = distance > 0
    level = (painted * inside).sum(axis=(1, 2)) / (expected * inside).sum(axis=(1, 2))
    assert level[1:-1] == pytest.approx(np.ones(len(level) - 2), abs=0.1)
    assert level[[0, -1]] == pytest.approx(np.ones(2), abs=0.2)


def test_no_light_far_outside_the_true_outline(painted: FloatArray) -> None:
    distance = ball()
    outside = (painted * fade(distance))[distance < -6]
    assert abs(outside.mean()) < 0.05
    assert outside.max() < 0.3


def test_caps_are_painted_larger_but_large_slices_as_they_are() -> None:
    distance = ball()
    shown = painted_distance(distance, np.zeros(len(distance), dtype=int))
    radius = distance.max(axis=(1, 2))
    assert radius.min() < SMALLEST_RADIUS - 1
    assert shown.max(axis=(1, 2)) == pytest.approx(np.maximum(radius, SMALLEST_RADIUS), abs=1e-4)
    assert np.array_equal(shown[radius > SMALLEST_RADIUS], distance[radius > SMALLEST_RADIUS])


def test_small_cells_are_not_blown_up() -> None:
    distance = ball(radius=5.0)
    shown = painted_distance(distance, np.zeros(len(distance), dtype=int))
    assert shown.max() == distance.max()
    both = painted_distance(np.concatenate([ball(), distance]), np.repeat([0, 1], len(distance)))
    assert np.array_equal(both[len(distance) :], shown)


def test_edge_profile_is_the_mean_light_by_distance() -> None:
    distance = ball()
    profile = edge_profile(np.clip(0.5 + distance / 8, 0, 1).astype(np.float32), distance)
    nodes = np.arange(-12, 9)
    assert profile == pytest.approx(np.clip(0.5 + nodes / 8, 0, 1), abs=0.07)


def test_empty_slices_are_dark(nuclei: Cascade) -> None:
    distance = ball()[:6]
    distance[0] = distance[0] - distance[0].max() - 9.0
    signal = paint(nuclei.bundle.textures, AxialNoise(length=1.5), distance, [1])
    assert np.isfinite(signal).all()
    assert np.abs(signal[0]).max() < 0.2
    assert signal[5][distance[5] > 0].mean() > 0.8


def test_near_slices_are_more_alike_than_far_ones(nuclei: Cascade) -> None:
    distance = np.repeat(ball()[7:8], 7, axis=0)
    inside = distance[0] > 3
    noises = AxialNoise(length=1), AxialNoise(rho=1)
    decaying, shared = (np.corrcoef(paint(nuclei.bundle.textures, noise, distance, [1])[:, inside]) for noise in noises)
    near, far = (np.diag(decaying, offset).mean() for offset in (1, 6))
    assert near > 0.8
    assert far < near - 0.25
    assert abs(np.diag(shared, 1).mean() - np.diag(shared, 6).mean()) < 0.15


def test_painting_is_repeatable_whatever_the_workers(network: Denoiser) -> None:
    noise = AxialNoise(length=1.5)
    one, two = (paint(network, noise, ball(), [1, 2], workers=workers) for workers in (1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one[: len(HEIGHTS)], one[len(HEIGHTS) :])


def test_wishes_of_the_right_cell_are_used(network: Denoiser) -> None:
    def paint_phase(cell: list[int], texture: list[list[float]]) -> FloatArray:
        return sample_slice_textures(
            network,
            ball()[6:8],
            HEIGHTS[6:8],
            np.asarray(cell),
            np.asarray(texture, dtype=np.float32),
            [1, 1],
            noise=AxialNoise(rho=1),
            modality="phase",
            steps=2,
        )

    same, other = paint_phase([1, 1], [[9, 9], [0, 0]]), paint_phase([1, 1], [[9, 9], [2, 0]])
    assert np.array_equal(same, paint_phase([0, 0], [[0, 0], [9, 9]]))
    assert not np.array_equal(same, other)
    # Phase contrast is left as it comes, so nothing makes its mean 1.
    assert abs(same[ball()[6:8] > 0].mean() - 1) > 0.02


def test_what_does_not_belong_together_is_refused(network: Denoiser) -> None:
    with pytest.raises(CytoCascadeError, match="2 masks for 3 slices"):
        sample_slice_textures(
            network,
            ball()[:2],
            HEIGHTS[:3],
            np.zeros(3, dtype=int),
            np.zeros((1, 2), np.float32),
            [1],
            noise=AxialNoise(rho=1),
            modality="fluorescence",
        )
