from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.blur import blur
from cytocascade.imaging.measured_psf import MeasuredPsf, read_psf
from cytocascade.types import Array

SPACING = (0.2, 0.1, 0.1)
WIDTHS = (0.6, 0.2, 0.2)


def _bead(shape: tuple[int, int, int] = (31, 25, 25), offset: float = 0.0) -> Array:
    axes = [(np.arange(n) - n // 2) * step for n, step in zip(shape, SPACING)]
    axes[0] = axes[0] - offset
    z, y, x = np.ix_(*[np.exp(-0.5 * (axis / width) ** 2) for axis, width in zip(axes, WIDTHS)])
    noise = np.random.default_rng(0).normal(0, 3, shape)
    return np.clip(np.rint(120 + 4000 * z * y * x + noise), 0, 65535).astype(np.uint16)


def _read(tmp_path: Path, stack: Array) -> MeasuredPsf:
    tifffile.imwrite(tmp_path / "psf.tif", stack)
    return read_psf(tmp_path / "psf.tif", SPACING)


def _widths(kernel: Array, spacing: tuple[float, float, float]) -> list[float]:
    result = []
    for axis in range(3):
        along = kernel.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
        place = (np.arange(len(along)) - len(along) // 2) * spacing[axis]
        mean = (along * place).sum()
        assert mean == pytest.approx(0, abs=0.02)
        result.append(float(np.sqrt((along * (place - mean) ** 2).sum())))
    return result


def test_a_measured_psf_keeps_its_widths_on_other_grids(tmp_path: Path) -> None:
    psf = MeasuredPsf.model_validate_json(_read(tmp_path, _bead(offset=0.13)).model_dump_json())
    assert psf.array().sum() == pytest.approx(1, abs=1e-5)
    for spacing in (SPACING, (0.1, 0.05, 0.05), (0.3, 0.15, 0.15)):
        kernel = psf.on_grid(spacing)
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert all(side % 2 for side in kernel.shape)
        # The tails below the noise are cut, interpolation adds a little.
        assert _widths(kernel, spacing) == pytest.approx(WIDTHS, rel=0.12)


def test_it_blurs_a_point_into_itself_tile_by_tile_and_keeps_the_light(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    psf = _read(tmp_path, _bead())
    volume = np.zeros((40, 48, 48), dtype=np.float32)
    volume[20, 30, 17] = 5
    whole = blur(volume, SPACING, psf)
    kernel = psf.on_grid(SPACING)
    z, y, x = (side // 2 for side in kernel.shape)
    assert np.allclose(whole[20 - z : 21 + z, 30 - y : 31 + y, 17 - x : 18 + x], 5 * kernel, atol=1e-6)
    assert whole.sum() == pytest.approx(5, rel=1e-4)
    monkeypatch.setattr("cytocascade.imaging.blur._TILE", 60_000)
    assert np.allclose(blur(volume, SPACING, psf), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("stack", "complaint"),
    [
        (np.zeros((8, 8), np.uint16), "not a stack"),
        (np.full((9, 9, 9), 7, np.uint16), "no light"),
        (np.full((9, 9, 9), np.nan, np.float32), "NaN"),
        (np.pad(np.full((1, 1, 1), 9000, np.uint16), [(0, 8), (4, 4), (4, 4)]), "edge of its stack"),
    ],
)
def test_what_is_no_psf_is_refused(tmp_path: Path, stack: Array, complaint: str) -> None:
    with pytest.raises(CytoCascadeError, match=complaint):
        _read(tmp_path, stack)


def test_missing_files_and_spacings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no such PSF"):
        read_psf(tmp_path / "none.tif", SPACING)
    tifffile.imwrite(tmp_path / "psf.tif", _bead())
    with pytest.raises(CytoCascadeError, match="spacing"):
        read_psf(tmp_path / "psf.tif", (0.2, 0.0, 0.1))
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(CytoCascadeError, match="cannot be read"):
        read_psf(tmp_path / "text.tif", SPACING)
