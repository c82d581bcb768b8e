from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from cytocascade.cascade import Cascade
from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.images.cells import CROP_MARGIN, CROP_SIZE, Modality, SingleCells, signed_distance
from cytocascade.textures.model import (
    CALM,
    RIM,
    calm_rim,
    condition_image,
    fade,
    from_network,
    grain,
    rows_differ_from_columns,
    sample_textures,
    texture_batches,
    to_network,
    with_contrast,
)
from cytocascade.types import FloatArray

SIDE = CROP_SIZE + 2 * CROP_MARGIN
MODALITIES: tuple[Modality, ...] = get_args(Modality)


def discs(*radii: float, side: int = CROP_SIZE) -> FloatArray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.stack([signed_distance(y**2 + x**2 <= radius**2, (1.0, 1.0)) for radius in radii])


@pytest.fixture
def network() -> Denoiser:
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


@pytest.fixture
def cells() -> SingleCells:
    distance = discs(12, 14, 16, 18, side=SIDE)
    grain = np.random.default_rng(0).normal(0, 0.1, distance.shape)
    signal = ((distance > 0) * (1 + grain)).astype(np.float32)
    return SingleCells(
        signal=signal,
        distance=distance,
        known=np.ones(distance.shape, dtype=bool),
        level=np.full(4, 100, np.float32),
        image=np.zeros(4, dtype=int),
        zoom=np.ones(4, np.float32),
        features={},
        crop_spacing=1.0,
        modality="fluorescence",
        calibration=(),
        excluded={},
    )


@pytest.mark.parametrize("modality", MODALITIES)
def test_network_range_inverts(modality: Modality) -> None:
    signal = torch.linspace(-1.5, 3.5, 50)
    assert torch.allclose(from_network(to_network(signal, modality), modality), signal, atol=1e-5)


@pytest.mark.parametrize("modality", MODALITIES)
def test_extreme_values_are_limited_both_ways(modality: Modality) -> None:
    signal = torch.tensor([-99.0, 99.0])
    limited = from_network(to_network(signal, modality), modality)
    assert torch.allclose(limited, from_network(signal, modality))
    assert -3.1 < float(limited[0]) < 0 < 3 < float(limited[1]) < 4.6


def test_background_and_mean_are_centred_for_the_network() -> None:
    assert to_network(torch.tensor([0.0, 1.0]), "fluorescence").tolist() == [-0.75, 0.75]
    assert float(to_network(torch.tensor(0.0), "phase")) == 0


def test_condition_is_limited_to_one() -> None:
    assert condition_image(torch.tensor([-99.0, -4.0, 0.0, 4.0, 99.0])).tolist() == [-1, -0.5, 0, 0.5, 1]


def test_fade_is_one_inside_and_nought_beyond_the_rim() -> None:
    distance = np.linspace(-20, 20, 401, dtype=np.float32)
    weight = fade(distance)
    assert weight.dtype == np.float32
    assert (weight[distance >= -1] == 1).all()
    assert (weight[distance <= -RIM] == 0).all()
    assert (np.diff(weight) >= 0).all()
    assert np.diff(weight).max() < 0.1


def test_shipped_textures_have_unit_mean_and_end_at_the_rim(nuclei: Cascade) -> None:
    distance, wishes = discs(10, 16, 22), np.zeros((3, 2), np.float32)
    signal = sample_textures(nuclei.bundle.textures, distance, wishes, range(3), modality="fluorescence", steps=4)
    assert signal.shape == distance.shape
    assert signal.dtype == np.float32
    for values, outline in zip(signal, distance):
        assert values[outline > 0].mean() == pytest.approx(1, abs=1e-4)
        assert values[outline > 0].std() > 0.02
        assert abs(values[outline < -6].mean()) < 0.2
        assert not (values * fade(outline))[outline <= -RIM].any()


def test_unit_mean_is_kept_by_any_contrast() -> None:
    distance = discs(10, 20)
    signal = 1 + np.random.default_rng(0).normal(0, 0.2, distance.shape).astype(np.float32)
    for contrast in (0.75, 1.0, 1.35):
        found = with_contrast(signal, distance, contrast)
        assert [values[d > 0].mean() for values, d in zip(found, distance)] == pytest.approx([1, 1], abs=1e-4)


def test_contrast_scales_the_deviations_deep_inside() -> None:
    distance = discs(24)
    signal = 1 + np.random.default_rng(0).normal(0, 0.2, distance.shape).astype(np.float32)
    deep = distance > 5
    plain, strong = (with_contrast(signal, distance, contrast)[deep].std() for contrast in (1.0, 1.3))
    assert strong / plain == pytest.approx(1.3, rel=0.02)


def test_contrast_leaves_the_rim_alone() -> None:
    distance = discs(20)
    signal = np.where(distance > 0, 1.0, 0.3).astype(np.float32)
    signal[0, 28:36, 28:36] = 2.0
    outside = distance < 0
    plain, strong = (with_contrast(signal, distance, contrast)[outside].mean() for contrast in (1.0, 1.3))
    assert strong == pytest.approx(plain, rel=0.05)


def test_phase_textures_are_not_normalised(network: Denoiser) -> None:
    distance, wishes = discs(10, 16), np.zeros((2, 2), np.float32)
    phase = sample_textures(network, distance, wishes, range(2), modality="phase", steps=2)
    assert not np.allclose(phase[0][distance[0] > 0].mean(), 1, atol=1e-3)


