from __future__ import annotations

import numpy as np
import pytest

from cytocascade.evaluation.splits import real_splits
from cytocascade.evaluation.volumes.cells import CELL_NAMES
from cytocascade.evaluation.volumes.features import DENSITY, NEIGHBOUR, WITH_GOAL, all_values, compare_features
from cytocascade.evaluation.volumes.measured import VolumeSet, measure_volumes

from .scenes import SPACING, volumes


@pytest.fixture(scope="module")
def measured() -> VolumeSet:
    return measure_volumes(volumes(0, 4), 4, "real", 0)


def table(count: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    return {name: np.linspace(0, 1, count) + shift for name in CELL_NAMES}


def test_the_same_values_are_at_distance_zero(measured: VolumeSet) -> None:
    values = all_values(measured, table(len(measured.cells)))
    rows = compare_features(values, values, real_splits(4, 0), 0)
    assert {row.distance.value for row in rows} == {0.0}
    assert [row.name for row in rows[: len(WITH_GOAL)]] == list(WITH_GOAL)
    assert {row.verdict for row in rows[: len(WITH_GOAL)]} == {"met"}


def test_values_moved_by_two_deviations_are_at_distance_two(measured: VolumeSet) -> None:
    ours = table(len(measured.cells))
    spread = float(ours["volume"].std())
    moved = all_values(measured, table(len(measured.cells), 2 * spread))
    row = next(
        row for row in compare_features(all_values(measured, ours), moved, real_splits(4, 0), 0) if row.name == "volume"
    )
    assert row.distance.value == pytest.approx(2)
    assert row.verdict == "missed"


def test_unknown_values_are_left_out(measured: VolumeSet) -> None:
    values = table(len(measured.cells))
    values["flicker"][:3] = np.nan
    known, owners = all_values(measured, values)["flicker"]
    assert len(known) == len(owners) == len(measured.cells) - 3


def test_density_is_counted_per_volume_in_cubic_micrometres(measured: VolumeSet) -> None:
    found = all_values(measured, table(len(measured.cells)))
    size = 13 * 60 * 60 * np.prod(SPACING)
    assert found[DENSITY][0] == pytest.approx(np.full(4, 4e6 / size))
    assert len(found[NEIGHBOUR][0]) == 16
