from __future__ import annotations

import numpy as np
import pytest

from cytocascade.evaluation.volumes.cells import SHAPE_NAMES, describe_cell, measure_cells
from cytocascade.evaluation.volumes.measured import measure_volumes

from .scenes import volumes


def ellipsoid(half: tuple[float, float, float], spacing: tuple[float, float, float]) -> np.ndarray:
    """A mask that fits tightly, as a bounding box does."""
    axes = [np.arange(-int(h / s) - 1, int(h / s) + 2) * s / h for h, s in zip(half, spacing)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    inside = z**2 + y**2 + x**2 <= 1
    rows = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != k))) for k in range(3)]
    return inside[rows[0][0] : rows[0][-1] + 1, rows[1][0] : rows[1][-1] + 1, rows[2][0] : rows[2][-1] + 1]


def test_an_ellipsoid_is_described_by_its_formulas() -> None:
    spacing = (0.5, 0.25, 0.25)
    found = describe_cell(ellipsoid((3.0, 6.0, 6.0), spacing), spacing)
    assert set(found) == set(SHAPE_NAMES)
    assert found["volume"] == pytest.approx(4 / 3 * np.pi * 3 * 36, rel=0.03)
    assert found["projected_area"] == pytest.approx(np.pi * 36, rel=0.03)
    assert found["axial_extent"] == pytest.approx(6, abs=0.6)
    assert found["axial_ratio"] == pytest.approx(0.5, abs=0.06)
    assert found["relative_volume"] == pytest.approx(found["volume"] / found["projected_area"] ** 1.5, rel=0.02)


def test_a_finer_grid_does_not_change_the_shape() -> None:
    coarse, fine = (
        describe_cell(ellipsoid((3.0, 6.0, 6.0), spacing), spacing) for spacing in ((0.8, 0.4, 0.4), (0.3, 0.2, 0.2))
    )
    for name in ("volume", "sphericity", "solidity"):
        assert coarse[name] == pytest.approx(fine[name], rel=0.1), name


def test_signal_is_measured_above_the_background() -> None:
    given = volumes(0, 2)
    found = measure_volumes(given, 2, "real", 0)
    table = measure_cells(found)
    assert table["mean_intensity"] - table["signal"] == pytest.approx(np.full(8, 100), abs=8)
    assert ((table["signal"] > 50) & (table["signal"] < 110)).all()
    noise = found.volumes[0].noise
    assert table["contrast"][:4] == pytest.approx(table["signal"][:4] / noise)


def test_a_mask_that_makes_no_surface_has_no_shape_but_an_extent() -> None:
    dust = np.zeros((9, 9, 9), bool)
    dust[::4, ::4, ::4] = True
    empty = describe_cell(np.zeros((4, 5, 5), bool), (0.5, 0.2, 0.2))
    assert np.isnan(empty["volume"])
    assert empty["axial_extent"] == 0
    assert describe_cell(dust, (0.5, 0.2, 0.2))["axial_extent"] == pytest.approx(1.5)
