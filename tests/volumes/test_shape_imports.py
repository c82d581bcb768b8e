from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import trimesh

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.imported import ImportOptions
from cytocascade.volumes.shape_files import write_surfaces
from cytocascade.volumes.shape_imports import import_shapes, mask_areas, plan_imports
from cytocascade.volumes.shape_library import ShapeMask

from .conftest import write_labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ellipsoids of a longest side of 1: one upright, one flat."""
    root = tmp_path_factory.mktemp("meshes")
    for name, axes in (("cells_0002", (0.3, 0.4, 0.5)), ("cells_0005", (0.5, 0.5, 0.2))):
        ball = trimesh.creation.icosphere(subdivisions=4)
        ball.apply_scale(axes)
        ball.export(root / f"{name}.ply")
    return root


def write(folder: Path, out: Path, voxel: tuple[float, float, float] | None, **size: float) -> list[dict[str, str]]:
    plan = plan_imports(folder, lambda: ImportOptions(**size))
    table = write_surfaces(out, import_shapes(plan, voxel), len(plan), formats=("tif", "slices"))
    with table.open() as lines:
        return list(csv.DictReader(lines))


def test_every_plane_is_sliced_from_bottom_to_top(folder: Path, tmp_path: Path) -> None:
    rows = write(folder, tmp_path, (0.25, 0.125, 0.125), unit=10)
    assert [row["name"] for row in rows] == ["cells_0002", "cells_0005"]
    planes = sorted((tmp_path / "cells_0002").iterdir())
    # 10 um high; both ends are cut by a plane within half a step.
    assert len(planes) == pytest.approx(10 / 0.25, abs=1)
    assert [path.name for path in planes] == [f"cells_0002_z{number:03d}.tif" for number in range(len(planes))]
    areas = np.array([tifffile.imread(path).sum() for path in planes]) * 0.125**2
    assert areas.min() > 0
    # Each plane is the ellipse at its height, in the lower half and in the upper.
    heights = (np.arange(len(planes)) - (len(planes) - 1) / 2) * 0.25
    assert np.abs(areas - np.pi * 3 * 4 * (1 - (heights / 5) ** 2)).max() < 1.2
    assert np.abs(areas - areas[::-1]).max() < 0.5
    volume = tifffile.imread(tmp_path / "cells_0002.tif")
    assert np.array_equal(volume[volume.any(axis=(1, 2))], np.stack([tifffile.imread(path) for path in planes]))
    assert not volume[[0, -1]].any()


@pytest.mark.parametrize("voxel", [(1.0, 0.25, 0.25), (0.3, 0.5, 0.2)])
def test_anisotropic_voxels_hold_the_same_volume(
    folder: Path, tmp_path: Path, voxel: tuple[float, float, float]
) -> None:
    rows = write(folder, tmp_path, voxel, diameter=12)
    # The diameter is that across z: 0.8 and 1 units of the files.
    for row, unit, axes in ((rows[0], 15, (0.3, 0.4, 0.5)), (rows[1], 12, (0.5, 0.5, 0.2))):
        true = 4 / 3 * np.pi * np.prod(axes) * unit**3
        assert float(row["micrometres_per_unit"]) == pytest.approx(unit, rel=0.01)
        assert float(row["volume"]) == pytest.approx(true, rel=0.02)
        with tifffile.TiffFile(tmp_path / f"{row['name']}.tif") as tiff:
            assert tiff.asarray().sum() * np.prod(voxel) == pytest.approx(true, rel=0.04)
            for axis, size in zip("ZYX", voxel):
                assert f'PhysicalSize{axis}="{size}"' in str(tiff.ome_metadata)


def test_voxels_are_cubes_fit_for_the_cell_by_default(folder: Path, tmp_path: Path) -> None:
    write(folder, tmp_path, None, diameter=10)
    flat = tifffile.imread(tmp_path / "cells_0005.tif")
    assert flat.shape[1:] == pytest.approx((54, 54), abs=2)
    assert flat.shape[0] == pytest.approx(2 + 52 * 0.4, abs=2)


def test_a_cell_smaller_than_a_voxel_leaves_one(folder: Path, tmp_path: Path) -> None:
    write(folder, tmp_path, (5.0, 5.0, 5.0), diameter=1)
    assert tifffile.imread(tmp_path / "cells_0002.tif").sum() == 1


def test_the_table_tells_where_shapes_are_from(folder: Path, tmp_path: Path) -> None:
    row = write(folder, tmp_path, None, volume=300)[0]
    assert (row["source"], row["repairs"], row["view_agreement"]) == ("cells_0002.ply", "", "")
    assert float(row["volume"]) == pytest.approx(300, rel=0.01)


def test_shapes_are_as_large_as_the_masks_they_were_made_from(folder: Path, masks: list[ShapeMask]) -> None:
    plan = plan_imports(folder, lambda area: ImportOptions(area=area), masks)
    assert [path.stem for path, _ in plan] == ["cells_0002", "cells_0005"]
    # 10 x 16 and 8 x 8 um.
    assert [options.area for _, options in plan] == pytest.approx([np.pi * 5 * 8, np.pi * 4 * 4], rel=0.05)


def test_the_only_cell_of_an_image_is_found_by_the_images_name(tmp_path: Path, masks: list[ShapeMask]) -> None:
    lone = [ShapeMask("nucleus_0007", masks[0].distance, masks[0].spacing, masks[0].pixel)]
    assert mask_areas([tmp_path / "nucleus.png"], lone) == mask_areas([tmp_path / "nucleus_0007.ply"], lone)
    with pytest.raises(CytoCascadeError, match="no mask belongs to this shape") as caught:
        mask_areas([tmp_path / "cells.ply"], masks)
    assert caught.value.path == tmp_path / "cells.ply"
    assert "cells_0002" in str(caught.value.hint)


def test_masks_are_told_by_their_files(folder: Path, tmp_path: Path) -> None:
    from cytocascade.volumes.shape_library import read_shape_masks

    labels = np.zeros((40, 40), dtype=np.uint16)
    labels[10:30, 10:30] = 5
    found = read_shape_masks(write_labels(tmp_path / "cells.tif", labels, (0.5, 0.5)))
    assert mask_areas([folder / "cells_0005.ply"], found) == pytest.approx([100], rel=0.02)
