from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.evaluation.volumes.measured import VolumeSet, measure_volumes
from cytocascade.evaluation.volumes.memorisation import check_memorisation, nearest, possibly_same
from cytocascade.types import AnnotatedImage

from .scenes import volumes


def measured(given: list[AnnotatedImage]) -> VolumeSet:
    return measure_volumes(given, len(given), "real", 0)


def turned(one: AnnotatedImage) -> AnnotatedImage:
    """The same cells, mirrored, a quarter turn on, twice as bright."""
    image, labels = (np.rot90(x[:, :, ::-1], axes=(1, 2)) for x in (one.image, one.labels))
    return replace(one, image=(2 * image).astype(np.uint16), labels=labels.copy(), name=f"turned {one.name}")


def test_turned_and_brightened_copies_are_found_with_their_pose() -> None:
    real = measured(volumes(0, 3))
    found = nearest(measured([turned(one) for one in volumes(0, 3)]), real)
    assert found.distance.max() < 0.2
    for ours, which in zip(found.cells, found.which):
        assert real.cells[which].volume == ours.volume


def test_copies_are_told_from_other_cells() -> None:
    real = measured(volumes(0, 4))
    copied, _, normal = check_memorisation(real, measured([turned(one) for one in volumes(0, 4)]), None)
    fresh, _, _ = check_memorisation(real, measured(volumes(50, 4)), None)
    assert copied.copies > 10
    assert copied.verdict == "missed"
    assert fresh.copies == 0
    assert fresh.verdict == "met"
    assert fresh.synthetic_median == pytest.approx(float(np.median(normal)), rel=0.25)


def test_the_training_set_is_searched_if_there_is_one() -> None:
    training = measured(volumes(20, 2))
    found, _, _ = check_memorisation(measured(volumes(0, 2)), measured(volumes(50, 2)), training)
    assert (found.reference, found.reference_cells) == ("training", 8)
    assert {pair.real_image for pair in found.closest} <= {"020", "021"}


def test_a_cell_is_not_compared_with_itself_nor_with_its_second_image() -> None:
    first = volumes(0, 2)
    again = measured([replace(one, name=f"round 2 {one.name}") for one in first])
    real = measured(first)
    same = possibly_same(real, real.cells, again)
    assert same.diagonal().all()
    assert same.sum() < 0.3 * same.size
