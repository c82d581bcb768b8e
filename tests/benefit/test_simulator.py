from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cytocascade.benefit.random_cells import (
    REACH,
    TextureStatistics,
    fit_texture,
    lit,
    noise_fields,
    smooth_outlines,
    star_outline,
)
from cytocascade.benefit.simulator import Simulator, filtered_textures, fit_simulator, simulate
from cytocascade.bundle import Bundle
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions
from cytocascade.images.cells import extract_cells
from cytocascade.images.descriptors import describe_shape
from cytocascade.types import AnnotatedImage

FEW = GenerationOptions(size=(96, 112), cells=5)


@pytest.mark.parametrize(
    ("area", "eccentricity", "solidity"), [(900, 0.3, 0.97), (500, 0.8, 0.93), (1200, 0.6, 0.86), (120, 0.5, 0.95)]
)
def test_outlines_have_the_wished_area_eccentricity_and_solidity(
    area: float, eccentricity: float, solidity: float
) -> None:
    found = []
    for seed in range(8):
        log_area, e, concavity = describe_shape(star_outline(seed, area, eccentricity, solidity) > 0)
        found.append([800 * np.exp(log_area / 2), 0.7 + 0.2 * e, 1.005 - 0.04 * np.exp(concavity)])
    size, round_, solid = np.median(found, axis=0)
    assert size == pytest.approx(area, rel=0.05)
    assert round_ == pytest.approx(eccentricity, abs=0.06)
    assert solid == pytest.approx(solidity, abs=0.025)


def test_outlines_are_whole_differ_and_are_signed_distances() -> None:
    shape = np.tile(np.asarray([[0.3, 0.2, 0.5]], dtype=np.float32), (3, 1))
    masks = smooth_outlines(None, [1, 2, 1], shape, style=3, steps=9, workers=2)
    assert masks.distance.shape == (3, 64, 64)
    assert masks.distance.dtype == np.float32
    assert np.array_equal(masks.distance[0], masks.distance[2])
    assert ((masks.distance[0] > 0) != (masks.distance[1] > 0)).sum() > 50
    slope = np.hypot(*np.gradient(masks.distance[0]))
    near = np.abs(masks.distance[0]) < 4
    assert np.median(slope[near]) == pytest.approx(1.0, abs=0.1)
    assert not (masks.distance[:, [0, -1]] > 0).any()


def test_a_cell_too_large_for_the_crop_is_made_smaller() -> None:
    outline = star_outline(0, 5000, 0.5, 0.95) > 0
    assert not outline[[0, -1]].any()
    assert not outline[:, [0, -1]].any()
    assert outline.sum() > 1500


def test_textures_have_the_wished_mean_and_contrast() -> None:
    outline = star_outline(1, 900, 0.5, 0.96)
    usual = TextureStatistics.usual("fluorescence")
    field = noise_fields(usual, 3, np.ones((1, 1)))[0]
    for contrast in (-0.3, 0.0, 0.3):
        signal = lit(usual, outline, field, np.asarray([0.0, contrast]), "fluorescence")
        inside = signal[outline > 0]
        assert inside.mean() == pytest.approx(1.0, abs=1e-4)
        assert inside.std() == pytest.approx(0.3 * np.exp(contrast), rel=0.1)
        assert inside.min() > 0
    assert np.abs(signal[outline < -6]).max() < 0.05


def test_cells_in_phase_contrast_have_the_wished_mean_and_spread_and_a_halo() -> None:
    outline = star_outline(1, 1200, 0.5, 0.96)
    usual = TextureStatistics.usual("phase")
    field = noise_fields(usual, 3, np.ones((1, 1)))[0]
    signal = lit(usual, outline, field, np.asarray([-0.4, 0.2]), "phase")
    assert signal[outline > 1].mean() == pytest.approx(-0.4, abs=0.15)
    assert signal[outline > 0].std() == pytest.approx(0.5 * np.exp(0.2), rel=0.2)
    assert signal[(outline < -1.5) & (outline > -2.5)].mean() > 0.3


def test_noise_has_the_measured_correlation_and_slices_are_as_alike_as_wished() -> None:
    usual = TextureStatistics.usual("fluorescence")
    alike = np.asarray([[1.0, 0.0], [0.8, 0.6]])
    fields = np.stack([noise_fields(usual, seed, alike) for seed in range(40)])
    assert fields.std() == pytest.approx(1.0, abs=0.1)
    for lag in (1, 4):
        found = (fields[..., lag:] * fields[..., :-lag]).mean() / (fields**2).mean()
        assert found == pytest.approx(usual.correlation[lag], abs=0.08)
    assert (fields[:, 0] * fields[:, 1]).mean() == pytest.approx(0.8, abs=0.08)


def test_profile_and_correlation_are_those_of_the_real_cells(drawn_images: list[AnnotatedImage]) -> None:
    texture = fit_texture(extract_cells(drawn_images))
    profile = np.asarray(texture.profile)
    # Drawn discs with an edge blurred over 0.8 pixels: half the light at the outline, none outside, flat inside.
    assert profile[:6].max() < 0.1
    assert profile[12:].min() > 0.9
    assert 0.2 < profile[9] < 0.9
    assert texture.correlation[0] == 1.0
    # Their grain was smoothed with a Gaussian of 2 pixels: exp(-d^2 / 16).
    scale = extract_cells(drawn_images).crop_spacing / 0.5
    expected = np.exp(-((np.arange(1, 4) * scale) ** 2) / 16)
    assert np.abs(np.asarray(texture.correlation[1:4]) - expected).max() < 0.25
    assert len(texture.correlation) == REACH + 1


