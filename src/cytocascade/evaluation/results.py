"""What an evaluation found: numbers only, ready for JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["met", "missed", "shown"]
TileKind = Literal["fields", "cells", "xy", "xz"]


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Floored(_Result):
    """A figure of synthetic against real data, beside the same figure of real against real data."""

    value: float
    """Synthetic against real."""
    floor: float
    """Mean over all splits of the real images in two halves, one half against the other."""
    floor_contiguous: float
    """The split in first and second half by name (the honest one for a video)."""
    floor_random: list[float]
    """The splits of the images at random."""


class SetSummary(_Result):
    """How much data stood on one side."""

    images: int
    """Images looked at."""
    images_given: int
    """Images in the data set."""
    cells: int
    """Labelled cells in the images looked at."""
    complete_cells: int
    """Cells that no frame cuts."""
    sampled_cells: int
    """Complete cells used for texture, memorisation and faithfulness."""


class FeatureComparison(_Result):
    """One per-cell feature of both sets."""

    name: str
    """Name as in `cytocascade.images.features.FEATURE_NAMES`, or ``cells_per_megapixel``."""
    unit: str
    """Unit of the means and standard deviations."""
    distance: Floored
    """Wasserstein distance / standard deviation of the real values."""
    real_mean: float
    """Mean of the real values."""
    real_sd: float
    """Standard deviation of the real values."""
    synthetic_mean: float
    """Mean of the synthetic values."""
    synthetic_sd: float
    """Standard deviation of the synthetic values."""
    goal: float | None
    """Largest distance wanted; none where the figure is only shown."""
    verdict: Verdict
    """Whether the goal is met."""


class SpectrumComparison(_Result):
    """Radially averaged power spectra."""

    distance: Floored
    """Root mean square over frequency bins of the difference of the mean log spectra, in decibels."""
    frequency: list[float]
    """Centre of each bin, cycles per pixel."""
    real: list[float]
    """Mean spectrum of the real set, decibels."""
    synthetic: list[float]
    """Mean spectrum of the synthetic set, decibels."""
    tile: int
    """Side of the transformed squares in pixels."""


class PerceptualDistance(_Result):
    """Distances between network features of tiles (or single-cell crops) of both sets."""

    what: TileKind
    """Tiles of whole fields, or single-cell crops; of volumes: tiles of XY slices, or of isotropic XZ slices."""
    side: int
    """Side of the tiles in pixels, before they are resized for the network."""
    count: int
    """Tiles on each side of every Fréchet distance with a floor."""
    frechet: Floored
    """Fréchet distance at `count` tiles; it grows as tiles become fewer, so compare only with its floor."""
    count_all: int
    """Tiles per set available."""
    frechet_all: float
    """Fréchet distance at `count_all` tiles."""
    kernel: Floored
    """Kernel distance (unbiased squared MMD, cubic kernel), mean over subsets; the count does not matter."""
    kernel_sd: float
    """Standard deviation of the kernel distance over the subsets."""


class Perceptual(_Result):
    """Distances on the features of a pretrained network."""

    extractor: Literal["inception", "efficientnet", "none"]
    """Which network; FID and KID are names for the FID InceptionV3 alone."""
    frechet_name: str
    """What the Fréchet distance may be called."""
    kernel_name: str
    """What the kernel distance may be called."""
    low: float
    """Intensity drawn black: 0.1th percentile of the real set."""
    high: float
    """Intensity drawn white: 99.9th percentile of the real set."""
    distances: list[PerceptualDistance]
    """One for fields, one for cells; empty without a network."""
    note: str
    """How to get more, or empty."""


class TellingFeature(_Result):
    """A descriptor by which the classifier tells real from synthetic cells."""

    name: str
    """Descriptor."""
    importance: float
    """Loss of held-out accuracy when the descriptor is shuffled."""
    shift: float
    """(Median of synthetic - median of real) / robust standard deviation of real."""
    auc: float
    """Area under the ROC curve of this descriptor alone; 0.5 tells nothing apart."""


class TwoSampleTest(_Result):
    """Cross-validated accuracy of telling real from synthetic cells."""

    accuracy: Floored
    """Of the stronger classifier; 0.5 is guessing. Below 0.5 hints at copies on both sides."""
    classifier: Literal["gradient boosting", "logistic regression"]
    """The stronger one."""
    boosting: float
    """Accuracy of gradient boosting."""
    logistic: float
    """Accuracy of logistic regression."""
    cells_per_class: int
    """Cells of each kind, subsampled to the same number."""
    folds: int
    """Folds; no image is in two of them."""
    telling: list[TellingFeature]
    """The descriptors that matter most, most important first."""


class ClosePair(_Result):
    """A synthetic cell and the real cell that looks most like it."""

    synthetic_image: str
    """Name of the synthetic image."""
    synthetic_label: int
    """Label in it."""
    real_image: str
    """Name of the real image."""
    real_label: int
    """Label in it."""
    distance: float
    """Distance of the aligned crops, 0 (same) to 2."""
    turn: float
    """Rotation (radians) that brings the synthetic cell nearest to the real one."""
    flip: bool
    """Whether it has to be flipped before."""


class Memorisation(_Result):
    """Whether synthetic cells are copies of real ones."""

    reference: Literal["training", "real"]
    """Which real cells were searched for the nearest one."""
    reference_cells: int
    """How many."""
    null: Literal["real to training", "real to real"]
    """Which nearest distances say what is normal."""
    null_percentile_1: float
    """1st percentile of the normal nearest distances."""
    null_median: float
    """Median of the normal nearest distances."""
    synthetic_median: float
    """Median nearest distance of the synthetic cells."""
    fraction_closer: float
    """Fraction of synthetic cells closer than that 1st percentile; 0.01 is what chance gives."""
    fraction_allowed: float
    """What chance gives at most (99.9 %) for independent cells at these numbers of cells, at least 0.03."""
    copies: int
    """Synthetic cells closer than half that 1st percentile."""
    verdict: Verdict
    """Met if there are no copies and the fraction is not more than allowed."""
    video: bool
    """Whether the reference looks like a video (most cells overlap one in the next image)."""
    closest: list[ClosePair]
    """The closest pairs."""


class Faithfulness(_Result):
    """Whether labels fit what the image shows."""

    edge_real: float
    """Mean over cells of (gradient on the mask edge / gradient 2-3 px beside it), real."""
    edge_synthetic: float
    """The same, synthetic."""
    edge_ratio: Floored
    """Synthetic / real; the floor is 1 + mean departure from 1 between real halves."""
    offset_real: float
    """Mean distance (px, outward positive) from the mask edge to the steepest gradient, real."""
    offset_synthetic: float
    """The same, synthetic."""
    offset_spread_real: float
    """Standard deviation over cells, real."""
    offset_spread_synthetic: float
    """Standard deviation over cells, synthetic."""
    dice_real: float
    """Dice of labels and re-segmentation, real."""
    dice_synthetic: float
    """The same, synthetic."""
    dice_ratio: Floored
    """Synthetic / real; floor as above."""
    segmenter: str
    """The classical segmenter, as tuned on the real images."""


class SummaryRow(_Result):
    """One line of the table at the top of the report."""

    name: str
    """What is measured, in words."""
    value: float
    """The figure."""
    floor: float | None
    """The same for real against real."""
    goal: str
    """The goal in words; empty where there is none."""
    verdict: Verdict
    """Whether the goal is met."""


class Evaluation(_Result):
    """Everything that was measured of a synthetic data set against a real one."""

    version: str
    """Version of cytocascade."""
    seed: int
    """Seed of every draw."""
    unit: Literal["µm", "px"]
    """Unit of length; pixels unless the spacing of both sets is known."""
    real: SetSummary
    """The real set."""
    synthetic: SetSummary
    """The synthetic set."""
    floor: str
    """How the real-vs-real floor was made."""
    summary: list[SummaryRow]
    """The figures with goals first."""
    features: list[FeatureComparison]
    """Per-cell features."""
    field_spectrum: SpectrumComparison
    """Power spectra of fields."""
    cell_spectrum: SpectrumComparison
    """Power spectra of single cells."""
    perceptual: Perceptual
    """FID and KID, or what stands in for them."""
    two_sample: TwoSampleTest
    """Telling real from synthetic cells."""
    memorisation: Memorisation
    """Copies of training cells."""
    faithfulness: Faithfulness
    """Labels against images."""
    notes: list[str]
    """What the reader must know to read the figures."""
