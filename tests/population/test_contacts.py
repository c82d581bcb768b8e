from __future__ import annotations

import numpy as np
import pytest
from tests.population.solids import ellipsoid

from cytocascade.population.contacts import bring_into_contact, close_up
from cytocascade.population.placement import PlacedCell

SHAPE = (20, 80, 80)
BODY = ellipsoid(8, 10, 10)


def at(*corner: int) -> PlacedCell:
    return PlacedCell(0, corner, "touching", 0.0, 0.0)


def voxels(cell: PlacedCell) -> set[tuple[int, ...]]:
    return {tuple(voxel) for voxel in np.argwhere(BODY) + cell.corner}


def beside(cell: PlacedCell) -> set[tuple[int, ...]]:
    steps = [(0, y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return {(z + a, y + b, x + c) for z, y, x in voxels(cell) for a, b, c in steps}


@pytest.mark.parametrize("corner", [(7, 20, 41), (7, 40, 22), (6, 36, 35)])
def test_bodies_whose_outlines_touch_come_to_touch_without_overlap(corner: tuple[int, int, int]) -> None:
    placed, cell = at(3, 20, 20), at(*corner)
    assert not beside(cell) & voxels(placed)
    moved = close_up(cell, BODY, [(placed, BODY)], SHAPE, 0.4)
    assert beside(moved) & voxels(placed)
    assert not voxels(moved) & voxels(placed)
    assert moved.corner[0] == cell.corner[0]


def test_a_cell_that_touches_already_stays() -> None:
    placed, cell = at(3, 20, 20), at(3, 20, 41)
    assert beside(cell) & voxels(placed)
    assert close_up(cell, BODY, [(placed, BODY)], SHAPE, 0.4) == cell


def test_a_cell_stays_rather_than_be_seen_to_overlap_too_much() -> None:
    placed, cell = at(3, 20, 20), at(8, 20, 41)
    assert close_up(cell, BODY, [(placed, BODY)], SHAPE, 0.4) != cell
    assert close_up(cell, BODY, [(placed, BODY)], SHAPE, 0.0) == cell


def test_a_cell_that_the_frame_cuts_is_cut_afterwards() -> None:
    placed, cell = at(3, 20, 20), at(7, 20, 41)
    assert close_up(cell, BODY, [(placed, BODY)], (20, 80, 60), 0.4) == cell


def test_without_neighbours_a_cell_stays() -> None:
    assert close_up(at(3, 20, 20), BODY, [], SHAPE, 0.4) == at(3, 20, 20)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_a_cell_on_its_way_minds_those_placed_later_too(order: tuple[int, int, int]) -> None:
    cells = [at(1, 20, 20), at(8, 20, 33), at(8, 28, 14)]
    # The second goes to the first, and without the third in mind it would run into it.
    assert voxels(close_up(cells[1], BODY, [(cells[0], BODY)], SHAPE, 0.4)) & voxels(cells[2])
    bodies = [cells[i] for i in order]
    bring_into_contact(bodies, [BODY], SHAPE, 0.4)
    assert sum(len(voxels(body)) for body in bodies) == len(set().union(*map(voxels, bodies)))
