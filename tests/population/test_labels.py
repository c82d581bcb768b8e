from __future__ import annotations

import numpy as np
import pytest

from cytocascade.population import PlacedCell, paint_labels
from cytocascade.population import labels as labels_module

SQUARE = np.ones((4, 4), dtype=bool)


def cell(*corner: int, index: int = 0) -> PlacedCell:
    return PlacedCell(index, corner, "alone", None, None)


def test_the_cell_placed_earlier_keeps_the_overlap() -> None:
    labels, _ = paint_labels([cell(2, 2), cell(4, 4)], [SQUARE], (12, 12))
    assert labels[5, 5] == 1
    assert (labels == 1).sum() == 16
    assert (labels == 2).sum() == 12


def test_hidden_and_outside_cells_get_no_label_and_leave_no_gap() -> None:
    cells = [cell(2, 2), cell(2, 2), cell(-9, 0), cell(0, 12), cell(-2, 7)]
    labels, mapping = paint_labels(cells, [SQUARE], (12, 12))
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert mapping == {1: cells[0], 2: cells[4]}
    assert (labels == 2).sum() == 8


def test_an_owner_of_every_pixel_decides_where_cells_overlap() -> None:
    owner = np.zeros((12, 12), dtype=np.int32)
    owner[4:6, 4:6] = 2
    labels, _ = paint_labels([cell(2, 2), cell(4, 4)], [SQUARE], (12, 12), owner=owner)
    assert (labels == 1).sum() == 12
    assert (labels == 2).sum() == 16


def test_a_cell_that_is_covered_later_leaves_no_gap_in_the_labels() -> None:
    cells = [cell(2, 2), cell(2, 2), cell(7, 7)]
    owner = np.full((12, 12), 2, dtype=np.int32)
    labels, mapping = paint_labels(cells, [SQUARE], (12, 12), owner=owner)
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert mapping == {1: cells[1], 2: cells[2]}
    assert labels[3, 3] == 1
    assert labels[8, 8] == 2


def test_many_cells_widen_to_uint32_and_never_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    pixel = np.ones((1, 1), dtype=bool)
    cells = [cell(i // 300, i % 300) for i in range(65_536)]
    labels, mapping = paint_labels(cells, [pixel], (220, 300))
    assert labels.dtype == np.uint32
    assert labels.max() == len(mapping) == 65_536
    assert paint_labels(cells[:-1], [pixel], (220, 300))[0].dtype == np.uint16
    assert labels_module.label_dtype(65_535) is np.uint16


def test_a_volume_is_painted_the_same_way() -> None:
    labels, _ = paint_labels([cell(-1, 2, 2), cell(3, 3, 3)], [np.ones((2, 2, 2), dtype=bool)], (5, 6, 6))
    assert (labels == 1).sum() == 4
    assert (labels == 2).sum() == 8
