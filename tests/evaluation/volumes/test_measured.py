from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.volumes import measured
from cytocascade.evaluation.volumes.measured import VolumeSet, measure_volumes
from cytocascade.types import AnnotatedImage

from .scenes import SPACING, volume, volumes


def measured_set(given: list[AnnotatedImage]) -> VolumeSet:
    return measure_volumes(given, len(given), "real", 0)


def cut_below(one: AnnotatedImage) -> AnnotatedImage:
    """Without the slices below the middle of the cells."""
    return replace(one, image=one.image[6:], labels=one.labels[6:])


def test_cells_cut_by_a_face_are_counted_but_not_sampled() -> None:
    found = measured_set([*volumes(0, 2), cut_below(volume(2))])
    summary = found.summary()
    assert (summary.cells, summary.whole_cells, summary.sampled_cells) == (12, 8, 8)
    assert not found.volumes[2].whole.any()


def test_too_few_whole_cells_are_refused_with_their_number() -> None:
    with pytest.raises(CytoCascadeError, match=r"real set has 4 whole cells \(of 8"):
        measured_set([volume(0), cut_below(volume(1))])


def test_distances_to_neighbours_are_in_micrometres() -> None:
    found = measured_set(volumes(0, 2)).volumes[0]
    centres = found.centroid * np.array(SPACING)
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1) + 1e9 * np.eye(4)
    assert found.nearest == pytest.approx(gaps.min(axis=1))


def test_a_single_volume_counts_as_two_halves_without_cutting_cells() -> None:
    wide = replace(
        volume(0),
        image=np.concatenate([volume(0).image, volume(1).image], axis=2),
        labels=np.concatenate([volume(0).labels, np.where(volume(1).labels > 0, volume(1).labels + 4, 0)], axis=2),
    )
    found = measured_set([wide])
    assert sorted(found.part_of_cell().tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found.block(found.parts[1])[0].shape == (13, 60, 60)


def test_a_window_shows_the_cell_and_what_is_free_around() -> None:
    found = measured_set(volumes(0, 2))
    window = found.window(found.cells[1], margin=20)
    own = found.volumes[0].labels[window.area] == found.label(found.cells[1])
    assert np.array_equal(window.own, own)
    others = (found.volumes[0].labels[window.area] > 0) & ~own
    assert others.any()
    assert not (window.free & others).any()
    assert window.free[own].all()


def test_of_very_many_cells_as_many_are_drawn_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "MAX_CELLS", 6)
    first, second = (measured_set(volumes(0, 3)) for _ in range(2))
    assert len(first.cells) == 6
    assert first.cells == second.cells