def test_filtered_textures_stand_in_for_sampled_ones() -> None:
    outlines = smooth_outlines(None, [1, 2], np.zeros((2, 3), dtype=np.float32)).distance
    texture = np.zeros((2, 2), dtype=np.float32)
    usual = TextureStatistics.usual("fluorescence")

    def painted(contrast: float) -> np.ndarray:
        return filtered_textures(
            None, outlines, texture, [5, 6], statistics=usual, modality="fluorescence", contrast=contrast, style=2
        )

    one = painted(1.0)
    assert one.shape == (2, 64, 64)
    assert not np.array_equal(one[0], one[1])
    deep = outlines > 5
    assert painted(1.3)[deep].std() > 1.15 * one[deep].std()
    assert len(filtered_textures(None, outlines[:0], texture[:0], [], statistics=usual, modality="fluorescence")) == 0


def test_same_seed_and_index_give_the_same_bytes(nuclei: Cascade) -> None:
    one, again = (simulate(nuclei.bundle, 2, seed=1, options=FEW) for _ in range(2))
    assert one.image.tobytes() == again.image.tobytes()
    others = {simulate(nuclei.bundle, i, seed=s, options=FEW).image.tobytes() for i, s in ((1, 1), (2, 2))}
    assert len({*others, one.image.tobytes()}) == 3


def test_images_are_like_those_of_the_bundle(nuclei: Cascade) -> None:
    made = simulate(nuclei.bundle, 0, seed=3, options=FEW)
    sample = nuclei.sample(0, seed=3, options=FEW.model_copy(update={"mask_steps": 4, "texture_steps": 3}))
    assert made.image.shape == made.labels.shape == (96, 112)
    assert made.image.dtype == sample.image.dtype
    assert made.spacing == sample.spacing
    assert made.labels.max() == sample.labels.max()
    # Population, brightness and background are drawn from the same seed.
    assert np.median(made.image[made.labels == 0]) == pytest.approx(
        np.median(sample.image[sample.labels == 0]), rel=0.05
    )
    assert made.image[made.labels > 0].mean() == pytest.approx(sample.image[sample.labels > 0].mean(), rel=0.3)


def test_dark_spots_are_not_the_simulators(nuclei: Cascade) -> None:
    config = nuclei.bundle.config.model_copy(update={"dark_spots": 1.0})
    usual, spotted = (
        simulate(bundle, 0, seed=1, options=FEW) for bundle in (nuclei.bundle, replace(nuclei.bundle, config=config))
    )
    np.testing.assert_array_equal(usual.image, spotted.image)


def test_no_network_is_asked(nuclei: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr(torch.nn.Module, "__call__", refuse)
    assert simulate(nuclei.bundle, 0, seed=1, options=FEW).labels.any()


def test_fitting_brings_edges_and_contrast_of_the_real_cells(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cytocascade.benefit.simulator.WANTED_CELLS", 4)
    monkeypatch.setattr("cytocascade.benefit.simulator.MOST_FIELDS", 1)
    config = nuclei.bundle.config.model_copy(
        update={"spacing": (0.5, 0.5), "crop_spacing": 0.5, "shape": (96, 96), "spacing_known": True}
    )
    bundle = replace(nuclei.bundle, config=config)
    made = fit_simulator(bundle, drawn_images, seed=1)
    assert made.texture != TextureStatistics.usual("fluorescence")
    assert len(made.bundle.config.edge_factor) == 14
    # The drawn cells are sharp: their light ends at once.
    assert made.bundle.config.rim < 9.0
    assert made.bundle.config.shape == (96, 96)
    again = fit_simulator(bundle, drawn_images, seed=1)
    assert (again.texture, again.bundle.config) == (made.texture, made.bundle.config)
    assert simulate(made, 0, seed=1).image.tobytes() == simulate(again, 0, seed=1).image.tobytes()


def test_volumes_are_simulated_too(tiny_volumes: Bundle) -> None:
    options = GenerationOptions(size=(14, 64, 64), cells=3)
    one, again = (simulate(tiny_volumes, 0, seed=1, options=options) for _ in range(2))
    assert one.image.shape == one.labels.shape == (14, 64, 64)
    assert one.spacing == tiny_volumes.config.spacing
    assert one.labels.any()
    assert one.image.tobytes() == again.image.tobytes()
    assert one.image[one.labels > 0].mean() > one.image[one.labels == 0].mean()


def test_wishes_that_only_networks_grant_are_refused(tiny_volumes: Bundle) -> None:
    with pytest.raises(CytoCascadeError, match="axial ratios"):
        simulate(tiny_volumes, 0, seed=1, options=GenerationOptions(axial_ratio=0.5))


def test_without_images_the_textures_are_the_usual_ones(nuclei: Cascade) -> None:
    assert Simulator.of(nuclei.bundle).texture == TextureStatistics.usual("fluorescence")