def test_temperature_scales_the_noise_that_textures_start_from(
    network: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[torch.Tensor] = []

    def painted(
        model: object, noise: torch.Tensor, distance: FloatArray, *rest: object, **wishes: object
    ) -> FloatArray:
        started.append(noise)
        return np.zeros_like(distance)

    monkeypatch.setattr("cytocascade.textures.model.painted", painted)
    mask, wish = discs(12), np.zeros((1, 2), np.float32)
    for temperature in (1.0, 0.5):
        sample_textures(network, mask, wish, [1], modality="phase", temperature=temperature)
    assert torch.equal(started[1], 0.5 * started[0])
    assert started[0].std() == pytest.approx(1, abs=0.05)


def test_calm_textures_show_outlines_more_clearly() -> None:
    bundle = Cascade.from_pretrained("phase").bundle
    mask = np.repeat(discs(10, 14, 18), 2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    wish = np.zeros((len(mask), bundle.textures.config.scalars), np.float32)

    def clearness(temperature: float) -> float:
        light = sample_textures(
            bundle.textures,
            mask,
            wish,
            range(len(mask)),
            modality="phase",
            style=bundle.config.style,
            temperature=temperature,
        )
        halo, body = light[(mask > -2) & (mask < -1)], light[(mask > 2) & (mask < 3)]
        return float((halo.mean() - body.mean()) / np.hypot(halo.std(), body.std()))

    assert clearness(CALM) > 1.1 * clearness(1.0) > 0


def test_every_wish_matters(network: Denoiser) -> None:
    distance, wishes = discs(16), np.zeros((1, 2), np.float32)

    def paint(d: FloatArray = distance, w: FloatArray = wishes, seed: int = 0) -> FloatArray:
        return sample_textures(network, d, w, [seed], modality="phase", steps=2)

    assert np.array_equal(paint(), paint())
    assert not np.array_equal(paint(), paint(seed=1))
    assert not np.array_equal(paint(), paint(w=wishes + 1))
    assert not np.array_equal(paint(), paint(d=discs(12)))


def test_rim_is_calmed_and_the_inside_left_alone() -> None:
    distance = discs(16)
    signal = np.random.default_rng(0).normal(0, 0.2, distance.shape).astype(np.float32)
    calm = calm_rim(signal, distance)
    assert np.array_equal(calm[distance > 0], signal[distance > 0])
    assert calm[distance < -3].std() < 0.4 * signal[distance < -3].std()


def test_grain_is_inside_only() -> None:
    distance = discs(16)
    assert (grain(distance)[distance > 0] == 1).all()
    assert not grain(distance)[distance < -2].any()


def test_batch_is_a_pure_function_of_the_step(cells: SingleCells) -> None:
    texture = np.zeros((4, 2), np.float32)
    one, other = (texture_batches(cells, texture, None, batch=5, steps=8, seed=2) for _ in range(2))
    for step in (0, 7):
        first, second = one(step), other(step)
        assert torch.equal(first.target, second.target)
        assert torch.equal(first.weight, second.weight)
    assert not torch.equal(one(0).target, one(1).target)
    assert not torch.equal(one(0).target, texture_batches(cells, texture, None, batch=5, steps=8, seed=3)(0).target)


def test_batch_has_the_shape_that_the_network_wants(cells: SingleCells) -> None:
    batch = texture_batches(cells, np.zeros((4, 2), np.float32), [0, 1, 2, 3], batch=5, steps=8, seed=2)(0)
    assert batch.target.shape == batch.weight.shape == (5, 1, CROP_SIZE, CROP_SIZE)
    assert batch.condition.image is not None
    assert batch.condition.image.shape == batch.target.shape
    assert float(batch.condition.image.abs().max()) <= 1
    assert batch.condition.scalars is not None
    assert batch.condition.scalars.shape == (5, 2)


def test_last_quarter_moves_pixels_without_blurring_them(cells: SingleCells) -> None:
    batch_at = texture_batches(cells, np.zeros((4, 2), np.float32), [0, 1, 2, 3], batch=6, steps=8, seed=2)
    batch = batch_at(6)
    assert batch.condition.style is not None
    inner = slice(CROP_MARGIN, CROP_MARGIN + CROP_SIZE)
    for target, style in zip(batch.target, batch.condition.style):
        real = to_network(torch.as_tensor(cells.signal[style, inner, inner]), "fluorescence")
        assert torch.allclose(target.flatten().sort().values, real.flatten().sort().values, atol=1e-3)


def test_foreign_pixels_have_no_weight(cells: SingleCells) -> None:
    cells.known[:, :, : SIDE // 2 - 20] = False
    cells.signal[:, :, : SIDE // 2 - 20] = 3.0
    batch = texture_batches(cells, np.zeros((4, 2), np.float32), None, batch=8, steps=4, seed=2)(3)
    # What is foreign is neither weighed nor shown.
    assert float((batch.weight == 0).float().mean()) > 0.1
    assert float(batch.target.max()) < float(to_network(torch.tensor(2.5), "fluorescence"))


def test_pixels_far_from_the_cell_weigh_little(cells: SingleCells) -> None:
    batch = texture_batches(cells, np.zeros((4, 2), np.float32), None, batch=8, steps=4, seed=2)(3)
    values = set(np.round(batch.weight.unique().numpy(), 4).tolist())
    assert values == {0.1, 1.0} or values == {np.float32(0.1).item(), 1.0}
    assert batch.condition.image is not None
    assert (batch.weight[batch.condition.image > 0] == 1).all()


def test_grain_along_the_rows_is_noticed(cells: SingleCells) -> None:
    assert not rows_differ_from_columns(cells)
    streaked = np.asarray((cells.signal + np.roll(cells.signal, 1, axis=2)) / 2, dtype=np.float32)
    assert rows_differ_from_columns(replace(cells, signal=streaked))
