from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.images.cells import signed_distance
from cytocascade.images.edges import EDGE_CENTRES, edge_profile, typical_profile


def disc(centre: tuple[int, int], radius: float, shape: tuple[int, int] = (90, 120)) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def profile_of(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    (profile, *_) = edge_profile(image, labels, np.full(labels.shape, 10, dtype=np.float32), 1.0)
    return profile


def test_sharp_cell_has_a_step_at_its_outline() -> None:
    mask = disc((45, 60), 20)
    profile = profile_of(10.0 + 100 * mask, mask.astype(np.uint16))
    assert profile[EDGE_CENTRES > 0] == pytest.approx(1.0)
    assert profile[EDGE_CENTRES < 0] == pytest.approx(0.0)


def test_linear_fall_is_measured_at_its_distances() -> None:
    mask = disc((45, 60), 20)
    fall = np.clip(0.5 + signed_distance(mask, (1.0, 1.0)) / 12, 0, 1)
    profile = profile_of(10.0 + 100 * fall, mask.astype(np.uint16))
    mean = fall[mask].mean()
    assert profile * mean == pytest.approx(np.clip(0.5 + EDGE_CENTRES / 12, 0, 1), abs=0.04)


def test_blur_lowers_the_inside_and_lifts_the_outside() -> None:
    mask = disc((45, 60), 20)
    sharp = profile_of(10.0 + 100 * mask, mask.astype(np.uint16))
    soft = profile_of(10.0 + 100 * ndi.gaussian_filter(mask.astype(float), 1.5), mask.astype(np.uint16))
    assert soft[8] < sharp[8]
    assert soft[7] > sharp[7]


def test_cells_cut_by_the_frame_and_dim_cells_do_not_count() -> None:
    labels = (disc((45, 0), 20) * 1 + disc((45, 80), 20) * 2).astype(np.uint16)
    found = edge_profile(np.where(labels == 1, 200.0, 11.0), labels, np.full(labels.shape, 10.0, np.float32), 1.0)
    assert found.shape == (0, len(EDGE_CENTRES))


def test_pixels_near_another_cell_are_left_out() -> None:
    alone = disc((45, 40), 18)
    both = alone.astype(np.uint16) + 2 * disc((45, 78), 18).astype(np.uint16)
    profile = profile_of(10.0 + 100 * (both > 0), both)
    assert profile[EDGE_CENTRES < 0] == pytest.approx(0.0)


def test_typical_profile_is_a_median_of_at_least_five_cells() -> None:
    profiles = np.tile(np.linspace(0, 1, len(EDGE_CENTRES)), (6, 1))
    profiles[0] = -50.0
    profiles[:2, 3] = np.nan
    typical = typical_profile(profiles)
    assert np.isnan(typical[3])
    assert np.delete(typical, 3) == pytest.approx(np.delete(profiles[5], 3))
