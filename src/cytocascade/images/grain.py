"""The finest structure inside cells: how it varies together from pixel to pixel, and how much of it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy import ndimage as ndi

from cytocascade.images.noise import inside
from cytocascade.types import Array, FloatArray

GRAIN_REACH = 6
"""Largest lag of the autocovariance, in pixels."""

GRAIN_SCALE = 2.0
"""Standard deviation, in pixels, of the Gaussian whose blur is taken away: coarser structure is not grain."""

_GROUPS = 3
_MIN_CELLS = 8
_MIN_PIXELS = 60
_LEAST_SHARE = 0.1
_MOST_SPREAD = 0.6
_FFT = 32
_SHARES = np.linspace(0.0, 2.0, 41)
_WIENER = 0.05
_LAGS = np.arange(-GRAIN_REACH, GRAIN_REACH + 1)


@dataclass(frozen=True)
class FineStructure:
    """Fine structure of many cells.

    Attributes
    ----------
    level : ndarray of float64, (n,)
        Mean signal of each cell.
    covariance : ndarray of float64, (n, 13, 13)
        Autocovariance of its high-passed signal over (y, x), divided by the squared level; lag 0 in the middle.
    """

    level: Array
    covariance: Array

    @classmethod
    def joined(cls, parts: Sequence[FineStructure]) -> FineStructure:
        """Put the cells of several images together."""
        return cls(np.concatenate([part.level for part in parts]), np.concatenate([part.covariance for part in parts]))


def measure_fine_structure(image: Array, labels: Array, background: FloatArray) -> FineStructure:
    """Measure all cells of an image, far from their outlines, whose light the high pass would spread.

    Parameters
    ----------
    image, labels : ndarray, (Y, X)
        Intensities and instance labels.
    background : ndarray, (Y, X) float32
        Local background.
    """
    above = np.asarray(image, dtype=np.float32) - background
    fine = above - ndi.gaussian_filter(above, GRAIN_SCALE)
    inner = _deep_inside(labels)
    side = 2 * GRAIN_REACH + 1
    padded, signal = (np.pad(values, GRAIN_REACH) for values in (inner, fine))
    where = np.flatnonzero(padded)
    ids, owner = np.unique(padded.ravel()[where], return_inverse=True)
    if not len(ids):
        return FineStructure(np.zeros(0), np.zeros((0, side, side)))
    label, value = padded.ravel()[where], signal.ravel()[where].astype(np.float64)
    level = np.bincount(owner, np.pad(above, GRAIN_REACH).ravel()[where]) / np.bincount(owner)
    covariance = np.zeros((len(ids), side, side))
    for dy in range(GRAIN_REACH + 1):
        for dx in range(-GRAIN_REACH, GRAIN_REACH + 1):
            if dy == 0 and dx < 0:
                continue
            other = where + dy * padded.shape[1] + dx
            pair = padded.ravel()[other] == label
            pairs = np.bincount(owner[pair], minlength=len(ids))
            products = np.bincount(owner[pair], (value * signal.ravel()[other])[pair], minlength=len(ids))
            mean = np.where(pairs >= 10, products / np.maximum(pairs, 1), 0.0)
            covariance[:, GRAIN_REACH + dy, GRAIN_REACH + dx] = mean
            covariance[:, GRAIN_REACH - dy, GRAIN_REACH - dx] = mean
    bright = level > 1e-6
    return FineStructure(level[bright], covariance[bright] / np.square(level[bright])[:, None, None])


def _deep_inside(labels: Array) -> Array:
    """Return the labels four pixels from all outlines, or two where a cell is too thin for that."""
    deep, shallow = (inside(labels, depth) for depth in (4, 2))
    enough = np.bincount(deep.ravel(), minlength=int(labels.max()) + 1) >= _MIN_PIXELS
    return np.where(enough[labels], deep, shallow)


def missing_grain(real: FineStructure, quiet: FineStructure, noisy: FineStructure) -> tuple[float, Array]:
    """Return what synthetic cells lack of the real cells' fine structure.

    What is missing is explained by the camera's noise, whose variance relative to the squared signal falls with
    the signal, and by grain, whose does not: power spectra are compared in groups of cells of like brightness,
    and the share of the noise is that which with the best non-negative grain leaves the least relative error.

    Parameters
    ----------
    real : FineStructure
        Real cells.
    quiet, noisy : FineStructure
        Synthetic cells without and with the camera's noise.

    Returns
    -------
    share : float
        Share of the camera's noise to add, in [0, 2].
    grain : ndarray, (13, 13)
        Autocovariance of the relative grain to add, lag 0 in the middle; zeros if there is none.
    """
    side = 2 * GRAIN_REACH + 1
    wanted, before, loud = _by_brightness(real, quiet, noisy)
    if not len(wanted):
        return 1.0, np.zeros((side, side))
    power, found, camera = (_tapered_power(part) for part in (wanted, before, loud - before))
    weight = _relative(power)
    best = (np.inf, 1.0, np.zeros_like(power[0]))
    for share in _SHARES:
        rest = power - found - share * camera
        grain = np.maximum(np.average(rest, axis=0, weights=weight), 0.0)
        best = min(best, (float((weight * (rest - grain) ** 2).sum()), share, grain), key=lambda entry: entry[0])
    return float(best[1]), _covariance(best[2] * _transmission())


def refined_grain(grain: Array, real: FineStructure, synthetic: FineStructure) -> Array:
    """Return `grain` corrected by what synthetic cells that have it still lack, or have too much.

    Parameters
    ----------
    grain : ndarray, (13, 13)
        As from `missing_grain`.
    real, synthetic : FineStructure
        Real cells, and synthetic ones with this grain.
    """
    wanted, found = _by_brightness(real, synthetic)
    if not len(wanted):
        return grain
    power = _tapered_power(wanted)
    rest = np.average(power - _tapered_power(found), axis=0, weights=_relative(power))
    return _covariance(_power(grain) + rest * _transmission())


def missing_spread(real: FineStructure, without: FineStructure, with_: FineStructure) -> float:
    """Return by how much the strength of the grain has to vary over the cells, as a standard deviation of its log.

    Parameters
    ----------
    real : FineStructure
        Real cells.
    without, with_ : FineStructure
        Synthetic cells without grain, and the same with grain of one strength.
    """
    if min(len(real.level), len(with_.level)) < _MIN_CELLS or len(without.level) != len(with_.level):
        return 0.0
    lacking = _graininess(real)[1] - _graininess(with_)[1]
    share = 1 - np.exp(_graininess(without)[0] - _graininess(with_)[0])
    if share < _LEAST_SHARE or lacking <= 0:
        return 0.0
    # Variance of the log of (1 - share) + share * strength**2, to first order.
    return float(min(np.sqrt(lacking) / (2 * share), _MOST_SPREAD))


def _graininess(cells: FineStructure) -> tuple[float, float]:
    """Return the median of the log power of the differences of neighbours, and its variance at a given brightness."""
    c = GRAIN_REACH
    power = cells.covariance[:, c, c] - 0.5 * (cells.covariance[:, c, c + 1] + cells.covariance[:, c + 1, c])
    known = power > 0
    if known.sum() < _MIN_CELLS:
        return 0.0, 0.0
    logarithm, level = np.log(power[known]), np.log(cells.level[known])
    residual = logarithm - np.polyval(np.polyfit(level, logarithm, 2), level)
    # Robust: a few odd cells must not make all cells vary.
    deviation = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    return float(np.median(logarithm)), deviation**2


def _by_brightness(real: FineStructure, *synthetic: FineStructure) -> list[Array]:
    """Return the median autocovariances (groups, 13, 13) of each, over groups of cells of like brightness."""
    sets = (real, *synthetic)
    edges = np.quantile(real.level, np.linspace(0, 1, _GROUPS + 1)[1:-1]) if len(real.level) else np.zeros(0)
    groups = [
        [part.covariance[np.searchsorted(edges, part.level) == group] for part in sets] for group in range(_GROUPS)
    ]
    usable = [group for group in groups if min(len(part) for part in group) >= _MIN_CELLS]
    if not usable and min(len(part.level) for part in sets):
        usable = [[part.covariance for part in sets]]
    return [np.asarray([np.median(group[k], axis=0) for group in usable]) for k in range(len(sets))]


def _power(covariance: Array) -> Array:
    """Return the power spectrum of an autocovariance; negative where the estimate is uncertain."""
    whole = np.zeros((*covariance.shape[:-2], _FFT, _FFT))
    whole[..., _LAGS[:, None], _LAGS] = covariance
    return np.asarray(fft.fft2(whole).real)


def _tapered_power(covariance: Array) -> Array:
    """Return the power spectrum of a measured autocovariance.

    Coarser structure reaches beyond the largest lag; cut off sharply it would ring at all frequencies.
    """
    taper = 0.5 + 0.5 * np.cos(np.pi * _LAGS / (GRAIN_REACH + 1))
    return _power(covariance * np.outer(taper, taper))


def _relative(power: Array) -> Array:
    """Return weights with which relative errors count alike at all frequencies and in all groups."""
    largest = power.max(axis=(-2, -1), keepdims=True)
    return np.asarray(1.0 / np.maximum(power, np.maximum(0.02 * largest, 1e-12)) ** 2)


def _covariance(power: Array) -> Array:
    """Return the autocovariance of what is positive in a power spectrum."""
    return np.asarray(fft.ifft2(np.maximum(power, 0.0)).real[np.ix_(_LAGS, _LAGS)])


def _transmission() -> Array:
    """Return what power is multiplied by to undo the high pass; nothing comes back where it left nothing."""
    frequency = 2 * np.pi * fft.fftfreq(_FFT)
    passed = (1 - np.exp(-0.5 * GRAIN_SCALE**2 * np.add.outer(frequency**2, frequency**2))) ** 2
    return np.asarray(passed / (passed**2 + _WIENER))
