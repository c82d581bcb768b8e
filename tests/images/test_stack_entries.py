from pathlib import Path

import numpy as np
import pytest
from tests.images.stack_files import SHAPE, SPACING, add, cells, challenge, image_of, only, save

from cytocascade.errors import CytoCascadeError
from cytocascade.images.entries import Entry
from cytocascade.images.layouts import find_pairs
from cytocascade.images.readers import read_image
from cytocascade.images.stack_entries import read_stack_entry, refuse_shallow


def read(root: Path, *, sparse: bool = False, label_components: bool = False) -> Entry:
    (pair,) = find_pairs(root, slices=True).pairs
    image, spacing = read_image(pair.image)
    return read_stack_entry(pair, image, spacing, sparse=sparse, label_components=label_components)


def test_census_counts_cells_once_by_their_outlines(tmp_path: Path) -> None:
    labels = cells()
    labels[3:5, 0:8, 20:30] = 7  # cut by the frame in every slice
    labels[4, 46, 46] = 8
    census = read(add(tmp_path, "a", labels)).census
    assert (census.labelled, census.cut, census.small, census.usable) == (8, 1, 1, 6)


@pytest.mark.parametrize("count", [2, 3])
def test_two_or_three_slices_are_no_stack(tmp_path: Path, count: int) -> None:
    labels = cells()[3 : 3 + count]
    with pytest.raises(CytoCascadeError, match=rf"a\.tif: the stack has only {count} slices(.|\n)*time or channels"):
        read(add(tmp_path, "a", labels))
    assert len(read(add(tmp_path / "four", "a", cells()[2:6]), sparse=True).image) == 4


def test_cells_that_run_from_end_to_end_are_refused(tmp_path: Path) -> None:
    labels = np.repeat(cells()[None, 4], 9, axis=0)  # nothing moves: time points, or far too thin
    with pytest.raises(
        CytoCascadeError, match=r"a\.tif: the stack is thinner than its cells: 6 of 6 run from the first"
    ):
        read(add(tmp_path, "a", labels))
    half = labels.copy()
    half[0][half[0] > 3] = 0
    assert read(add(tmp_path / "half", "a", half)).census.usable == 6


def test_shallow_stacks_are_told_by_their_depth_in_micrometres(tmp_path: Path) -> None:
    entry = read(add(tmp_path, "a", cells()))
    refuse_shallow(entry, (0.1, 0.25, 0.25))
    with pytest.raises(
        CytoCascadeError, match=r"0\.36 um deep \(9 slices of 0\.04 um\).*2\.9\d um wide(.|\n)*--spacing"
    ):
        refuse_shallow(entry, (0.04, 0.25, 0.25))


def test_one_annotated_slice_needs_sparse(tmp_path: Path) -> None:
    add(tmp_path, "a", cells(), only(cells(), 4))
    with pytest.raises(CytoCascadeError, match=r"masks/a\.tif: only slice 4 of 9 holds labels(.|\n)*--sparse"):
        read(tmp_path)
    assert read(tmp_path, sparse=True).annotated == (4,)


def test_mask_with_other_slices_than_its_stack_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "a", cells(), cells()[:-1])
    with pytest.raises(CytoCascadeError, match=r"masks/a\.tif: the mask has 8 slices, its image .*a\.tif has 9"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [((9, 40, 48), "same pixels"), ((9, 48, 40), "transposed"), ((40, 48, 9), r"order \(X, Y, Z\)")],
)
def test_mask_of_another_shape_is_refused(tmp_path: Path, shape: tuple[int, int, int], hint: str) -> None:
    image = cells(3, (9, 48, 40)) if shape != (9, 40, 48) else cells()
    if hint == "transposed":
        image, shape = cells(3, (9, 48, 40)), (9, 40, 48)
    add(tmp_path, "a", image, np.ones(shape, np.uint16))
    with pytest.raises(CytoCascadeError, match=rf"masks/a\.tif: the mask has the shape(.|\n)*{hint}"):
        read(tmp_path)


def test_plane_mask_without_slice_number_is_refused_with_a_name_for_it(tmp_path: Path) -> None:
    add(tmp_path, "a", cells(), cells()[4])
    with pytest.raises(CytoCascadeError, match=r"masks/a\.tif: the mask is 2D, but(.|\n)*a_z012\.tif(.|\n)*--sparse"):
        read(tmp_path)


@pytest.mark.parametrize(("number", "hint"), [(9, "counted from 0"), (30, "Check the slice number")])
def test_slice_beyond_the_stack_is_refused(tmp_path: Path, number: int, hint: str) -> None:
    challenge(tmp_path, cells(), {(0, number): cells()[4]})
    with pytest.raises(CytoCascadeError, match=rf"man_seg_000_0{number:02d}\.tif: .*9 slices \(0 to 8\)(.|\n)*{hint}"):
        read(tmp_path)


