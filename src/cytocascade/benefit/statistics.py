"""How sure is a gain? Means over runs, their intervals, and paired comparisons of two arms.

Two things vary: which images are tested (many, of any distribution, the same in all arms) and the seed of the segmenter
(few). Images are resampled. Seeds are not: three values resampled never reach beyond the lowest and the highest, an
interval that holds the true mean in only three of four cases. Their level is drawn from Student's t instead.

Sources: Efron and Tibshirani, *An introduction to the bootstrap* (1993), percentile interval; Rao and Wu, *Resampling
inference with complex survey data* (JASA 1988), n - 1 of n drawn, which makes the variance unbiased; Owen, *The
pigeonhole bootstrap* (Ann. Appl. Stat. 2007), crossed samples such as images x seeds: the sum of both levels counts
their interaction twice, and so errs on the wide side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.instances import InstanceScores, metric_named, metric_of_totals, pooled_terms, summarise
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array

Runs = Sequence[Sequence[InstanceScores]]
"""One list per seed of the segmenter: scores of the test images, the same images in the same order."""


class Interval(BaseModel):
    """A mean and where the true one lies.

    A level with one member (one image, one seed) has no spread that could be measured and adds nothing to the width:
    the interval of one seed is for that one segmenter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: float
    """Mean over seeds of `summarise` (or of what is computed from that)."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


class Ratio(BaseModel):
    """A ratio of means and where the true one lies."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: float
    """Ratio of the means over seeds."""
    low: float | None
    """Lower end; none: unbounded, as the denominator cannot be told from zero."""
    high: float | None
    """Upper end; none: unbounded."""


def interval(runs: Runs, metric: str, *, seed: int, draws: int = 2000, confidence: float = 0.95) -> Interval:
    """Return the mean of a measure over seeds, and its interval over seeds and images.

    Parameters
    ----------
    runs : sequence of sequence of InstanceScores
        One list per seed; the same test images in the same order.
    metric : str
        Name in `cytocascade.evaluation.instances.METRICS`.
    seed : int
        Seed of the draws; the same seed draws the same images for every arm and metric.
    draws : int
        Bootstrap draws.
    confidence : float
        Wanted probability that the interval holds the true mean, between 0 and 1.

    Raises
    ------
    CytoCascadeError
        If there are no runs or images, the images differ between runs, or the metric or the confidence does not exist.
    """
    (mean,), (drawn,) = _draw((runs,), metric, seed=seed, draws=draws)
    return _interval(mean, drawn, confidence)


def difference(
    a_runs: Runs, b_runs: Runs, metric: str, *, seed: int, draws: int = 2000, confidence: float = 0.95
) -> Interval:
    """Return by how much arm b exceeds arm a, paired by test image.

    Both arms are drawn with the same images, so that what makes an image hard for both cancels; seeds are independent.

    Parameters
    ----------
    a_runs, b_runs : sequence of sequence of InstanceScores
        As in `interval`; the same test images in both, any numbers of seeds.
    metric, seed, draws, confidence
        As in `interval`.

    Raises
    ------
    CytoCascadeError
        As in `interval`.
    """
    (a, b), (a_drawn, b_drawn) = _draw((a_runs, b_runs), metric, seed=seed, draws=draws)
    return _interval(b - a, b_drawn - a_drawn, confidence)


def relative_difference(
    a_runs: Runs, b_runs: Runs, metric: str, *, seed: int, draws: int = 2000, confidence: float = 0.95
) -> Ratio | None:
    """Return b / a - 1, paired as in `difference`: 0.09 is a gain of 9 %. None where the mean of a is 0."""
    (a, b), (a_drawn, b_drawn) = _draw((a_runs, b_runs), metric, seed=seed, draws=draws)
    return _ratio(b - a, a, b_drawn - a_drawn, a_drawn, confidence)


