from pathlib import Path

import numpy as np
import pytest
from skimage.measure import label as connected_components
from tests.images.stack_files import cells, only

from cytocascade.errors import CytoCascadeError
from cytocascade.images.label_continuity import check_links, refuse_gaps, separate_distant

PATH = Path("m.tif")


def numbered_slice_by_slice(labels: np.ndarray) -> np.ndarray:
    return np.stack([connected_components(plane > 0).astype(np.uint16) for plane in labels])


def shifted(one: int, other: int) -> np.ndarray:
    """Return a 10 pixel wide cell in slice 0 and one of the same label, moved to the right, in slice 3."""
    labels = np.zeros((4, 12, 40), np.uint16)
    labels[0, 1:11, one : one + 10] = labels[3, 1:11, other : other + 10] = 1
    return labels


def test_labels_that_follow_cells_pass() -> None:
    assert check_links(cells(), range(9), PATH) == ()
    assert check_links(cells(0), range(9), PATH) == ()
    assert check_links(cells(), (), PATH) == ()


def test_labels_numbered_slice_by_slice_are_refused() -> None:
    labels = numbered_slice_by_slice(cells())
    with pytest.raises(CytoCascadeError, match=r"m\.tif: labels do not follow cells(.|\n)*--label-components"):
        check_links(labels, range(9), PATH)


def test_one_label_that_jumps_is_remarked() -> None:
    labels = cells()
    labels[5:][labels[5:] == 1] = 7
    labels[5:, 40:46, 40:46] = 1
    (remark,) = check_links(labels, range(9), PATH)
    assert remark == "1 of 7 labels (1) are at another place in the next slice: are they one cell?"
    assert check_links(only(labels, 3, 6), (3, 6), PATH) == ()  # slices apart are no neighbours


@pytest.mark.parametrize(("moved", "renamed"), [(0, 0), (4, 0), (6, 1), (20, 1)])
def test_label_at_another_place_after_a_gap_is_another_cell(moved: int, renamed: int) -> None:
    labels = shifted(5, 5 + moved)
    separate, count = separate_distant(labels, (0, 3))
    assert count == renamed
    np.testing.assert_array_equal(np.unique(separate[3]), [0, 1 + renamed])
    np.testing.assert_array_equal(separate > 0, labels > 0)
    np.testing.assert_array_equal(separate[0], labels[0])


def test_neighbouring_slices_are_never_renumbered() -> None:
    labels = numbered_slice_by_slice(cells())
    separate, count = separate_distant(labels, range(9))
    assert separate is labels
    assert count == 0


def test_a_new_number_goes_on_through_later_slices_and_beyond_uint16() -> None:
    labels = np.zeros((7, 12, 40), np.uint16)
    labels[0, 1:11, 2:12] = labels[3:5, 1:11, 25:35] = labels[6, 1:11, 25:35] = 65535
    separate, count = separate_distant(labels, (0, 3, 4, 6))
    assert (count, separate.dtype) == (1, np.uint32)
    assert [int(plane.max()) for plane in separate] == [65535, 0, 0, 65536, 65536, 0, 65536]


@pytest.mark.parametrize(
    ("slices", "problem"),
    [
        ((4,), "only slice 4 of 9 holds labels"),
        ((2, 4, 7), r"3 of 9 slices hold labels, no two of them neighbours \(2, 4, 7\)"),
        ((3, 4, 6), "slice 5 holds no label, but label 6 is in slices 4 and 6"),
    ],
)
def test_slices_that_seem_not_annotated_are_refused(slices: tuple[int, ...], problem: str) -> None:
    with pytest.raises(CytoCascadeError, match=rf"m\.tif: {problem}(.|\n)*--sparse"):
        refuse_gaps(only(cells(), *slices), PATH)


def test_whole_stacks_and_cells_above_each_other_pass() -> None:
    refuse_gaps(cells(), PATH)
    refuse_gaps(cells(0), PATH)
    labels = np.zeros((9, 20, 20), np.uint16)
    labels[1:3, 4:10, 4:10] = 1
    labels[5:7, 4:10, 4:10] = 2
    refuse_gaps(labels, PATH)
