from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.volumes import selection
from cytocascade.evaluation.volumes.selection import require_one_voxel_size, select_volumes
from cytocascade.types import AnnotatedImage

from .scenes import volume, volumes


def every_other_slice_anew(one: AnnotatedImage) -> AnnotatedImage:
    """Labels as of an annotator who drew single slices: every region is a label of its own."""
    labels = np.zeros_like(one.labels)
    for z in range(0, len(labels), 2):
        labels[z] = np.where(one.labels[z] > 0, one.labels[z] + 10 * z, 0)
    return replace(one, labels=labels)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ([], "no volume"),
        ([replace(volume(1), image=np.zeros((60, 60)), labels=np.zeros((60, 60), int))], "2 axes, but volumes"),
        ([replace(volume(1), labels=np.zeros((9, 9, 9), int))], r"its labels \(9, 9, 9\)"),
        ([replace(volume(1), image=np.zeros((3, 60, 60)), labels=np.zeros((3, 60, 60), int))], "at least 5 slices"),
        ([volume(1, known=False)], "voxel size of the real volume '001' is unknown"),
        ([replace(volume(1), image=np.full((13, 60, 60), np.nan))], "NaN"),
        ([replace(volume(1), spacing=(0.8, 0.4, 0.2))], "along y and x"),
        ([every_other_slice_anew(volume(1))], "annotated in single slices"),
    ],
)
def test_volumes_that_cannot_be_compared_are_refused_in_words(spoilt: list[AnnotatedImage], words: str) -> None:
    with pytest.raises(CytoCascadeError, match=words):
        select_volumes(spoilt, "real")


def test_a_missing_voxel_size_is_answered_with_the_option() -> None:
    with pytest.raises(CytoCascadeError) as caught:
        select_volumes([volume(1, known=False)], "real")
    assert "--spacing z,y,x" in str(caught.value.hint)


def test_sparse_training_stacks_are_answered_with_leaving_them_out() -> None:
    with pytest.raises(CytoCascadeError) as caught:
        select_volumes([every_other_slice_anew(volume(1))], "training")
    assert "Leave the training images out" in str(caught.value.hint)


def test_of_very_many_volumes_evenly_spaced_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    given = volumes(0, 9)
    monkeypatch.setattr(selection, "MAX_VOXELS", 3 * given[0].image.size)
    kept, count = select_volumes(given[::-1], "real")
    assert [one.name for one in kept] == ["000", "004", "008"]
    assert count == 9


def test_two_voxel_sizes_in_one_set_are_refused() -> None:
    assert require_one_voxel_size(volumes(0, 2), "real") == (0.8, 0.4, 0.4)
    with pytest.raises(CytoCascadeError, match="'000' and '001' have voxels of"):
        require_one_voxel_size([volume(0), replace(volume(1), spacing=(1.0, 0.4, 0.4))], "real")
