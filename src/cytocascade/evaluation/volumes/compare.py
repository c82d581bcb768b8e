"""Evidence: how synthetic volumes compare with real ones, figure by figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cytocascade import __version__
from cytocascade.evaluation.extractors import Choice, load_extractor
from cytocascade.evaluation.splits import Split, real_splits, with_floor
from cytocascade.evaluation.two_sample import require_sklearn, two_sample_test
from cytocascade.evaluation.volumes.cells import measure_cells
from cytocascade.evaluation.volumes.descriptors import describe_cells
from cytocascade.evaluation.volumes.features import all_values, compare_features
from cytocascade.evaluation.volumes.halves import FLOOR_IN_WORDS
from cytocascade.evaluation.volumes.measured import MAX_CELLS, MAX_TRAINING_CELLS, VolumeSet, measure_volumes
from cytocascade.evaluation.volumes.memorisation import check_memorisation
from cytocascade.evaluation.volumes.results import BackgroundComparison, VolumeEvaluation
from cytocascade.evaluation.volumes.selection import select_volumes
from cytocascade.evaluation.volumes.spectra import compare_line_spectra
from cytocascade.evaluation.volumes.summary import floors_above_goals, summarise
from cytocascade.evaluation.volumes.texture import compare_texture
from cytocascade.evaluation.volumes.views import compare_views
from cytocascade.types import AnnotatedImage, Array

FEW_CELLS = 20

Progress = Callable[[str, float], None]
Values = dict[str, tuple[Array, Array]]


@dataclass(frozen=True)
class VolumePictures:
    """What the pictures of a report on volumes are drawn from.

    Attributes
    ----------
    real, synthetic : VolumeSet
        Both sets.
    reference : VolumeSet
        The real cells that were searched for copies: training, or `real`.
    real_values, synthetic_values : dict
        Features of the cells, from `all_values`.
    synthetic_nearest, real_nearest : ndarray
        Distances of the memorisation check.
    """

    real: VolumeSet
    synthetic: VolumeSet
    reference: VolumeSet
    real_values: Values
    synthetic_values: Values
    synthetic_nearest: Array
    real_nearest: Array


def evaluate_volumes(
    real: Sequence[AnnotatedImage],
    synthetic: Sequence[AnnotatedImage],
    *,
    training: Sequence[AnnotatedImage] | None = None,
    seed: int = 0,
    features: Choice = "auto",
    progress: Progress | None = None,
) -> VolumeEvaluation:
    """Compare a set of synthetic volumes with a real one.

    Parameters
    ----------
    real, synthetic : sequence of AnnotatedImage
        Stacks (Z, Y, X) of known voxel size, with instance labels in every slice. `real` should be volumes the
        model has not seen.
    training : sequence of AnnotatedImage, optional
        Fully annotated volumes the model was fitted on, for the memorisation check; without them `real` is
        searched for copies.
    seed : int
        Seed of all sampling; the same seed and data give the same figures.
    features : {"auto", "inception", "efficientnet", "none"}
        Network for FID and KID; "auto" takes what is installed.
    progress : callable, optional
        Called with the name of the step that begins and the fraction done.

    Returns
    -------
    VolumeEvaluation
        Figures, each beside its real-vs-real floor.

    Raises
    ------
    CytoCascadeError
        If a set is empty, not 3D, of unknown voxel size, not fully annotated or has fewer than 5 whole cells, or if
        something is not installed.
    """
    return evaluate_volumes_with_pictures(
        real, synthetic, training=training, seed=seed, features=features, progress=progress
    )[0]


def evaluate_volumes_with_pictures(
    real: Sequence[AnnotatedImage],
    synthetic: Sequence[AnnotatedImage],
    *,
    training: Sequence[AnnotatedImage] | None = None,
    seed: int = 0,
    features: Choice = "auto",
    progress: Progress | None = None,
) -> tuple[VolumeEvaluation, VolumePictures]:
    """Do as `evaluate_volumes`, and also return what `write_report` draws its pictures from."""
    tell = progress or (lambda step, fraction: None)
    require_sklearn()
    extractor = load_extractor(features)
    tell("measuring volumes", 0.0)
    ours, theirs = (_measured(given, role, seed) for given, role in ((real, "real"), (synthetic, "synthetic")))
    trained = None if training is None else _measured(training, "training", seed)
    splits = real_splits(len(ours.parts), seed)
    tell("measuring cells", 0.1)
    tables = measure_cells(ours), measure_cells(theirs)
    values = all_values(ours, tables[0]), all_values(theirs, tables[1])
    rows = compare_features(*values, splits, seed)
    tell("comparing slices inside cells", 0.3)
    texture = compare_texture(ours, theirs, (tables[0]["flicker"], tables[1]["flicker"]), splits, seed)
    tell("comparing spectra", 0.35)
    spectra = [compare_line_spectra(ours, theirs, axis, splits) for axis in ("x", "z")]
    background = _compare_background(ours, theirs, splits)
    tell("telling real from synthetic cells", 0.4)
    names, described = describe_cells(ours, tables[0])
    test = two_sample_test(
        names,
        (described, ours.part_of_cell()),
        (describe_cells(theirs, tables[1])[1], theirs.part_of_cell()),
        splits,
        seed,
    )
    tell("looking for copies", 0.6)
    memorisation, nearest, normal = check_memorisation(ours, theirs, trained)
    tell("comparing network features" if extractor else "summing up", 0.7)
    perceptual = compare_views(ours, theirs, extractor, splits, seed)
    evaluation = VolumeEvaluation(
        version=__version__,
        seed=seed,
        real=ours.summary(),
        synthetic=theirs.summary(),
        floor=FLOOR_IN_WORDS.format(random=len(splits) - 1),
        summary=summarise(rows, texture, spectra, background, perceptual, test, memorisation),
        features=rows,
        texture=texture,
        spectra=spectra,
        background=background,
        perceptual=perceptual,
        two_sample=test,
        memorisation=memorisation,
        notes=[
            *_notes(real, ours, theirs, trained),
            *_without_surface(tables[0], "real"),
            *_without_surface(tables[1], "synthetic"),
            *_doubts(floors_above_goals(rows)),
        ],
    )
    tell("done", 1.0)
    return evaluation, VolumePictures(ours, theirs, trained or ours, *values, nearest, normal)


def _measured(volumes: Sequence[AnnotatedImage], role: str, seed: int) -> VolumeSet:
    kept, given = select_volumes(volumes, role)
    return measure_volumes(kept, given, role, seed)


def _compare_background(real: VolumeSet, synthetic: VolumeSet, splits: Sequence[Split]) -> BackgroundComparison:
    levels = [float(np.mean([np.median(v.background) for v in one.volumes])) for one in (real, synthetic)]
    noises = [np.array([one.volumes[part.volume].noise for part in one.parts]) for one in (real, synthetic)]
    ours, theirs = noises
    floors = []
    for split in splits:
        first, second = (float(ours[list(half)].mean()) for half in (split.first, split.second))
        floors.append(1 + abs(1 - first / max(second, 1e-9)))
    return BackgroundComparison(
        level_real=levels[0],
        level_synthetic=levels[1],
        noise_real=float(ours.mean()),
        noise_synthetic=float(theirs.mean()),
        noise=with_floor(float(theirs.mean() / max(ours.mean(), 1e-9)), floors),
    )


def _notes(
    given: Sequence[AnnotatedImage], real: VolumeSet, synthetic: VolumeSet, training: VolumeSet | None
) -> list[str]:
    """Return what limits the comparison."""
    notes = []
    if any(abs(a / b - 1) > 0.01 for a, b in zip(real.spacing, synthetic.spacing)):
        notes.append(
            f"Voxel sizes differ ({real.spacing} and {synthetic.spacing} µm). Shapes and distances are compared in µm; "
            "flicker, neighbouring slices and network features compare slices and pixels and will differ for "
            "that alone."
        )
    if any(volume.sparse for volume in given):
        notes.append("Labels are sparse: distances between neighbours and cell counts leave unlabelled cells out.")
    if len(real.volumes) == 1:
        notes.append("There is one real volume: its left and right halves stand for two.")
    for role, one in (("real", real), ("synthetic", synthetic), ("training", training)):
        if one is None:
            continue
        if one.given > len(one.volumes):
            notes.append(f"Of {one.given} {role} volumes, {len(one.volumes)} evenly spaced ones were used.")
        if len(one.cells) == (MAX_TRAINING_CELLS if role == "training" else MAX_CELLS):
            notes.append(f"Of the {role} cells, {len(one.cells)} drawn at random were measured.")
        elif role != "training" and len(one.cells) < FEW_CELLS:
            notes.append(f"There are only {len(one.cells)} whole {role} cells: distributions are rough.")
    if training is None:
        notes.append("No training volumes were given: copies were searched for among the real volumes.")
    return notes


def _without_surface(table: dict[str, Array], role: str) -> list[str]:
    count = int(np.isnan(table["volume"]).sum())
    return [f"The labels of {count} {role} cells make no surface: their shapes are left out."] if count else []


def _doubts(features: Sequence[str]) -> list[str]:
    if not features:
        return []
    return [
        f"Halves of the real set differ by more than the goal in: {', '.join(features)}. There a missed goal says "
        "little unless the figure is clearly above its floor; more real cells would tell."
    ]
