from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.evaluation.splits import real_splits
from cytocascade.evaluation.volumes.measured import VolumeSet, measure_volumes
from cytocascade.evaluation.volumes.results import SliceCorrelation
from cytocascade.evaluation.volumes.texture import compare_texture
from cytocascade.types import AnnotatedImage

from .scenes import volumes


def measured(given: list[AnnotatedImage]) -> VolumeSet:
    return measure_volumes(given, len(given), "real", 0)


def compared(real: list[AnnotatedImage], synthetic: list[AnnotatedImage]) -> SliceCorrelation:
    ours, theirs = measured(real), measured(synthetic)
    flicker = np.full(len(ours.cells), 0.1), np.full(len(theirs.cells), 0.2)
    found = compare_texture(ours, theirs, flicker, real_splits(len(real), 0), 0).correlation
    assert found is not None
    return found


def test_slices_of_one_kind_correlate_alike() -> None:
    found = compared(volumes(0, 4), volumes(50, 4))
    assert found.neighbour.value < 0.06
    assert found.neighbour_verdict == "met"
    assert 0 < found.neighbour.floor < 0.1


def test_slices_with_a_texture_of_their_own_do_not_correlate() -> None:
    found = compared(volumes(0, 4), volumes(50, 4, smooth=0.05))
    assert found.neighbour_synthetic < 0.25 < found.neighbour_real
    assert found.neighbour_verdict == "missed"


def test_the_same_texture_in_all_slices_is_seen_in_the_decay() -> None:
    real = volumes(0, 4, noise=1.0)
    frozen = [replace(one, image=np.where(one.labels > 0, one.image[6], one.image).astype(np.uint16)) for one in real]
    found = compared(real, frozen)
    assert min(found.decay.synthetic) > 0.95
    assert found.decay.real[-1] < 0.6
    assert found.decay.verdict == "missed"
    assert found.decay.at[0] == pytest.approx(0.8)


def test_flicker_is_a_ratio_and_unknown_where_no_cell_has_any() -> None:
    one = measured(volumes(0, 4))
    count, splits = len(one.cells), real_splits(4, 0)
    known = compare_texture(one, one, (np.full(count, 0.1), np.full(count, 0.2)), splits, 0)
    assert known.flicker is not None
    assert known.flicker.value == pytest.approx(2)
    assert known.flicker.floor == pytest.approx(1)
    assert compare_texture(one, one, (np.full(count, np.nan),) * 2, splits, 0).flicker is None