def test_slice_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    challenge(tmp_path, cells(), {(0, 4): cells()[4, :-1]})
    with pytest.raises(CytoCascadeError, match=r"man_seg_000_004\.tif: the mask has the shape \(47, 48\), a slice of"):
        read(tmp_path)


def test_binary_masks_are_refused_and_labelled_on_request(tmp_path: Path) -> None:
    binary = (cells() > 0).astype(np.uint8) * 255
    add(tmp_path / "full", "a", cells(), binary)
    challenge(tmp_path / "slices", cells(), {(0, 4): binary[4], (0, 6): binary[6]})
    for name, where in (("full", r"masks/a\.tif"), ("slices", r"man_seg_000_004\.tif")):
        with pytest.raises(CytoCascadeError, match=rf"{where}: the mask is binary(.|\n)*--label-components"):
            read(tmp_path / name)
    assert read(tmp_path / "full", label_components=True).census.usable == 6
    entry = read(tmp_path / "slices", label_components=True)
    assert entry.census.usable == 6 + 6  # nothing tells which outlines in distant slices are of one cell
    assert entry.census.remarks == ()


@pytest.mark.parametrize("slices", [(4,), (3, 5), (3, 4)])
def test_binary_masks_of_few_slices_are_refused_too(tmp_path: Path, slices: tuple[int, ...]) -> None:
    add(tmp_path, "a", cells(), (only(cells(), *slices) > 0).astype(np.uint8))
    with pytest.raises(CytoCascadeError, match="the mask is binary"):
        read(tmp_path, sparse=True)


def test_one_cell_in_distant_slices_is_no_binary_mask(tmp_path: Path) -> None:
    entry = read(add(tmp_path, "a", cells(1), only(cells(1), 3, 5)), sparse=True)
    assert (entry.census.usable, entry.census.remarks) == (1, ())


def test_slices_numbered_one_by_one_are_told_apart_and_remarked(tmp_path: Path) -> None:
    labels = cells()
    other = np.where(labels[6] > 0, 1 + labels[6] % 6, 0).astype(np.uint16)  # every cell with its neighbour's number
    entry = read(challenge(tmp_path, labels, {(0, 3): labels[3], (0, 6): other}))
    assert entry.census.labelled == len(np.unique(labels[3])) + len(np.unique(labels[6])) - 2
    assert any("taken for other cells" in remark for remark in entry.census.remarks)


def test_labels_that_jump_between_slices_are_refused(tmp_path: Path) -> None:
    labels = cells()
    labels[5:] = np.where(labels[5:] > 0, 1 + labels[5:] % 6, 0)
    with pytest.raises(CytoCascadeError, match=r"masks/a\.tif: labels do not follow cells through z"):
        read(add(tmp_path, "a", labels))


def test_one_label_at_two_far_places_is_remarked(tmp_path: Path) -> None:
    labels = cells()
    labels[labels == 6] = 1
    entry = read(add(tmp_path, "a", labels))
    assert entry.census.remarks == ("label 1 is in pieces far apart: is it one cell?",)


@pytest.mark.parametrize("truth", ["01_ST/SEG/man_seg000.tif", "01_GT/TRA/man_track000.tif"])
@pytest.mark.parametrize("full", [True, False])
def test_gold_masks_with_fewer_cells_than_there_are_make_the_stack_sparse(
    tmp_path: Path, truth: str, full: bool
) -> None:
    labels = cells()
    some = np.where(labels <= 4, labels, 0).astype(np.uint16)
    for name, gold, sparse in (("all", labels, False), ("some", some, True)):
        root = challenge(tmp_path / name, labels, {(0, 4): gold[4]})
        if full:
            save(root / "01_GT/SEG/man_seg000.tif", gold)
        save(root / truth, labels)
        entry = read(root)
        assert (entry.sparse, len(entry.annotated)) == (sparse, 9 if full else 1)


def test_reference_of_another_shape_is_refused(tmp_path: Path) -> None:
    challenge(tmp_path, cells(), {(0, 4): cells()[4]})
    path = save(tmp_path / "01_ST/SEG/man_seg000.tif", cells()[:5])
    with pytest.raises(CytoCascadeError, match=rf"{path}: the mask has the shape \(5, 48, 48\)"):
        read(tmp_path)


def test_spacing_and_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    entry = read(add(tmp_path, "a", cells()))
    assert entry.spacing == SPACING
    assert entry.image.shape == SHAPE
    np.testing.assert_array_equal(entry.image, image_of(cells()))
