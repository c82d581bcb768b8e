from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import regionprops

from cytocascade.images.cells import signed_distance
from cytocascade.masks.adjustment import adjust_mask


def ellipse(major: float, minor: float, angle: float) -> np.ndarray:
    y, x = np.mgrid[:64, :64] - 31.5
    u, v = y * np.cos(angle) + x * np.sin(angle), -y * np.sin(angle) + x * np.cos(angle)
    return signed_distance((u / major) ** 2 + (v / minor) ** 2 < 1, (1.0, 1.0))


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2, 2.4])
def test_wished_area_and_eccentricity_are_met(angle: float) -> None:
    adjusted = adjust_mask(ellipse(18, 13, angle), 850.0, 0.8)
    region = regionprops((adjusted > 0).astype(np.uint8))[0]
    assert region.area == pytest.approx(850, rel=0.03)
    assert region.eccentricity == pytest.approx(0.8, abs=0.02)


def test_what_fits_already_hardly_changes() -> None:
    distance = ellipse(18, 13, 0.5)
    region = regionprops((distance > 0).astype(np.uint8))[0]
    adjusted = adjust_mask(distance, region.area, region.eccentricity)
    assert ((adjusted > 0) != (distance > 0)).mean() < 0.005


def test_stretch_is_limited() -> None:
    area = (adjust_mask(ellipse(12, 12, 0.0), 4000.0, 0.0) > 0).sum()
    assert area == pytest.approx(np.pi * 12**2 * 1.44, rel=0.05)


def test_mask_that_would_leave_the_crop_stays() -> None:
    distance = ellipse(30, 20, 0.0)
    assert np.array_equal(adjust_mask(distance, 2600.0, 0.74), distance)


def test_finer_samples_are_stretched_to_the_same_size() -> None:
    y, x = (np.mgrid[:128, :128] - 63.5) / 2
    fine = signed_distance((y / 18) ** 2 + (x / 13) ** 2 < 1, (0.5, 0.5))
    adjusted = adjust_mask(fine, 850.0, 0.8)
    region = regionprops((adjusted > 0).astype(np.uint8))[0]
    assert region.area / 4 == pytest.approx(850, rel=0.02)
    assert region.eccentricity == pytest.approx(0.8, abs=0.02)
    # Still in canonical pixels.
    assert adjusted.max() == pytest.approx(region.axis_minor_length / 4, abs=0.7)
