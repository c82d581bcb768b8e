import numpy as np
import pytest
from tests.images.stack_files import SPACING, cells, image_of

from cytocascade.errors import CytoCascadeError
from cytocascade.images.slices import annotated_slices, choose_slices
from cytocascade.types import AnnotatedStack


def stack(labels: np.ndarray, *, name: str = "a", annotated: tuple[int, ...] | None = None) -> AnnotatedStack:
    return AnnotatedStack(
        image=image_of(labels),
        labels=labels,
        annotated=tuple(range(len(labels))) if annotated is None else annotated,
        spacing=SPACING,
        name=name,
        spacing_known=True,
        sparse=True,
    )


def tower(filled: range, depth: int = 30) -> np.ndarray:
    """Return a stack with one square cell through the slices `filled`."""
    labels = np.zeros((depth, 16, 16), np.uint16)
    labels[filled.start : filled.stop, 4:10, 4:10] = 1
    return labels


def test_slices_keep_labels_pixels_and_what_is_known_of_the_stack() -> None:
    labels = cells()
    given = stack(labels, name="stack000", annotated=(3, 5))
    first, second = annotated_slices([given])
    assert (first.name, second.name) == ("stack000_z003", "stack000_z005")
    np.testing.assert_array_equal(first.image, given.image[3])
    np.testing.assert_array_equal(second.labels, labels[5])
    assert (first.spacing, first.spacing_known, first.sparse) == ((0.25, 0.25), True, True)


def test_slices_without_cells_are_left_out_if_others_have_some() -> None:
    assert [image.name for image in annotated_slices([stack(cells()), stack(cells(0), name="b")])] == [
        f"a_z{z:03d}" for z in range(2, 8)
    ]
    assert len(annotated_slices([stack(cells(0))])) == 9


def test_pieces_of_one_label_in_a_slice_become_cells_except_specks() -> None:
    labels = np.zeros((2, 30, 30), np.uint16)
    labels[0, 2:8, 2:7] = 4  # 30 pixels
    labels[0, 2:8, 12:18] = 4  # 36 pixels: the largest keeps the label
    labels[0, 20:23, 2:5] = 4  # 9 pixels
    labels[1, 2:8, 2:7] = labels[1, 2:8, 12:18] = 4
    labels[1, 20:29, 20:29] = 9
    first, second = annotated_slices([stack(labels)])
    np.testing.assert_array_equal(np.unique(first.labels), [0, 4, 10])
    assert (first.labels[0:10, 0:10] == 10).sum() == 30
    assert (first.labels == 4).sum() == 36 + 9
    np.testing.assert_array_equal(np.unique(second.labels), [0, 4, 9, 11])  # never a number used in the stack
    np.testing.assert_array_equal(labels[0] == 4, first.labels > 0)


def test_new_labels_beyond_uint16_are_kept() -> None:
    labels = np.zeros((1, 20, 20), np.uint16)
    labels[0, 2:8, 2:8] = labels[0, 12:18, 2:7] = 65535
    (image,) = annotated_slices([stack(labels)])
    assert image.labels.dtype == np.uint32
    np.testing.assert_array_equal(np.unique(image.labels), [0, 65535, 65536])


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (17,)), (2, (13, 21)), (5, (11, 14, 17, 20, 23)), (15, tuple(range(10, 25)))]
)
def test_slices_are_chosen_evenly_through_the_depth_of_the_cells(count: int, expected: tuple[int, ...]) -> None:
    (chosen,) = choose_slices([stack(tower(range(10, 25)))], count)
    assert chosen.annotated == expected
    assert np.flatnonzero(chosen.labels.any(axis=(1, 2))).tolist() == list(expected)
    assert choose_slices([stack(tower(range(10, 25)))], count)[0].annotated == expected


def test_slices_with_whole_cells_are_preferred() -> None:
    labels = tower(range(10, 15))
    labels[15:25, 0:6, 4:10] = 2  # cut by the frame
    labels[25, 8:10, 8:10] = 3  # a speck
    assert choose_slices([stack(labels)], 1)[0].annotated == (12,)
    labels[10:15] = 0
    assert choose_slices([stack(labels)], 1)[0].annotated == (20,)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (2, [0, 1, 0, 1]),
        (3, [1, 0, 1, 1]),
        (4, [1, 1, 1, 1]),
        (7, [2, 2, 1, 2]),
        (13, [2, 6, 1, 4]),
        (99, [2, 9, 1, 4]),
    ],
)
def test_stacks_give_equally_many_slices_as_far_as_they_have_them(count: int, expected: list[int]) -> None:
    stacks = [stack(tower(range(5, 5 + depth)), name=str(depth)) for depth in (2, 9, 1, 4)]
    chosen = choose_slices(stacks, count)
    given = {one.name: len(one.annotated) for one in chosen}
    assert [given.get(one.name, 0) for one in stacks] == expected
    assert [one.name for one in chosen] == [one.name for one, share in zip(stacks, expected) if share]


def test_no_slices_at_all_cannot_be_chosen() -> None:
    with pytest.raises(CytoCascadeError, match="--slices"):
        choose_slices([stack(cells())], 0)
