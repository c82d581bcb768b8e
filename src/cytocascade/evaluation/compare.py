"""Evidence: how a synthetic data set compares with a real one, figure by figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cytocascade import __version__
from cytocascade.evaluation.descriptors import describe_cells
from cytocascade.evaluation.extractors import Choice, load_extractor
from cytocascade.evaluation.faithfulness import measure_faithfulness
from cytocascade.evaluation.feature_distances import compare_features
from cytocascade.evaluation.measured import MAX_CELLS, MAX_TRAINING_CELLS, MeasuredSet, measure_set, select_images
from cytocascade.evaluation.memorisation import memorisation_check
from cytocascade.evaluation.perceptual import cell_crop_side, compare_perceptually
from cytocascade.evaluation.results import Evaluation
from cytocascade.evaluation.spectra import compare_cell_spectra, compare_field_spectra
from cytocascade.evaluation.splits import FLOOR_IN_WORDS, real_splits
from cytocascade.evaluation.summary import summarise
from cytocascade.evaluation.two_sample import require_sklearn, two_sample_test
from cytocascade.types import AnnotatedImage, Array

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Pictures:
    """What the pictures of a report are drawn from.

    Attributes
    ----------
    real, synthetic : MeasuredSet
        Both sets.
    reference : MeasuredSet
        The real cells that were searched for copies: training, or `real`.
    synthetic_nearest, real_nearest : ndarray
        Distances of the memorisation check.
    """

    real: MeasuredSet
    synthetic: MeasuredSet
    reference: MeasuredSet
    synthetic_nearest: Array
    real_nearest: Array


def evaluate(
    real: Sequence[AnnotatedImage],
    synthetic: Sequence[AnnotatedImage],
    *,
    training: Sequence[AnnotatedImage] | None = None,
    seed: int = 0,
    features: Choice = "auto",
    progress: Progress | None = None,
) -> Evaluation:
    """Compare a synthetic data set with a real one.

    Parameters
    ----------
    real, synthetic : sequence of AnnotatedImage
        2D images with instance labels. `real` should be images the model has not seen.
    training : sequence of AnnotatedImage, optional
        The images the model was fitted on, for the memorisation check; without them `real` is searched
        for copies.
    seed : int
        Seed of all sampling; the same seed and data give the same figures.
    features : {"auto", "inception", "efficientnet", "none"}
        Network for FID and KID; "auto" takes what is installed.
    progress : callable, optional
        Called with the name of the step that begins and the fraction done.

    Returns
    -------
    Evaluation
        Figures, each beside its real-vs-real floor.

    Raises
    ------
    CytoCascadeError
        If a set is empty, not 2D or has fewer than 10 complete cells, or if something is not installed.
    """
    return evaluate_with_pictures(real, synthetic, training=training, seed=seed, features=features, progress=progress)[
        0
    ]


def evaluate_with_pictures(
    real: Sequence[AnnotatedImage],
    synthetic: Sequence[AnnotatedImage],
    *,
    training: Sequence[AnnotatedImage] | None = None,
    seed: int = 0,
    features: Choice = "auto",
    progress: Progress | None = None,
) -> tuple[Evaluation, Pictures]:
    """Do as `evaluate`, and also return what `write_report` draws its pictures from."""
    tell = progress or (lambda step, fraction: None)
    require_sklearn()
    extractor = load_extractor(features)
    tell("measuring cells", 0.0)
    sets, unit, notes = _measured(real, synthetic, training, seed)
    ours, theirs, trained = sets
    splits = real_splits(len(ours.images), seed)
    tell("comparing features", 0.15)
    feature_rows = compare_features(ours, theirs, splits, unit)
    tell("comparing spectra", 0.2)
    field_spectrum = compare_field_spectra(ours, theirs, splits)
    cell_spectrum = compare_cell_spectra(ours, theirs, cell_crop_side(ours), splits)
    tell("telling real from synthetic cells", 0.25)
    names, described = describe_cells(ours)
    test = two_sample_test(
        names,
        (described, ours.image_of_cell()),
        (describe_cells(theirs)[1], theirs.image_of_cell()),
        splits,
        seed,
    )
    tell("checking labels against images", 0.45)
    faithfulness = measure_faithfulness(ours, theirs, splits)
    tell("looking for copies", 0.55)
    memorisation, nearest, normal = memorisation_check(ours, theirs, trained)
    tell("comparing network features" if extractor else "summing up", 0.7)
    perceptual = compare_perceptually(ours, theirs, extractor, splits, seed)
    evaluation = Evaluation(
        version=__version__,
        seed=seed,
        unit="µm" if unit == "µm" else "px",
        real=ours.summary(),
        synthetic=theirs.summary(),
        floor=FLOOR_IN_WORDS.format(random=len(splits) - 1),
        summary=summarise(feature_rows, field_spectrum, cell_spectrum, perceptual, test, memorisation, faithfulness),
        features=feature_rows,
        field_spectrum=field_spectrum,
        cell_spectrum=cell_spectrum,
        perceptual=perceptual,
        two_sample=test,
        memorisation=memorisation,
        faithfulness=faithfulness,
        notes=notes,
    )
    tell("done", 1.0)
    return evaluation, Pictures(ours, theirs, trained or ours, nearest, normal)


def _measured(
    real: Sequence[AnnotatedImage],
    synthetic: Sequence[AnnotatedImage],
    training: Sequence[AnnotatedImage] | None,
    seed: int,
) -> tuple[tuple[MeasuredSet, MeasuredSet, MeasuredSet | None], str, list[str]]:
    """Measure the sets in one unit of length, and note what limits the comparison."""
    selected = [select_images(real, "real"), select_images(synthetic, "synthetic")]
    notes: list[str] = []
    in_pixels = not all(image.spacing_known for images, _ in selected for image in images)
    if in_pixels:
        notes.append("The pixel size of at least one set is unknown: lengths are in pixels.")
    spacings = [images[0].spacing for images, _ in selected]
    if not in_pixels and any(abs(a / b - 1) > 0.01 for a, b in zip(*spacings)):
        notes.append(
            f"Pixel sizes differ ({spacings[0]} and {spacings[1]} µm). Areas and distances are compared "
            "in µm; spectra, textures and network features compare pixels and will differ for that alone."
        )
    if any(image.sparse for images, _ in selected for image in images):
        notes.append("Labels are sparse: distances between neighbours and cell counts leave unlabelled cells out.")
    ours, theirs = (
        measure_set(images, given, role, in_pixels=in_pixels, seed=seed)
        for (images, given), role in zip(selected, ("real", "synthetic"))
    )
    if len(real) == 1:
        notes.append("There is one real image: its left and right halves stand for two.")
    notes += _limits(ours, "real") + _limits(theirs, "synthetic")
    if training is None:
        notes.append("No training images were given: copies were searched for among the real images.")
        return (ours, theirs, None), ("px" if in_pixels else "µm"), notes
    images, given = select_images(training, "training")
    trained = measure_set(images, given, "training", in_pixels=in_pixels, seed=seed)
    return (ours, theirs, trained), ("px" if in_pixels else "µm"), notes + _limits(trained, "training")


def _limits(measured: MeasuredSet, role: str) -> list[str]:
    notes: list[str] = []
    if measured.given > len(measured.images):
        notes.append(f"Of {measured.given} {role} images, {len(measured.images)} evenly spaced ones were used.")
    if role == "training" and len(measured.cells) == MAX_TRAINING_CELLS:
        notes.append(f"Copies were searched for among {MAX_TRAINING_CELLS} training cells drawn at random.")
    elif len(measured.cells) == MAX_CELLS:
        notes.append(f"Texture, copies and label fit rest on {MAX_CELLS} {role} cells drawn at random.")
    return notes
