"""Real nuclei against other real nuclei of the same field: what is measured must call them alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from cytocascade.evaluation import VolumeEvaluation, evaluate_volumes
from cytocascade.images import read_dataset

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "3d-cultured-nuclei"
SPACING = (0.5, 0.3788, 0.3788)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the real volumes in {DATA}"),
]


@pytest.fixture(scope="module")
def evaluation() -> VolumeEvaluation:
    found = list(read_dataset(DATA, spacing=SPACING, dim=3))
    return evaluate_volumes(found[:5], found[5:], features="none")


def test_slices_go_on_alike(evaluation: VolumeEvaluation) -> None:
    assert evaluation.texture.correlation is not None
    assert evaluation.texture.profile is not None
    assert evaluation.texture.flicker is not None
    assert evaluation.texture.correlation.neighbour_verdict == "met"
    assert evaluation.texture.correlation.decay.verdict == "met"
    assert evaluation.texture.profile.verdict == "met"
    assert evaluation.texture.flicker.value < 1.25


def test_spectra_through_cells_agree(evaluation: VolumeEvaluation) -> None:
    assert all(one.distance.value < 1.5 for one in evaluation.spectra)


def test_cells_are_neither_told_apart_nor_called_copies(evaluation: VolumeEvaluation) -> None:
    assert evaluation.two_sample.accuracy.value <= 0.75
    assert evaluation.memorisation.verdict == "met"


def test_nuclei_are_flat_and_of_the_known_size(evaluation: VolumeEvaluation) -> None:
    means = {row.name: row.real_mean for row in evaluation.features}
    assert 0.3 < means["axial_ratio"] < 0.7
    assert 300 < means["volume"] < 1000
    assert 5 < means["axial_extent"] < 9


def test_the_reader_is_told_that_cells_are_few(evaluation: VolumeEvaluation) -> None:
    assert any("whole synthetic cells: distributions are rough" in note for note in evaluation.notes)
