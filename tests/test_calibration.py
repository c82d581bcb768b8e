from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from _phase import as_phase
from scipy import ndimage as ndi

from cytocascade.bundle import BundleConfig
from cytocascade.calibration import calibrate, fields
from cytocascade.calibration.light import falling_outwards, phase_contrast, usual_pixel
from cytocascade.calibration.noise import fine_structure, grain_strength
from cytocascade.cascade import Cascade
from cytocascade.images.edges import EDGE_CENTRES
from cytocascade.images.grain import measure_fine_structure
from cytocascade.images.noise import high_pass_energy, structure_spread
from cytocascade.textures.spots import USUAL_SHARE
from cytocascade.types import AnnotatedImage

DrawImage = Callable[..., AnnotatedImage]


@pytest.fixture
def labels() -> np.ndarray:
    found = np.zeros((60, 60), dtype=np.uint16)
    found[5:30, 5:30] = 1
    found[32:56, 10:50] = 4
    found[58:60, 58:60] = 5
    return found


def test_light_outside_never_grows_again_with_the_distance() -> None:
    factor = np.array([1.0, 1.05, 0.6, 0.7, 0.62, 0.6, 0.7, 0.9, 1.1, 0.9, 1.2, 1.0, 1.0, 1.0])
    found = falling_outwards(factor)
    outside = EDGE_CENTRES < 0
    assert (np.diff(found[outside]) >= 0).all()
    assert found[0] == found[2] == 0.6
    assert np.array_equal(found[~outside], factor[~outside])
    assert (found <= factor).all()


