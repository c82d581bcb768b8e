"""How well the labels fit what the image shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

from cytocascade.evaluation.measured import CellReference, MeasuredSet, cell_window
from cytocascade.evaluation.results import Faithfulness
from cytocascade.evaluation.splits import Split, with_floor
from cytocascade.types import Array, BoolArray, FloatArray

MARGIN = 8
REACH = 5.0
STEP = 0.5
TUNING_CELLS = 200


@dataclass(frozen=True)
class Segmenter:
    """Smoothing, then Otsu's threshold in the neighbourhood of each cell.

    Attributes
    ----------
    signal : {"bright", "dark", "departure", "texture"}
        What is thresholded: intensity above or below the local background, distance from it, or the local
        standard deviation (phase contrast).
    sigma : float
        Gaussian smoothing in pixels.
    level : float
        Threshold = level x Otsu's threshold.
    """

    signal: str
    sigma: float
    level: float

    def __str__(self) -> str:
        return f"{self.signal}, smoothed by {self.sigma:g} px, {self.level:g} x Otsu's threshold near each cell"

    def response(self, above: FloatArray) -> FloatArray:
        """Return the image that is thresholded, from intensities above background."""
        if self.signal == "texture":
            mean = ndi.gaussian_filter(above, 1 + self.sigma)
            square = ndi.gaussian_filter(above**2, 1 + self.sigma)
            return np.asarray(np.sqrt(np.maximum(0, square - mean**2)))
        smooth = ndi.gaussian_filter(above, self.sigma)
        turned = {"bright": smooth, "dark": -smooth, "departure": np.abs(smooth)}[self.signal]
        return np.asarray(turned, dtype=np.float32)


RESPONSES = tuple(
    Segmenter(signal, sigma, 1.0) for signal in ("bright", "dark", "departure", "texture") for sigma in (0.7, 1.5)
)
LEVELS = (0.6, 0.8, 1.0, 1.2)


def measure_faithfulness(real: MeasuredSet, synthetic: MeasuredSet, splits: Sequence[Split]) -> Faithfulness:
    """Measure how well mask edges lie on image edges, and how well the labels are found again.

    The classical segmenter is tuned on real cells and then used on both sets as it is.
    """
    (real_edge, real_offset), (edge, offset) = (_edges(one) for one in (real, synthetic))
    segmenter = _tuned(real)
    real_dice, dice = (_dice(one, segmenter, [segmenter.level], one.cells)[0] for one in (real, synthetic))
    owners = real.image_of_cell()

    def halves(values: Array, owner: Array) -> list[float]:
        """Return 1 + |1 - ratio of the means of the two halves| per split."""
        result = []
        for split in splits:
            first, second = (_mean(values[np.isin(owner, half)]) for half in (split.first, split.second))
            result.append(1 + abs(1 - first / second) if first > 0 and second > 0 else 1.0)
        return result

    return Faithfulness(
        edge_real=_mean(real_edge),
        edge_synthetic=_mean(edge),
        edge_ratio=with_floor(_mean(edge) / max(_mean(real_edge), 1e-9), halves(real_edge, owners)),
        offset_real=_mean(real_offset),
        offset_synthetic=_mean(offset),
        offset_spread_real=_spread(real_offset),
        offset_spread_synthetic=_spread(offset),
        dice_real=_mean(real_dice),
        dice_synthetic=_mean(dice),
        dice_ratio=with_floor(_mean(dice) / max(_mean(real_dice), 1e-9), halves(real_dice, np.arange(len(real_dice)))),
        segmenter=str(segmenter),
    )


def _edges(measured: MeasuredSet) -> tuple[Array, Array]:
    """Return per sampled cell the relative gradient on its edge and the offset of the steepest gradient.

    NaN where most of the edge touches neighbours.
    """
    sharpness, offsets = [], []
    current, gradient = -1, np.zeros(0, dtype=np.float32)
    for cell in measured.cells:
        if cell.image != current:
            current = cell.image
            gradient = ndi.gaussian_gradient_magnitude(measured.images[current].image, 1.0)
        ratio, offset = _edge(measured, cell, gradient)
        sharpness.append(ratio)
        offsets.append(offset)
    return np.array(sharpness), np.array(offsets)


def _edge(measured: MeasuredSet, cell: CellReference, gradient: FloatArray) -> tuple[float, float]:
    window = cell_window(measured, cell, MARGIN)
    steep = gradient[window.area]
    outward = -window.signed_distance
    free = window.free & _away_from_neighbours(window.own, window.free)
    on_edge = (np.abs(outward) <= 0.75) & free
    beside = (np.abs(outward) >= 2) & (np.abs(outward) <= 3.25) & free
    if on_edge.sum() < 0.5 * (np.abs(outward) <= 0.75).sum() or not beside.any():
        return np.nan, np.nan
    ratio = float(steep[on_edge].mean()) / max(float(steep[beside].mean()), 1e-9)
    positions = np.arange(-REACH, REACH + STEP / 2, STEP)
    bands = [(np.abs(outward - position) <= STEP) & free for position in positions]
    profile = np.array([steep[band].mean() if band.any() else 0.0 for band in bands])
    return ratio, _peak(positions, profile)


def _away_from_neighbours(own: BoolArray, free: BoolArray) -> BoolArray:
    """Drop the sectors of the edge next to a neighbour on the inside too, not only the neighbour's side."""
    near_other = ndi.binary_dilation(~free, iterations=2) & own
    return np.asarray(~ndi.binary_dilation(near_other, iterations=2) | ~own)


def _peak(positions: Array, profile: Array) -> float:
    """Return the position of the highest point of `profile`, refined by a parabola."""
    top = int(np.argmax(profile))
    if top in (0, len(profile) - 1):
        return float(positions[top])
    left, middle, right = profile[top - 1 : top + 2]
    bend = left - 2 * middle + right
    return float(positions[top] + (STEP * 0.5 * (left - right) / bend if bend < 0 else 0.0))


def _tuned(real: MeasuredSet) -> Segmenter:
    """Return the segmenter with the best mean Dice on (at most 200, evenly spaced) real cells."""
    cells = real.cells[:: -(-len(real.cells) // TUNING_CELLS)]
    best, chosen = -1.0, RESPONSES[0]
    for candidate in RESPONSES:
        for level, dice in zip(LEVELS, _dice(real, candidate, LEVELS, cells)):
            if _mean(dice) > best:
                best, chosen = _mean(dice), replace(candidate, level=level)
    return chosen


def _dice(
    measured: MeasuredSet, segmenter: Segmenter, levels: Sequence[float], cells: Sequence[CellReference]
) -> Array:
    """Return the Dice (levels, images) of labels and re-segmentation near `cells`; NaN where there are none."""
    shared, total = np.zeros((2, len(levels), len(measured.images)))
    current, response = -1, np.zeros(0, dtype=np.float32)
    for cell in cells:
        if cell.image != current:
            current, image = cell.image, measured.images[cell.image]
            response = segmenter.response(image.image - image.background)
        window = cell_window(measured, cell, MARGIN)
        around = (window.signed_distance > -MARGIN) & (window.own | window.free)
        values, truth = response[window.area][around], window.own[around]
        otsu = float(threshold_otsu(values)) if float(np.ptp(values)) > 1e-9 else np.inf
        found = values > np.asarray(levels)[:, None] * otsu
        shared[:, cell.image] += (found & truth).sum(axis=1)
        total[:, cell.image] += found.sum(axis=1) + truth.sum()
    return np.where(total > 0, 2 * shared / np.maximum(total, 1), np.nan)


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0


def _spread(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std()) if len(finite) else 0.0
