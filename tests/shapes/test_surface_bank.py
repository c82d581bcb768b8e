from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.descriptors import describe_surface
from cytocascade.shapes.surface_bank import SurfaceBank
from cytocascade.types import CellSurface

from ._solids import ellipsoid

SEMI = (2.0, 3.0, 5.0)


@pytest.fixture(scope="module")
def surfaces() -> list[CellSurface]:
    """A large cell, and a tiny one with an origin of its own."""
    small = ellipsoid((0.05, 0.08, 0.1))
    return [ellipsoid(SEMI), CellSurface(small.distance, small.step, (20.0, 21.5, 25.0))]


@pytest.fixture
def bank(surfaces: list[CellSurface], tmp_path: Path) -> Path:
    SurfaceBank.save(surfaces, tmp_path / "bank.safetensors")
    return tmp_path / "bank.safetensors"


def test_surfaces_survive_saving_large_ones_and_small_ones_alike(surfaces: list[CellSurface], bank: Path) -> None:
    kept = SurfaceBank.load(bank)
    assert len(kept.hash) == 64
    for before, after in zip(surfaces, kept.surfaces, strict=True):
        assert after.distance.dtype == np.float32
        assert np.abs(after.distance - before.distance).max() < 0.02 * before.step
        assert after.step == pytest.approx(before.step)
        assert after.origin == pytest.approx(before.origin)
        volumes = [describe_surface(one)["volume"] for one in (before, after)]
        assert volumes[1] == pytest.approx(volumes[0], rel=1e-3)


def test_a_bank_is_half_as_large_as_its_surfaces(surfaces: list[CellSurface], bank: Path) -> None:
    assert bank.stat().st_size < 0.55 * sum(one.distance.nbytes for one in surfaces)


def test_a_drawn_surface_is_one_of_the_bank_turned_about_z(surfaces: list[CellSurface], bank: Path) -> None:
    one = SurfaceBank.load(bank)
    volumes = [describe_surface(surface)["volume"] for surface in surfaces]
    found = [describe_surface(one.draw(seed))["volume"] for seed in range(8)]
    chosen = [int(np.argmin(np.abs(np.log(np.asarray(volumes) / volume)))) for volume in found]
    assert set(chosen) == {0, 1}
    assert found == pytest.approx([volumes[number] for number in chosen], rel=0.03)


def test_draws_turn_and_keep_their_height(surfaces: list[CellSurface], tmp_path: Path) -> None:
    SurfaceBank.save(surfaces[:1], tmp_path / "bank")
    one = SurfaceBank.load(tmp_path / "bank")
    # How wide the cell is along x, in steps, tells how it is turned.
    drawn = [one.draw(seed) for seed in range(8)]
    widths = [int((surface.distance > 0).any(axis=(0, 1)).sum()) for surface in drawn]
    assert len(set(widths)) >= 4
    heights = {int((surface.distance > 0).any(axis=(1, 2)).sum()) for surface in drawn}
    assert max(heights) - min(heights) <= 1


def test_the_same_seed_draws_the_same_and_another_another(bank: Path) -> None:
    one = SurfaceBank.load(bank)
    assert np.array_equal(one.draw(5).distance, one.draw(5).distance)
    assert not np.array_equal(one.draw(5).distance, one.draw(6).distance)


def test_a_bank_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no surface to keep"):
        SurfaceBank.save([], tmp_path / "bank")
    assert not (tmp_path / "bank").exists()


def test_a_changed_file_is_read_anew(surfaces: list[CellSurface], bank: Path) -> None:
    before = SurfaceBank.load(bank)
    SurfaceBank.save(surfaces[::-1], bank)
    # The same size; the time alone tells.
    os.utime(bank, ns=(1, 1))
    after = SurfaceBank.load(bank)
    assert after.hash != before.hash
    assert after.surfaces[0].step == pytest.approx(before.surfaces[1].step)


@pytest.mark.parametrize("content", ["nothing", "empty file", "other tensors", "lengths differ", "no surfaces"])
def test_a_file_that_is_no_bank_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bank"
    grids = np.zeros((2, 4, 4, 4), dtype=np.float16)
    origin = np.zeros((2, 3), dtype=np.float32)
    if content == "other tensors":
        save_file({"weight": grids}, file)
    elif content == "lengths differ":
        save_file({"distance": grids, "step": np.ones(1, dtype=np.float32), "origin": origin}, file)
    elif content == "no surfaces":
        save_file({"distance": grids[:0], "step": np.ones(0, dtype=np.float32), "origin": origin[:0]}, file)
    else:
        file.write_bytes(b"" if content == "empty file" else b"nothing at all")
    with pytest.raises(CytoCascadeError, match=r"no bank of shapes|is empty") as caught:
        SurfaceBank.load(file)
    assert caught.value.path == file


def test_a_missing_bank_is_told(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no such file") as caught:
        SurfaceBank.load(tmp_path / "bank")
    assert "--save-bank" in str(caught.value.hint)
