from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError
from scipy import ndimage as ndi

from cytocascade.bundle import Bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.descriptors import describe_surface
from cytocascade.volumes.shape_library import (
    LARGEST,
    ShapeMask,
    ShapeOptions,
    draw_shape_masks,
    make_shapes,
    read_shape_masks,
)

from .conftest import ellipse_labels, write_labels

FAST = ShapeOptions(prior="ellipsoid")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_labels(tmp_path / "cells.tif", ellipse_labels())


def area(mask: ShapeMask) -> float:
    """Return the area in square micrometres, to a part of a pixel."""
    return float(np.clip(mask.distance + 0.5, 0, 1).sum()) * mask.spacing**2


def extent(mask: ShapeMask, axis: int) -> float:
    """Return the micrometres that a mask covers along an axis."""
    return float((mask.distance > 0).any(axis=1 - axis).sum()) * mask.spacing


def test_cells_of_a_label_image_are_read_with_their_size(masks: list[ShapeMask]) -> None:
    assert [mask.name for mask in masks] == ["cells_0002", "cells_0005"]
    long, round_one = masks
    assert long.distance.shape == (64, 64)
    assert long.distance.dtype == np.float32
    assert long.pixel == 0.5
    assert area(long) == pytest.approx(np.pi * 5 * 8, rel=0.05)
    assert area(round_one) == pytest.approx(np.pi * 4 * 4, rel=0.06)
    assert (extent(long, 0), extent(long, 1)) == pytest.approx((10, 16), abs=0.6)


def test_every_cell_fills_its_crop_whatever_its_size(masks: list[ShapeMask]) -> None:
    for mask in masks:
        rows, columns = np.nonzero(mask.distance > 0)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(LARGEST, abs=2)
        assert (rows.mean(), columns.mean()) == pytest.approx((31.5, 31.5), abs=0.6)
        # Beyond the box of the mask the distance goes on.
        assert mask.distance[0, 0] < -15
        outside = ndi.distance_transform_edt(mask.distance <= 0)[mask.distance <= 0]
        assert np.abs(-mask.distance[mask.distance <= 0] - (outside - 0.5)).max() < 3


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    spacing = (0.8, 0.4)
    file = write_labels(tmp_path / "wide.tif", ellipse_labels(spacing), spacing)
    long, round_one = read_shape_masks(file)
    assert (extent(long, 0), extent(long, 1)) == pytest.approx((10, 16), abs=0.8)
    assert (extent(round_one, 0), extent(round_one, 1)) == pytest.approx((8, 8), abs=0.8)
    assert long.pixel == 0.4


def test_a_given_spacing_goes_before_that_of_the_file(file: Path, masks: list[ShapeMask]) -> None:
    given = read_shape_masks(file, (1.0, 1.0))
    assert given[0].spacing == pytest.approx(2 * masks[0].spacing)
    assert area(given[0]) == pytest.approx(4 * area(masks[0]))


def test_a_folder_gives_the_cells_of_all_its_files(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_labels(tmp_path / f"{name}.tif", ellipse_labels())
    assert [mask.name for mask in read_shape_masks(tmp_path)] == ["a_0002", "a_0005", "b_0002", "b_0005"]


def test_cells_cut_by_the_frame_and_specks_are_left_out(tmp_path: Path) -> None:
    labels = ellipse_labels(cut=True)
    labels[60:63, 3:6] = 9
    assert [mask.name for mask in read_shape_masks(write_labels(tmp_path / "c.tif", labels))] == ["c_0002", "c_0005"]


def test_masks_without_pixel_size_are_refused(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "cells.tif", ellipse_labels(), known=False)
    with pytest.raises(CytoCascadeError, match="pixel size") as caught:
        read_shape_masks(file)
    assert caught.value.path == file
    assert "--spacing" in str(caught.value.hint)
    assert len(read_shape_masks(file, (0.5, 0.5))) == 2


def test_volumes_are_no_masks_seen_along_z(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "deep.tif", np.stack([ellipse_labels()] * 5), (1.0, 0.5, 0.5))
    with pytest.raises(CytoCascadeError, match="3 axes"):
        read_shape_masks(file)


def test_masks_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="no such file"):
        read_shape_masks(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CytoCascadeError, match="no images"):
        read_shape_masks(tmp_path / "empty")
    file = write_labels(tmp_path / "dark.tif", np.zeros((40, 40), dtype=np.uint16))
    with pytest.raises(CytoCascadeError, match="no cell lies whole"):
        read_shape_masks(file)


