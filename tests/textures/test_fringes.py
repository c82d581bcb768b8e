"""Dark and bright fringes are moved onto outlines that were drawn beside them, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade import fitting
from cytocascade.fitting import FitOptions
from cytocascade.images.cells import Modality, SingleCells
from cytocascade.textures.fringes import usual_fringes, with_aligned_fringes

SIDE = 96
OFFSET = 0.8
"""How far outside of the bright fringe people draw, on average."""


def wavy(seed: int, wave: float) -> np.ndarray:
    """Signed distance of a disc whose outline waves."""
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    angle = np.arctan2(y, x)
    rng = np.random.default_rng(seed)
    radius = 20 + wave * sum(np.sin(k * angle + phase) for k, phase in zip((2, 3, 5), rng.uniform(0, 6.28, 3)))
    return np.asarray(radius - np.hypot(y, x), dtype=np.float32)


def fringed(distance: np.ndarray, seed: int) -> np.ndarray:
    """Light of a cell in phase contrast: bright outside, dark inside, granular."""
    texture = ndi.gaussian_filter(np.random.default_rng(seed).standard_normal(distance.shape), 1.5)
    depth = distance - OFFSET
    fringes = np.exp(-(((depth + 1.5) / 1.2) ** 2)) - 0.7 * np.exp(-(((depth - 1.5) / 1.2) ** 2))
    return np.asarray(fringes + 0.25 * texture / texture.std() * (depth > 0), dtype=np.float32)


def drawn(wave: float, count: int = 12) -> SingleCells:
    """Cells whose outlines are discs, with fringes that waver around them."""
    light = np.stack([fringed(wavy(seed, wave), seed) for seed in range(count)])
    outline = np.stack([wavy(seed, 0.0) for seed in range(count)])
    one = np.ones(count, dtype=np.float32)
    known = np.ones(light.shape, dtype=bool)
    image = np.zeros(count, dtype=int)
    return SingleCells(light, outline, known, one, image, one, {}, 1.0, "phase", (), {})


def strength(cells: SingleCells) -> float:
    """Range of the mean profile across the outlines."""
    return float(np.ptp(usual_fringes(cells.signal, cells.distance, cells.known)))


def place(cells: SingleCells) -> float:
    """Depth at which the mean profile is brightest."""
    return float(np.argmax(usual_fringes(cells.signal, cells.distance, cells.known)) / 2 - 8)


def test_fringes_come_to_the_outline() -> None:
    straight, wavering = drawn(0.0), drawn(1.2)
    aligned = with_aligned_fringes(wavering)
    assert strength(wavering) < 0.6 * strength(straight)
    assert strength(aligned) > 0.85 * strength(straight)
    assert aligned.signal.dtype == np.float32


def test_cells_stay_as_large_as_people_draw_them() -> None:
    wavering = drawn(1.2)
    assert abs(place(with_aligned_fringes(wavering)) - place(drawn(0.0))) <= 0.5


def test_fringes_that_follow_the_outline_stay() -> None:
    straight = drawn(0.0)
    moved = with_aligned_fringes(straight).signal
    assert np.abs(moved - straight.signal).mean() < 0.1 * np.abs(straight.signal).mean()


def test_far_from_the_outline_nothing_moves() -> None:
    wavering = drawn(1.2)
    far = np.abs(wavering.distance) > 11
    assert np.allclose(with_aligned_fringes(wavering).signal[far], wavering.signal[far], atol=1e-4)


def test_cells_of_another_kind_stay_as_they_are() -> None:
    cells = drawn(1.2)
    cells.signal[3] = -cells.signal[3]
    aligned = with_aligned_fringes(cells)
    assert np.array_equal(aligned.signal[3], cells.signal[3])
    assert not np.array_equal(aligned.signal[4], cells.signal[4])


@pytest.mark.parametrize("count", [0, 1])
def test_few_cells_are_no_obstacle(count: int) -> None:
    cells = drawn(1.2).select(np.arange(count))
    assert with_aligned_fringes(cells).signal.shape == cells.signal.shape


def test_light_of_neighbours_does_not_attract() -> None:
    cells = drawn(1.2)
    neighbours = np.zeros_like(cells.known)
    neighbours[:, :, : SIDE // 2] = True
    neighbours &= cells.distance < -4
    beside = replace(cells, known=~neighbours, signal=np.where(neighbours, 5.0, cells.signal).astype(np.float32))
    inside = cells.distance > 0
    moved, alone = (with_aligned_fringes(each).signal for each in (beside, cells))
    unmoved = np.abs(cells.signal - alone)[inside].mean()
    assert np.abs(moved - alone)[inside].mean() < 0.5 * unmoved


@pytest.mark.parametrize(("modality", "aligns"), [("phase", True), ("fluorescence", False)])
def test_textures_are_learned_from_aligned_fringes(
    modality: Modality, aligns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = replace(drawn(1.2), modality=modality)
    seen = []
    monkeypatch.setattr(fitting, "fit_network", lambda stage, cells, *_: seen.append(cells))
    fitting._fit_textures(cells, np.zeros((12, 6)), None, FitOptions(steps=1), None, print)
    assert np.array_equal(seen[0].signal, cells.signal) is not aligns


def test_fringes_of_finer_crops_come_to_the_outline_too() -> None:
    cells = drawn(1.2)
    finer = [np.stack([ndi.zoom(one, 2, order=1) for one in each]) for each in (cells.signal, cells.distance)]
    fine = replace(cells, signal=finer[0], distance=finer[1], known=np.ones(finer[0].shape, dtype=bool))
    aligned = with_aligned_fringes(fine)
    assert aligned.signal.shape == finer[0].shape
    blocks = aligned.signal.reshape(len(cells), SIDE, 2, SIDE, 2).mean(axis=(2, 4))
    assert strength(replace(cells, signal=blocks)) > 0.85 * strength(drawn(0.0))
