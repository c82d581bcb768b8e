from pathlib import Path

import numpy as np
import pytest
from skimage.draw import disk

from cytocascade.errors import CytoCascadeError
from cytocascade.images.validation import (
    check_geometry,
    check_instances,
    take_census,
    take_stack_census,
    usable_outlines,
)


def cells(*places: tuple[int, int, int], value: int = 0, shape: tuple[int, int] = (80, 80)) -> np.ndarray:
    labels = np.zeros(shape, np.uint16)
    for k, (y, x, radius) in enumerate(places, start=1):
        labels[disk((y, x), radius, shape=shape)] = value or k
    return labels


def check(labels: np.ndarray) -> None:
    check_instances(labels, Path("m.tif"))


@pytest.mark.parametrize("value", [1, 255])
def test_binary_mask_with_several_regions_is_refused(value: int) -> None:
    with pytest.raises(CytoCascadeError, match=rf"m\.tif.*binary.*{value}, in 3 sep(.|\n)*--label-components"):
        check(cells((15, 15, 6), (40, 40, 6), (60, 20, 6), value=value))


def test_binary_mask_with_one_ragged_region_is_refused() -> None:
    chain = [(20, 10 + 7 * k, 5) for k in range(8)] + [(20 + 7 * k, 59, 5) for k in range(6)]
    with pytest.raises(CytoCascadeError, match="too ragged for one cell"):
        check(cells(*chain, value=1))


@pytest.mark.parametrize(
    "labels",
    [
        cells((40, 40, 12), value=7),
        cells(),
        cells((15, 15, 6), (40, 40, 6)),
        np.maximum(cells((40, 40, 12), value=7), cells((10, 10, 2), value=7)),  # a slip of the brush
    ],
)
def test_single_cells_empty_masks_and_instances_pass(labels: np.ndarray) -> None:
    check(labels)


def test_binary_stack_is_refused() -> None:
    stack = np.stack([cells((15, 15, 6), (40, 40, 6), value=1)] * 4)
    with pytest.raises(CytoCascadeError, match="in 2 separate regions"):
        check(stack)


def geometry(image: tuple[int, ...], mask: tuple[int, ...], dim: int) -> None:
    check_geometry(np.zeros(image), np.zeros(mask), image_path=Path("i.tif"), mask_path=Path("m.tif"), dim=dim)


def test_dimensions_other_than_asked_name_the_option() -> None:
    geometry((4, 5), (4, 5), 2)
    geometry((3, 4, 5), (3, 4, 5), 3)
    with pytest.raises(CytoCascadeError, match=r"i\.tif: the image is a 3D stack(.|\n)*--dim 3"):
        geometry((3, 4, 5), (3, 4, 5), 2)
    with pytest.raises(CytoCascadeError, match=r"i\.tif: the image is 2D(.|\n)*--dim 2"):
        geometry((4, 5), (4, 5), 3)


def test_shapes_that_differ_name_both_files() -> None:
    with pytest.raises(CytoCascadeError, match=r"m\.tif: .*\(4, 6\), its image i\.tif has \(4, 5\)"):
        geometry((4, 5), (4, 6), 2)
    with pytest.raises(CytoCascadeError, match="transposed"):
        geometry((4, 5), (5, 4), 2)


def test_census_counts_whole_cut_and_small_cells() -> None:
    labels = cells((20, 20, 6), (0, 50, 6), (60, 79, 6), (40, 40, 2), (60, 20, 7))
    census = take_census(labels)
    assert (census.labelled, census.cut, census.small, census.usable) == (5, 2, 1, 2)
    assert census.remarks == ()
    assert take_census(np.zeros_like(labels)).labelled == 0


def test_stack_cells_cut_by_the_first_or_last_slice_are_cut() -> None:
    stack = np.zeros((5, 80, 80), np.uint32)
    stack[:3] = cells((20, 20, 6))
    stack[1:4, 50:60, 50:60] = 70000
    census = take_census(stack)
    assert (census.cut, census.usable) == (1, 1)


def test_label_in_pieces_far_apart_is_remarked() -> None:
    labels = cells((15, 15, 6), (60, 60, 6), (60, 15, 6))
    labels[labels == 2] = 1
    assert take_census(labels).remarks == ("label 1 is in pieces far apart: is it one cell?",)


def test_label_split_by_a_cell_across_is_not_remarked() -> None:
    labels = np.zeros((60, 60), np.uint16)
    labels[10:50, 20:40] = 1
    labels[28:32, 5:55] = 2
    assert take_census(labels).remarks == ()


def test_label_of_the_background_is_remarked() -> None:
    labels = cells((20, 20, 6), (50, 50, 6)) + 1
    assert take_census(labels).remarks[0].startswith("label 1 covers 9")


def test_components_that_look_merged_or_tiny_are_remarked() -> None:
    labels = cells((20, 20, 6), (60, 60, 1))
    labels[40:45, 40:70] = labels[40:70, 40:45] = 3
    remarks = take_census(labels, from_components=True).remarks
    assert remarks == (
        "1 of 3 components have fewer than 20 pixels",
        "1 of 3 components are not convex: touching cells may be merged",
    )


def test_stack_census_counts_a_cell_by_its_best_outline() -> None:
    labels = np.zeros((5, 30, 30), np.uint16)
    labels[0:2, 4:10, 4:10] = 1  # whole in the first slice, where the stack ends
    labels[2, 0:8, 20:26] = 2  # cut in one slice, whole in the next
    labels[3, 2:8, 20:26] = 2
    labels[1:5, 12:20, 0:6] = 3  # cut in all
    labels[1:5, 22:26, 22:26] = 4  # 16 pixels in every slice, 64 voxels
    census = take_stack_census(labels, range(5))
    assert (census.labelled, census.cut, census.small, census.usable) == (4, 1, 1, 2)
    assert take_stack_census(labels, (2,)).usable == 0
    assert take_stack_census(labels, ()).labelled == 0


def test_stack_census_leaves_out_slices_that_are_not_annotated() -> None:
    labels = np.zeros((20, 30, 30), np.uint16)
    labels[[2, 18], 4:12, 4:12] = 1
    assert take_stack_census(labels, (2, 18)).remarks == ()
    labels[18] = np.roll(labels[18], 16, axis=1)
    assert take_stack_census(labels, (2, 18)).remarks == ("label 1 is in pieces far apart: is it one cell?",)


def test_usable_outlines_are_whole_and_no_specks() -> None:
    labels = cells((20, 20, 6), (2, 50, 6), (50, 50, 2), (60, 20, 4))
    assert usable_outlines(labels).tolist() == [1, 4]
    assert usable_outlines(np.zeros((9, 9), np.uint16)).tolist() == []
