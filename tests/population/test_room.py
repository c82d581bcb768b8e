"""The light of cells that nearly fill their crop goes on beyond it."""

import numpy as np
import pytest

from cytocascade.population.room import ROOM, with_rim, with_room

SIDE = 64
CORE = slice(ROOM, -ROOM)


def disc(radius: float, column: float, side: int = SIDE + 2 * ROOM) -> np.ndarray:
    """Signed distance of a disc in the wider crop."""
    y, x = np.indices((side, side)) - np.reshape(((side - 1) / 2, column + ROOM), (2, 1, 1))
    return np.asarray(radius - np.hypot(y, x), dtype=np.float32)


def light_of(distance: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(distance > 0, 1.0, 0.6 * np.exp(distance / 2.0)), dtype=np.float32)


def test_distances_go_on_as_they_are() -> None:
    whole = disc(20.0, 21.5)
    found = with_room(whole[None, CORE, CORE])[0]
    np.testing.assert_array_equal(found[CORE, CORE], whole[CORE, CORE])
    np.testing.assert_allclose(found, whole, atol=0.8)
    assert not (found > 0)[:, :ROOM].any()


@pytest.mark.parametrize("column", [21.5, 41.5], ids=["left", "right"])
def test_light_goes_on_as_it_falls_off_within_the_crop(column: float) -> None:
    whole = disc(20.0, column)
    light = light_of(whole)
    found = with_rim(light[None, CORE, CORE], with_room(whole[None, CORE, CORE]))[0]
    np.testing.assert_array_equal(found[CORE, CORE], light[CORE, CORE])
    assert light[:, [ROOM - 1, -ROOM]].max() > 0.15  # There is something beyond the border.
    np.testing.assert_allclose(found, light, atol=0.08)
    assert found[:, [0, -1]].max() < 0.03


def test_nothing_is_added_to_cells_in_the_middle() -> None:
    whole = disc(12.0, 31.5)
    found = with_rim(light_of(whole)[None, CORE, CORE] + 0.01, with_room(whole[None, CORE, CORE]))[0]
    assert not found[:ROOM].any()
    assert not found[:, -ROOM:].any()


def test_no_cells() -> None:
    nothing = np.zeros((0, SIDE, SIDE), dtype=np.float32)
    wider = with_room(nothing)
    assert wider.shape == with_rim(nothing, wider).shape == (0, SIDE + 2 * ROOM, SIDE + 2 * ROOM)