def test_a_shape_lies_over_its_mask_and_is_as_tall_as_wished(tiny_volumes: Bundle, masks: list[ShapeMask]) -> None:
    options = FAST.model_copy(update={"axial_ratio": 0.5})
    for mask, (name, surface) in zip(masks, make_shapes(tiny_volumes, masks, options), strict=True):
        measured = describe_surface(surface)
        assert name == mask.name
        assert measured["projected_area"] == pytest.approx(area(mask), rel=0.05)
        assert measured["axial_ratio"] == pytest.approx(0.5, rel=0.06)


def test_heights_are_drawn_from_the_statistics_of_the_bundle(tiny_volumes: Bundle, masks: list[ShapeMask]) -> None:
    options = FAST.model_copy(update={"per_mask": 6})
    ratios = [describe_surface(surface)["axial_ratio"] for _, surface in make_shapes(tiny_volumes, masks, options)]
    assert len(ratios) == 12
    assert 0.37 < min(ratios) < 0.48 < max(ratios) < 0.64


@pytest.mark.parametrize("prior", ["ellipsoid", "hull"])
def test_the_same_seed_gives_the_same_shapes_whatever_the_workers(
    tiny_volumes: Bundle, masks: list[ShapeMask], prior: str
) -> None:
    options = ShapeOptions(prior=prior, steps=2)
    masks = masks[:2] if prior == "ellipsoid" else masks[:1]
    one, two, other = (
        list(make_shapes(tiny_volumes, masks, options, seed=seed, workers=workers))
        for seed, workers in ((4, 1), (4, 2), (5, 1))
    )
    for (_, first), (_, second), (_, third) in zip(one, two, other, strict=True):
        assert np.array_equal(first.distance, second.distance)
        assert not np.array_equal(first.distance, third.distance)


def test_a_shape_depends_on_its_own_mask_not_on_those_after_it(tiny_volumes: Bundle, masks: list[ShapeMask]) -> None:
    (_, alone), (_, among) = (next(make_shapes(tiny_volumes, some, FAST, seed=4)) for some in (masks[:1], masks))
    assert np.array_equal(alone.distance, among.distance)


def test_shapes_of_one_mask_differ_and_the_first_is_that_of_one_alone(
    tiny_volumes: Bundle, masks: list[ShapeMask]
) -> None:
    options = ShapeOptions(prior="hull", steps=2, per_mask=3, axial_ratio=0.6)
    made = list(make_shapes(tiny_volumes, masks[:1], options, seed=1))
    assert [name for name, _ in made] == ["cells_0002_00", "cells_0002_01", "cells_0002_02"]
    grids = [surface.distance for _, surface in made]
    assert all(not np.array_equal(grids[a], grids[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    single = options.model_copy(update={"per_mask": 1})
    assert np.allclose(next(make_shapes(tiny_volumes, masks[:1], single, seed=1))[1].distance, grids[0], atol=0.05)


def test_new_masks_are_drawn_from_the_bundle(tiny_volumes: Bundle) -> None:
    drawn = draw_shape_masks(tiny_volumes, 3, seed=2)
    assert [mask.name for mask in drawn] == ["cell_000000", "cell_000001", "cell_000002"]
    known = np.array([area(mask) for mask in drawn])
    assert (known > 50).all()
    assert np.array_equal(draw_shape_masks(tiny_volumes, 3, seed=2, workers=2)[1].distance, drawn[1].distance)
    volume = tiny_volumes.volume.model_copy(update={"area_factor": 1.5})
    larger = draw_shape_masks(replace(tiny_volumes, volume=volume), 3, seed=2)
    assert sum(area(mask) for mask in larger) == pytest.approx(1.5 * known.sum(), rel=0.15)


@pytest.mark.parametrize(
    "wrong", [{"prior": "guess"}, {"per_mask": 0}, {"axial_ratio": 4.0}, {"steps": 1}, {"kind": "tissue"}, {"size": 3}]
)
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ShapeOptions(**wrong)


def test_two_label_images_of_one_name_are_refused(tmp_path: Path) -> None:
    labels = np.zeros((40, 40), dtype=np.uint16)
    labels[10:30, 10:30] = 1
    for suffix in ("tif", "tiff"):
        tifffile.imwrite(tmp_path / f"a.{suffix}", labels)
    with pytest.raises(CytoCascadeError, match="same name"):
        read_shape_masks(tmp_path, (0.5, 0.5))
