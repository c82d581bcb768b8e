"""Light that strays from the outline is moved back to it, and nothing else is."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.images.cells import signed_distance
from cytocascade.textures.alignment import aligned, strayed
from cytocascade.textures.model import Denoiser, DenoiserConfig, sample_textures


def disc(centre: tuple[float, float] = (31.5, 31.5), radius: float = 16.0, wave: float = 0.0) -> np.ndarray:
    """Signed distance of a disc whose outline waves five times around."""
    y, x = np.indices((64, 64)) - np.reshape(centre, (2, 1, 1))
    return np.asarray(radius + wave * np.sin(5 * np.arctan2(y, x)) - np.hypot(y, x), dtype=np.float32)


def light_of(distance: np.ndarray, seed: int = 0) -> np.ndarray:
    """Light that falls off over a few pixels at the outline, with texture and some haze."""
    texture = ndi.gaussian_filter(np.random.default_rng(seed).standard_normal(distance.shape), 3.0)
    inside = 1.0 + 0.1 * texture / texture.std()
    return np.asarray(0.05 + inside / (1 + np.exp(-distance / 0.8)), dtype=np.float32)


def distance_between(light: np.ndarray, distance: np.ndarray) -> float:
    """Root mean square, in pixels, of where the light is half beside where the outline is."""
    edge = np.abs(distance) < 1.0
    lit = signed_distance(ndi.gaussian_filter(light, 0.7) > 0.55, (1.0, 1.0))
    return float(np.std((lit - distance)[edge]))


@pytest.mark.parametrize("drawn", [disc((31.5, 32.8)), disc(wave=1.5)], ids=["beside", "waving"])
def test_light_comes_to_the_outline(drawn: np.ndarray) -> None:
    light = light_of(drawn)
    outline = disc()
    before, after = (distance_between(one, outline) for one in (light, aligned(light[None], outline[None])[0]))
    assert before > 0.7
    assert after < 0.5 * before


def test_light_that_fits_stays() -> None:
    outline = disc()
    light = light_of(outline)
    changed = np.abs(aligned(light[None], outline[None])[0] - light)
    assert changed.max() < 0.2
    assert changed.mean() < 0.005


def test_how_far_cells_shine_stays() -> None:
    """Labels are larger than the light, or smaller, in many data sets: the same all around is no straying."""
    light, outline = light_of(disc(radius=15.0)), disc(radius=16.0)
    assert np.abs(strayed(light, outline)).max() < 0.6
    assert abs(strayed(light, outline)[np.abs(outline) < 1].mean()) < 0.05


def test_far_from_the_outline_nothing_moves() -> None:
    outline = disc()
    light = light_of(disc(wave=1.5))
    far = np.abs(outline) > 8.0
    np.testing.assert_allclose(aligned(light[None], outline[None])[0][far], light[far], atol=1e-3)


@pytest.mark.parametrize("outline", [np.full((64, 64), -9.0), disc(radius=1.0), disc()], ids=["none", "speck", "dark"])
def test_where_light_tells_nothing_it_is_left(outline: np.ndarray) -> None:
    outline = outline.astype(np.float32)
    light = np.full((64, 64), 0.1, dtype=np.float32)
    np.testing.assert_array_equal(aligned(light[None], outline[None])[0], light)


def test_sampled_textures_are_aligned_if_wished() -> None:
    config = DenoiserConfig(
        size=64, condition_channels=1, scalars=2, widths=(8, 16), stem_width=4, groups=4, layers=1, attention=False
    )
    model = Denoiser(config)
    outline = np.stack([disc(), disc(radius=12.0)])
    wishes = np.full((2, 2), 0.2, dtype=np.float32)
    plain, moved, phase, phase_too = (
        sample_textures(model, outline, wishes, [1, 2], modality=modality, steps=1, align=align)
        for modality, align in (("fluorescence", False), ("fluorescence", True), ("phase", False), ("phase", True))
    )
    assert moved.shape == plain.shape
    np.testing.assert_array_equal(phase, phase_too)
    np.testing.assert_allclose([one[mask > 0].mean() for one, mask in zip(moved, outline)], 1.0, atol=1e-4)
