from __future__ import annotations

from dataclasses import replace

import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation import VolumeEvaluation, VolumePictures, evaluate_volumes

from .scenes import volume, volumes

Result = tuple[VolumeEvaluation, VolumePictures]


def row(evaluation: VolumeEvaluation, words: str) -> tuple[float, float | None, str]:
    found = next(row for row in evaluation.summary if words in row.name)
    return found.value, found.floor, found.verdict


def test_two_sets_of_one_kind_differ_little_more_than_real_halves(alike: Result) -> None:
    for feature in alike[0].features[:7]:
        assert feature.distance.value < 1.5 * feature.distance.floor + 0.05, feature.name
    for words in ("neighbouring slices", "bottom to top", "Flicker between slices, syn", "noise", "telling real"):
        assert row(alike[0], words)[2] == "met", words


def test_wider_cells_are_seen_in_their_shape(different: Result) -> None:
    distances = {feature.name: feature.distance for feature in different[0].features}
    for name in ("volume", "projected_area", "axial_ratio", "relative_volume"):
        assert distances[name].value > 2 * distances[name].floor, name


def test_uneven_slices_texture_that_does_not_go_on_and_missing_noise_are_each_told(different: Result) -> None:
    assert row(different[0], "Flicker between slices, synthetic / real")[0] > 2
    for words in ("Flicker between slices, syn", "neighbouring slices", "Background noise", "telling real"):
        assert row(different[0], words)[2] == "missed", words


def test_the_same_volumes_on_both_sides_are_at_distance_zero_and_all_copies() -> None:
    given = volumes(0, 3)
    evaluation = evaluate_volumes(given, given, features="none")
    assert all(feature.distance.value == 0 for feature in evaluation.features)
    assert all(one.distance.value == pytest.approx(0, abs=1e-9) for one in evaluation.spectra)
    assert evaluation.memorisation.verdict == "missed"
    assert evaluation.two_sample.accuracy.value < 0.7


def test_the_same_seed_gives_the_same_figures_and_progress_rises_to_one() -> None:
    steps: list[tuple[str, float]] = []
    first, second = (
        evaluate_volumes(
            volumes(0, 2),
            volumes(50, 2),
            seed=3,
            features="none",
            progress=lambda step, done: steps.append((step, done)),
        )
        for _ in range(2)
    )
    assert first == second
    fractions = [done for _, done in steps[: len(steps) // 2]]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)


def test_what_limits_the_comparison_is_noted() -> None:
    thicker = [replace(one, spacing=(1.0, 0.4, 0.4)) for one in volumes(50, 2)]
    notes = " ".join(evaluate_volumes(volumes(0, 2), thicker, features="none").notes)
    assert "Voxel sizes differ" in notes
    assert "only 8 whole real cells" in notes
    assert "No training volumes" in notes
    assert "differ by more than the goal" in notes


def test_bad_synthetic_volumes_are_named_synthetic() -> None:
    with pytest.raises(CytoCascadeError, match="synthetic volume '001' is unknown"):
        evaluate_volumes(volumes(0, 2), [volume(1, known=False)], features="none")