def test_energy_of_white_noise_is_its_variance(labels: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(100, 3, (60, 60))
    energy = high_pass_energy(noise, labels, np.asarray([1, 4]))
    # The kernel's squares sum to one.
    assert energy == pytest.approx([9, 9], rel=0.2)


def test_energy_of_a_plane_is_nought(labels: np.ndarray) -> None:
    y, x = np.mgrid[:60, :60]
    assert high_pass_energy(3.0 * y + 2 * x, labels, np.asarray([1, 4])) == pytest.approx([0, 0], abs=1e-6)


def test_outline_does_not_count(labels: np.ndarray) -> None:
    assert high_pass_energy(1000.0 * (labels > 0), labels, np.asarray([1, 4])) == pytest.approx([0, 0], abs=1e-3)


def test_cell_without_an_inside_has_no_energy(labels: np.ndarray) -> None:
    energy = high_pass_energy(np.ones((60, 60)), labels, np.asarray([1, 5, 9]))
    assert np.isnan(energy).tolist() == [False, True, True]


def calibrated(
    nuclei: Cascade, image: AnnotatedImage, monkeypatch: pytest.MonkeyPatch
) -> tuple[BundleConfig, list[str]]:
    monkeypatch.setattr(fields, "WANTED_CELLS", 1)
    monkeypatch.setattr(fields, "MOST_FIELDS", 1)
    small = nuclei.bundle.config.model_copy(update={"shape": (160, 160)})
    stages: list[str] = []
    config = calibrate(
        replace(nuclei.bundle, config=small), [image], seed=0, progress=lambda stage, *_: stages.append(stage)
    )
    untouched = {
        "noise_share", "grain", "texture_contrast", "outline_roughness", "solidity_shift", "edge_factor", "rim",
        "grain_spread", "background_noise", "background_texture", "photon_gain",
    }  # fmt: skip
    assert config.model_dump(exclude=untouched) == small.model_dump(exclude=untouched)
    return config, stages


def test_noisier_and_more_contrasted_cells_are_followed(nuclei: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = next(nuclei.generate(1, seed=5, size=(160, 160), cells=8, mask_steps=4, texture_steps=4))
    plain = AnnotatedImage(sample.image, sample.labels, sample.spacing, "x")
    config, stages = calibrated(nuclei, plain, monkeypatch)
    assert 0.7 <= config.texture_contrast <= 1.4
    assert 0.5 <= config.background_noise <= 2
    assert 0 <= config.photon_gain <= 1
    assert set(stages) == {"calibration"}
    rng = np.random.default_rng(0)
    inside = sample.labels > 0
    stripes = 1 + 0.5 * inside * np.where(np.arange(160) // 6 % 2, 1, -1)
    rough = sample.image * stripes + rng.normal(0, 60, sample.image.shape) * inside
    dirty = replace(plain, image=np.clip(rough, 0, 65535).astype(np.uint16))
    rougher, _ = calibrated(nuclei, dirty, monkeypatch)
    assert added(rougher) > added(config)
    assert rougher.texture_contrast > config.texture_contrast
    assert rougher == calibrated(nuclei, dirty, monkeypatch)[0]


def added(config: BundleConfig) -> float:
    """Return roughly how much fine variance is added inside cells."""
    return config.noise_share + 1000 * grain_strength(config) ** 2


def test_noisier_background_is_followed(nuclei: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = next(nuclei.generate(1, seed=5, size=(160, 160), cells=4, mask_steps=4, texture_steps=4))
    noise = np.random.default_rng(0).normal(0, 8, sample.image.shape)
    plain = AnnotatedImage(sample.image, sample.labels, sample.spacing, "x")
    loud = replace(plain, image=np.clip(sample.image + noise, 0, 65535).astype(np.uint16))
    quiet, louder = (calibrated(nuclei, image, monkeypatch)[0].background_noise for image in (plain, loud))
    assert quiet == pytest.approx(1, abs=0.25)
    assert louder > 1.3 * quiet


def test_dark_spots_of_the_real_cells_are_counted_if_wished(
    nuclei: Cascade, draw_image: DrawImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fields, "WANTED_CELLS", 1)
    monkeypatch.setattr(fields, "MOST_FIELDS", 1)
    plain = draw_image(0)
    numbers = range(1, int(plain.labels.max()) + 1, 2)
    middles = np.rint(ndi.center_of_mass(plain.labels > 0, plain.labels, numbers)).astype(int)
    dark = np.zeros(plain.labels.shape, dtype=bool)
    dark[tuple(middles.T)] = True
    level = np.median(plain.image[plain.labels == 0])
    holed = np.where(ndi.binary_dilation(dark, iterations=2), level, plain.image).astype(plain.image.dtype)
    bundle = replace(nuclei.bundle, config=nuclei.bundle.config.model_copy(update={"shape": (160, 160)}))

    def share(image: AnnotatedImage, *, spots: bool = True) -> float | None:
        return calibrate(bundle, [image], seed=0, progress=lambda *_: None, spots=spots).dark_spots

    few, many = share(plain), share(replace(plain, image=holed))
    assert few is not None
    assert many is not None
    assert few < USUAL_SHARE < 0.05 < many
    assert share(plain, spots=False) is None


def test_phase_contrast_gets_no_grain(nuclei: Cascade) -> None:
    phase = as_phase(nuclei.bundle, crop_spacing=2.0 * nuclei.bundle.config.spacing[0])
    image = next(nuclei.generate(1, seed=5, size=(96, 96), cells=3, mask_steps=4, texture_steps=2))
    real = measure_fine_structure(image.image, image.labels, np.zeros(image.image.shape, dtype=np.float32))
    found = fine_structure(phase, real, [])
    assert found["noise_share"] == 0.75
    assert not len(found["grain"])


def test_phase_contrast_is_measured_image_by_image(nuclei: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of twice the contrast have twice the gain, and ask for no more contrast of the textures."""
    labels = np.zeros((80, 240), dtype=np.uint16)
    for number in range(3):
        labels[20:60, 80 * number + 20 : 80 * number + 60] = number + 1
    coarse = ndi.gaussian_filter(np.random.default_rng(0).standard_normal(labels.shape), 4.0)
    light = 20.0 * coarse / coarse.std()
    background = np.zeros(labels.shape, dtype=np.float32)
    monkeypatch.setattr("cytocascade.calibration.light.clean_field", lambda *_: None)
    monkeypatch.setattr("cytocascade.calibration.light.picture", lambda *_: (light, labels, background))
    record = nuclei.bundle.imaging.records[0]
    imaging = nuclei.bundle.imaging.model_copy(
        update={"records": [record.model_copy(update={"gain": gain}) for gain in (50.0, 100.0, 100.0)]}
    )
    bundle = replace(nuclei.bundle, imaging=imaging)
    field = ({"background": {"gain": 50.0}}, SimpleNamespace(placed=[0, 1, 2]))

    def factor(brighter: float) -> float:
        real = [
            structure_spread(
                brighter * gain / 50 * light, labels, background, np.arange(1, 4), smoothing=usual_pixel(bundle)
            )
            for gain in (50.0, 100.0, 100.0)
        ]
        return phase_contrast(bundle, real, [field], usual_pixel(bundle))

    assert factor(1.0) == pytest.approx(1.0, abs=0.02)
    assert factor(1.2) == pytest.approx(1.2, abs=0.03)


def test_detail_that_the_crop_cannot_hold_asks_for_no_contrast() -> None:
    labels = np.ones((80, 80), dtype=np.uint16)
    rng, background = np.random.default_rng(1), np.zeros((80, 80), dtype=np.float32)
    coarse, fine = ndi.gaussian_filter(rng.standard_normal((80, 80)), 6.0), rng.standard_normal((80, 80))
    coarse, fine = coarse / coarse.std(), fine / fine.std()
    plain, smoothed = (
        [structure_spread(each, labels, background, np.array([1]), smoothing=s)[0] for each in (coarse, coarse + fine)]
        for s in (0.0, 2.5)
    )
    assert plain[1] > 1.3 * plain[0]
    assert smoothed[1] < 1.05 * smoothed[0]
