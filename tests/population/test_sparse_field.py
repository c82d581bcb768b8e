from __future__ import annotations

import numpy as np
import pytest
from tests.population.solids import ellipsoid

from cytocascade.population.occupancy import OccupiedField
from cytocascade.population.sparse_field import SparseField

SETTINGS = ((40, 50, 60), (9, 9, 9), (1.0, 0.5, 0.5), 4.0, 20.0, (2, 4, 4))
PLACES = [(9, 9, 9), (15, 20, 40), (30, 45, 12)]


@pytest.fixture(scope="module")
def fields() -> tuple[OccupiedField, SparseField]:
    dense, sparse = OccupiedField(*SETTINGS), SparseField(*SETTINGS)
    for number, corner in enumerate(PLACES):
        for field in (dense, sparse):
            field.add(ellipsoid(7, 6, 8), corner, number)
    return dense, sparse


def test_distances_owners_and_slopes_are_those_of_the_dense_field(fields: tuple[OccupiedField, SparseField]) -> None:
    dense, sparse = fields
    generator = np.random.default_rng(0)
    corners = generator.integers(2, np.array(dense.padded) - 12, size=(200, 3))
    offsets = generator.integers(0, 10, size=(50, 3))
    expected, where = dense.look_up(corners, offsets)
    found, index = sparse.look_up(corners, offsets)
    assert (expected < dense.reach).any()
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(sparse.owner.ravel()[index], dense.owner.ravel()[where])
    held = sparse.origin[index[:, 0] >> 12].any(axis=1)
    np.testing.assert_allclose(sparse.slope(index[:, 0])[held], dense.slope(where[:, 0])[held])


def test_distances_in_a_mask_are_those_of_the_dense_field(fields: tuple[OccupiedField, SparseField]) -> None:
    mask = ellipsoid(7, 6, 8)
    for corner in ([10, 12, 10], [16, 24, 44], [40, 50, 60]):
        expected = fields[0].distances_in(mask, np.array(corner))
        np.testing.assert_array_equal(fields[1].distances_in(mask, np.array(corner)), expected)


def test_memory_follows_the_cells_and_not_the_volume() -> None:
    small, large = SparseField((64, 64, 64), *SETTINGS[1:]), SparseField((64, 512, 512), *SETTINGS[1:])
    for field in (small, large):
        for number, corner in enumerate(PLACES):
            field.add(ellipsoid(7, 6, 8), corner, number)
    assert large.tiles == small.tiles
    assert large.fine.nbytes == small.fine.nbytes < 0.01 * 4 * np.prod(large.padded) * 16
    assert large.tiles * 4096 < 0.1 * np.prod(large.padded)
