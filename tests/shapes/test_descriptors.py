from __future__ import annotations

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.descriptors import DESCRIPTORS, describe_surface, describe_voxels
from cytocascade.types import BoolArray

from ._solids import ellipsoid, ellipsoid_area, ellipsoid_volume

SPACINGS = [(0.5, 0.5, 0.5), (0.5, 0.25, 0.25), (1.0, 0.3, 0.3), (2.0, 0.4, 0.4)]


def voxels(axes: tuple[float, float, float], spacing: tuple[float, float, float]) -> BoolArray:
    """Return the voxels whose centres lie in an ellipsoid; its middle lies between voxels."""
    counts = [2 * int(np.ceil(a / s)) + 2 for a, s in zip(axes, spacing)]
    lines = [((np.arange(n) - (n - 1) / 2) * s + 0.2 * s) / a for n, s, a in zip(counts, spacing, axes)]
    return sum(axis**2 for axis in np.meshgrid(*lines, indexing="ij")) < 1


def test_an_ellipsoid_is_measured_right() -> None:
    axes = (2.0, 4.0, 6.0)
    found = describe_surface(ellipsoid(axes))
    volume, area, projected = ellipsoid_volume(axes), ellipsoid_area(axes), np.pi * 24
    expected = {
        "volume": volume,
        "surface_area": area,
        "projected_area": projected,
        "relative_volume": volume / projected**1.5,
        "sphericity": np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area,
        "axial_ratio": 4 / 12,
        "solidity": 1.0,
    }
    assert tuple(found) == DESCRIPTORS
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.015), name


def test_the_axial_ratio_takes_the_largest_extent_in_any_direction() -> None:
    from cytocascade.shapes.voxels import rotate_about_z

    turned = describe_surface(rotate_about_z(ellipsoid((2.0, 3.0, 6.0)), np.pi / 4))
    assert turned["axial_ratio"] == pytest.approx(1 / 3, rel=0.02)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_steps_of_voxels_do_not_count_as_surface(spacing: tuple[float, float, float]) -> None:
    found = describe_voxels(voxels((5.0, 5.0, 5.0), spacing), spacing)
    assert found["sphericity"] == pytest.approx(1.0, abs=0.02)
    assert found["solidity"] > 0.985
    assert found["axial_ratio"] == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("spacing", SPACINGS[:3])
def test_voxels_and_surfaces_are_measured_alike(spacing: tuple[float, float, float]) -> None:
    axes = (3.0, 5.0, 6.0)
    real, generated = describe_voxels(voxels(axes, spacing), spacing), describe_surface(ellipsoid(axes))
    assert real["sphericity"] == pytest.approx(generated["sphericity"], abs=0.02)
    assert real["relative_volume"] == pytest.approx(generated["relative_volume"], rel=0.06)
    assert real["volume"] == pytest.approx(generated["volume"], rel=0.03)


def test_a_dent_lowers_the_solidity() -> None:
    ball = voxels((5.0, 5.0, 5.0), (0.5, 0.5, 0.5))
    dented = ball.copy()
    dented[len(ball) // 2 :, 8:14, 8:14] = False
    assert (
        describe_voxels(dented, (0.5, 0.5, 0.5))["solidity"] < describe_voxels(ball, (0.5, 0.5, 0.5))["solidity"] - 0.03
    )


def test_strays_and_cavities_do_not_count() -> None:
    ball = voxels((4.0, 4.0, 4.0), (0.5, 0.5, 0.5))
    spoiled = np.pad(ball, 4)
    spoiled[12, 12, 12] = False
    spoiled[0, 0, 0] = True
    assert describe_voxels(spoiled, (0.5, 0.5, 0.5))["volume"] == pytest.approx(
        describe_voxels(ball, (0.5, 0.5, 0.5))["volume"], rel=1e-3
    )


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(CytoCascadeError, match="empty"):
        describe_voxels(np.zeros((4, 4, 4), dtype=bool), (1.0, 1.0, 1.0))
