"""What an evaluation of volumes found: numbers only, ready for JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from cytocascade.evaluation.results import (
    ClosePair,
    FeatureComparison,
    Floored,
    Perceptual,
    SummaryRow,
    TwoSampleTest,
    Verdict,
)


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class VolumeSummary(_Result):
    """How much data stood on one side."""

    volumes: int
    """Volumes looked at."""
    volumes_given: int
    """Volumes in the data set."""
    cells: int
    """Labelled cells in the volumes looked at."""
    whole_cells: int
    """Cells that no face of a volume cuts."""
    sampled_cells: int
    """Whole cells that were measured one by one."""
    spacing: tuple[float, float, float]
    """Micrometres per voxel along (z, y, x)."""


class CurveComparison(_Result):
    """One curve of both sets."""

    distance: Floored
    """Largest absolute difference of the curves; the floor compares halves of the real set the same way."""
    at: list[float]
    """Where the curves are known in both sets."""
    real: list[float]
    """Mean over the real set."""
    synthetic: list[float]
    """Mean over the synthetic set."""
    goal: float
    """Largest distance wanted."""
    verdict: Verdict
    """Whether the goal is met."""


class SliceCorrelation(_Result):
    """How alike the texture inside cells is in slices at a distance; camera noise is part of it on both sides."""

    neighbour_real: float
    """Correlation of neighbouring slices (of the set with the larger z-step), real."""
    neighbour_synthetic: float
    """The same, synthetic."""
    neighbour: Floored
    """Absolute difference of the two; a floor of 0 means that halves of the real set could not be measured."""
    neighbour_verdict: Verdict
    """Whether the goal is met."""
    decay: CurveComparison
    """Correlation over the axial distance in micrometres."""
    texture_share_real: float
    """Share of the variance inside cells that is texture, not noise that differs from slice to slice, real."""
    texture_share_synthetic: float
    """The same, synthetic."""


class AxialTexture(_Result):
    """How texture and brightness go on from slice to slice inside cells."""

    correlation: SliceCorrelation | None
    """Correlation between slices; None if cells are too small to measure it."""
    profile: CurveComparison | None
    """Light over the relative height in the cell (0 bottom, 1 top), relative to the cell's mean; None if cells
    have too few slices."""
    flicker_real: float | None
    """Mean over cells of (standard deviation of the differences of neighbouring slices' means / mean), real."""
    flicker_synthetic: float | None
    """The same, synthetic."""
    flicker: Floored | None
    """Synthetic / real; the floor is 1 + mean departure from 1 between real halves."""


class LineSpectrum(_Result):
    """Mean power spectra of lines through the volumes along one axis."""

    axis: Literal["x", "z"]
    """Direction of the lines."""
    distance: Floored
    """Root mean square over frequencies of the difference of the mean log spectra, in decibels."""
    frequency: list[float]
    """Cycles per micrometre."""
    real: list[float]
    """Mean spectrum of the real set, decibels."""
    synthetic: list[float]
    """Mean spectrum of the synthetic set, decibels."""


class BackgroundComparison(_Result):
    """Level and noise of the background."""

    level_real: float
    """Mean over volumes of the median background, grey values."""
    level_synthetic: float
    """The same, synthetic."""
    noise_real: float
    """Mean over volumes of the standard deviation of the background noise, grey values."""
    noise_synthetic: float
    """The same, synthetic."""
    noise: Floored
    """Noise, synthetic / real; the floor is 1 + mean departure from 1 between real halves."""


class VolumeMemorisation(_Result):
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
    closest: list[ClosePair]
    """The closest pairs."""


class VolumeEvaluation(_Result):
    """Everything that was measured of synthetic volumes against real ones."""

    version: str
    """Version of cytocascade."""
    seed: int
    """Seed of every draw."""
    dim: Literal[3] = 3
    """Dimensions of the data."""
    real: VolumeSummary
    """The real set."""
    synthetic: VolumeSummary
    """The synthetic set."""
    floor: str
    """How the real-vs-real floor was made."""
    summary: list[SummaryRow]
    """The figures with goals first."""
    features: list[FeatureComparison]
    """Shape, light and arrangement of cells."""
    texture: AxialTexture
    """Continuity along z."""
    spectra: list[LineSpectrum]
    """Power spectra along x and z."""
    background: BackgroundComparison
    """Level and noise between cells."""
    perceptual: Perceptual
    """FID and KID of XY and XZ slices, or what stands in for them."""
    two_sample: TwoSampleTest
    """Telling real from synthetic cells."""
    memorisation: VolumeMemorisation
    """Copies of training cells."""
    notes: list[str]
    """What the reader must know to read the figures."""
