from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.bundle import Bundle
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions
from cytocascade.shapes.descriptors import DESCRIPTORS
from cytocascade.shapes.mesh import read_mesh
from cytocascade.shapes.surface_bank import SurfaceBank
from cytocascade.volumes import shape_files
from cytocascade.volumes.shape_library import (
    ShapeMask,
    ShapeOptions,
    make_shapes,
    write_shapes,
)

TreeBytes = Callable[[Path], dict[str, bytes]]

FAST = ShapeOptions(prior="ellipsoid")


def test_files_hold_the_shapes_that_the_table_tells_of(
    tiny_volumes: Bundle, masks: list[ShapeMask], tmp_path: Path
) -> None:
    options = FAST.model_copy(update={"formats": ("ply", "obj", "tif"), "voxel": (1.0, 0.5, 0.5)})
    steps: list[tuple[int, int]] = []
    table = write_shapes(
        tmp_path / "out", tiny_volumes, masks, options, progress=lambda done, total: steps.append((done, total))
    )
    assert table == tmp_path / "out" / "shapes.csv"
    assert steps == [(1, 2), (2, 2)]
    with table.open() as lines:
        rows = {row["name"]: row for row in csv.DictReader(lines)}
    names = {"cells_0002", "cells_0005"}
    assert set(rows) == names
    assert {path.name for path in table.parent.iterdir()} == {
        "shapes.csv", *(f"{name}.{end}" for name in names for end in ("ply", "obj", "tif"))
    }  # fmt: skip
    for name, row in rows.items():
        assert set(row) == {"name", *DESCRIPTORS}
        volume = float(row["volume"])
        for end in ("ply", "obj"):
            mesh = read_mesh(table.parent / f"{name}.{end}")
            assert mesh.is_watertight
            assert mesh.volume == pytest.approx(volume, rel=1e-3)
        with tifffile.TiffFile(table.parent / f"{name}.tif") as tiff:
            voxels = tiff.asarray()
            assert 'PhysicalSizeZ="1.0"' in str(tiff.ome_metadata)
        assert set(np.unique(voxels)) == {0, 1}
        assert not np.any([voxels.take(end, axis=axis).any() for axis in range(3) for end in (0, -1)])
        assert voxels.sum() * 0.25 == pytest.approx(volume, rel=0.06)


def test_voxels_are_cubes_of_the_size_of_the_masks_pixels_by_default(
    tiny_volumes: Bundle, masks: list[ShapeMask], tmp_path: Path
) -> None:
    options = FAST.model_copy(update={"formats": ("tif",), "per_mask": 2})
    write_shapes(tmp_path, tiny_volumes, masks[:1], options)
    assert {path.name for path in tmp_path.iterdir()} == {"shapes.csv", "cells_0002_00.tif", "cells_0002_01.tif"}
    with tifffile.TiffFile(tmp_path / "cells_0002_01.tif") as tiff:
        assert all(f'PhysicalSize{axis}="0.5"' in str(tiff.ome_metadata) for axis in "XYZ")


def test_more_than_a_hundred_shapes_of_one_mask_are_written(
    tiny_volumes: Bundle, masks: list[ShapeMask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape_files, "describe_surface", lambda surface: {"step": surface.step})
    options = FAST.model_copy(update={"formats": (), "per_mask": 101})
    table = write_shapes(tmp_path, tiny_volumes, masks[1:], options)
    assert len(table.read_text().splitlines()) == 102


def test_unknown_formats_are_refused_before_anything_is_made(
    tiny_volumes: Bundle, masks: list[ShapeMask], tmp_path: Path
) -> None:
    with pytest.raises(CytoCascadeError, match="'stl'") as caught:
        write_shapes(tmp_path / "out", tiny_volumes, masks, FAST.model_copy(update={"formats": ("ply", "stl")}))
    assert "ply, obj, tif" in str(caught.value.hint)
    assert not (tmp_path / "out").exists()


def test_shapes_that_are_there_are_replaced_only_if_asked(
    tiny_volumes: Bundle, masks: list[ShapeMask], tmp_path: Path, tree_bytes: TreeBytes
) -> None:
    write_shapes(tmp_path, tiny_volumes, masks, FAST)
    before = tree_bytes(tmp_path)
    with pytest.raises(CytoCascadeError, match="here already") as caught:
        write_shapes(tmp_path, tiny_volumes, masks, FAST, seed=1)
    assert "--overwrite" in str(caught.value.hint)
    assert tree_bytes(tmp_path) == before
    write_shapes(tmp_path, tiny_volumes, masks, FAST, seed=1, overwrite=True)
    assert tree_bytes(tmp_path) != before


def test_an_interrupted_run_leaves_no_table_and_goes_on_to_the_same_bytes(
    tiny_volumes: Bundle, masks: list[ShapeMask], tmp_path: Path, tree_bytes: TreeBytes
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    write_shapes(tmp_path / "whole", tiny_volumes, masks, FAST, bank=tmp_path / "whole" / "bank")
    with pytest.raises(KeyboardInterrupt):
        write_shapes(tmp_path / "cut", tiny_volumes, masks, FAST, bank=tmp_path / "cut" / "bank", progress=stop)
    assert set(tree_bytes(tmp_path / "cut")) == {"cells_0002.ply", "cells_0002.tif"}
    write_shapes(tmp_path / "cut", tiny_volumes, masks, FAST, bank=tmp_path / "cut" / "bank")
    assert tree_bytes(tmp_path / "cut") == tree_bytes(tmp_path / "whole")


@pytest.fixture
def bank(tiny_volumes: Bundle, masks: list[ShapeMask], tmp_path: Path) -> Path:
    options = FAST.model_copy(update={"formats": (), "axial_ratio": 0.6})
    write_shapes(tmp_path / "shapes", tiny_volumes, masks[1:], options, bank=tmp_path / "shapes.bank")
    return tmp_path / "shapes.bank"


def test_a_bank_keeps_the_surfaces(tiny_volumes: Bundle, masks: list[ShapeMask], bank: Path) -> None:
    made = [
        surface for _, surface in make_shapes(tiny_volumes, masks[1:], FAST.model_copy(update={"axial_ratio": 0.6}))
    ]
    kept = SurfaceBank.load(bank).surfaces
    assert len(kept) == len(made) == 1
    assert np.abs(kept[0].distance - made[0].distance).max() < 0.02
    assert kept[0].origin == pytest.approx(made[0].origin)


def test_volumes_are_generated_and_replayed_from_a_bank_and_no_other(
    tiny_volumes: Bundle, masks: list[ShapeMask], bank: Path, tmp_path: Path
) -> None:
    cascade = Cascade(tiny_volumes)
    options = GenerationOptions(size=(30, 64, 64), spacing=(0.5, 0.5, 0.5), cells=1, shape_bank=str(bank))
    manifest = cascade.write(1, tmp_path / "data", seed=5, options=options)
    sample = cascade.replay(f"{manifest}#0")
    assert not sample.cells[0]["cut"]
    # The only surface of the bank: a ball of 8 um, flattened to 0.6.
    assert sample.cells[0]["features"]["volume"] == pytest.approx(0.6 * np.pi / 6 * 8**3, rel=0.1)
    assert sample.cells[0]["features"]["extent"] == pytest.approx([4.8, 8, 8], abs=0.8)
    assert sample.cells[0]["axial_ratio"] is None
    SurfaceBank.save(SurfaceBank.load(bank).surfaces * 2, bank)
    with pytest.raises(CytoCascadeError, match="not those that the volume was drawn for") as caught:
        cascade.replay(f"{manifest}#0")
    assert caught.value.path == bank