def gap_closed(
    real_runs: Runs,
    synthetic_runs: Runs,
    ceiling_runs: Runs,
    metric: str,
    *,
    seed: int,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Ratio | None:
    """Return (synthetic - real) / (ceiling - real), paired as in `difference`: 1 is as good as the ceiling.

    None where the ceiling is not better than real (for mistakes: not lower). Draws in which it is not better leave the
    ratio anywhere between minus and plus infinity; if they are too many, an end of the interval is unbounded.
    """
    means, drawn = _draw((real_runs, synthetic_runs, ceiling_runs), metric, seed=seed, draws=draws)
    sign = 1 if metric_named(metric).higher_is_better else -1
    (real, synthetic, ceiling), (real_drawn, synthetic_drawn, ceiling_drawn) = sign * means, sign * drawn
    return _ratio(
        synthetic - real, ceiling - real, synthetic_drawn - real_drawn, ceiling_drawn - real_drawn, confidence
    )


def resampled(scores: Sequence[InstanceScores], weights: Array, metric: str) -> Array:
    """Return a measure of many weighted sets of the same images, as `summarise` gives it for one.

    Parameters
    ----------
    scores : sequence of InstanceScores
        One per image.
    weights : ndarray, (draws, images)
        How often each image is in each set.
    metric : str
        Name in `METRICS`.

    Returns
    -------
    ndarray of float64, (draws,)
    """
    return metric_of_totals(metric, {name: weights @ values for name, values in pooled_terms(scores).items()})


def _draw(arms: Sequence[Runs], metric: str, *, seed: int, draws: int) -> tuple[Array, Array]:
    """Return the means of the arms (arms,) and draws of them (arms, draws), by the same images in all arms."""
    bounded = metric_named(metric).bounded
    images = _check(arms, draws)
    weights = _image_weights(images, seed, draws)
    values = [np.array([summarise(scores)[metric] for scores in runs]) for runs in arms]
    drawn = np.stack([np.mean([resampled(scores, weights, metric) for scores in runs], axis=0) for runs in arms])
    drawn += _seed_deviations(values, seed=seed, draws=draws)
    return np.array([value.mean() for value in values]), np.clip(drawn, 0, 1 if bounded else None)


@lru_cache(maxsize=4)
def _image_weights(images: int, seed: int, draws: int) -> Array:
    """Return how often every image is drawn, (draws, images) float64; the same for all arms and metrics."""
    if images == 1:
        return np.ones((draws, 1))
    generator = numpy_generator(seed, "bootstrap", "images")
    weights = generator.multinomial(images - 1, np.full(images, 1 / images), size=draws).astype(np.float64)
    weights.flags.writeable = False
    return weights


def _seed_deviations(values: Sequence[Array], *, seed: int, draws: int) -> Array:
    """Return draws (arms, draws) of how far the mean over a few seeds may be from that over all seeds.

    Every arm has its own spread (an arm of one seed that of the others). How well spreads are known is drawn once for
    all arms, with the degrees of freedom of Welch and Satterthwaite: at most the sum over arms of seeds - 1, fewer
    where one arm is much the widest.
    """
    freedom = np.array([len(value) - 1 for value in values])
    known = freedom.sum()
    if known == 0:
        return np.zeros((len(values), draws))
    pooled = sum(((value - value.mean()) ** 2).sum() for value in values) / known
    spread = np.array([value.var(ddof=1) if len(value) > 1 else pooled for value in values])
    variance = spread / np.array([len(value) for value in values])
    if not variance.any():
        return np.zeros((len(values), draws))
    effective = variance.sum() ** 2 / (variance**2 / np.where(freedom > 0, freedom, known)).sum()
    chi_square = numpy_generator(seed, "bootstrap", "spread of seeds").chisquare(effective, draws)
    normal = np.stack(
        [numpy_generator(seed, "bootstrap", "seeds", arm).standard_normal(draws) for arm in range(len(values))]
    )
    return np.asarray(np.sqrt(variance)[:, None] * normal * np.sqrt(effective / chi_square))


def _check(arms: Sequence[Runs], draws: int) -> int:
    """Return the number of images; complain about what cannot be compared."""
    if draws < 1:
        raise CytoCascadeError(f"An interval needs draws; {draws} are none.", hint="Use 1000 or more.")
    runs = [scores for arm in arms for scores in arm]
    if any(not arm for arm in arms) or not runs[0]:
        raise CytoCascadeError("An arm has no scored runs.", hint="Train and test at least one seed of every arm.")
    cells = [[score.reference_cells for score in scores] for scores in runs]
    if any(other != cells[0] for other in cells):
        raise CytoCascadeError(
            "The runs were not tested on the same images in the same order.",
            hint="Every run must list the scores of all test images, in one order.",
        )
    return len(runs[0])


def _interval(mean: float, drawn: Array, confidence: float) -> Interval:
    low, high = _ends(drawn, drawn, confidence)
    # A few skewed draws may lie beside the mean; the interval holds it in any case.
    return Interval(mean=float(mean), low=min(low, float(mean)), high=max(high, float(mean)))


def _ratio(part: float, whole: float, part_drawn: Array, whole_drawn: Array, confidence: float) -> Ratio | None:
    if whole <= 0:
        return None
    known = whole_drawn > 0
    ratio = part_drawn / np.where(known, whole_drawn, 1)
    mean = float(part / whole)
    low, high = _ends(np.where(known, ratio, -np.inf), np.where(known, ratio, np.inf), confidence)
    return Ratio(
        mean=mean,
        low=min(low, mean) if np.isfinite(low) else None,
        high=max(high, mean) if np.isfinite(high) else None,
    )


def _ends(low_drawn: Array, high_drawn: Array, confidence: float) -> tuple[float, float]:
    """Return the percentiles, each the draw next outside, so that infinite draws stay what they are."""
    if not 0 < confidence < 1:
        raise CytoCascadeError(f"The confidence {confidence} is not between 0 and 1.", hint="Use 0.95.")
    last, tail = len(low_drawn) - 1, (1 - confidence) / 2
    low, high = int(np.floor(tail * last)), int(np.ceil((1 - tail) * last))
    return float(np.sort(low_drawn)[low]), float(np.sort(high_drawn)[high])
