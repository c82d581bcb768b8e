"""Radial power spectra of fields and of single cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

from cytocascade.evaluation.measured import MeasuredImage, MeasuredSet, centred_crop
from cytocascade.evaluation.results import SpectrumComparison
from cytocascade.evaluation.splits import Split, floored
from cytocascade.types import Array

BINS = 24
MAX_TILE = 512


def spectrum_bins(side: int) -> tuple[Array, Array]:
    """Return the bin of each coefficient of a (side, side) transform (-1: none) and the bins' centres.

    Bins are spaced evenly in log frequency from one period per square up to 0.5 cycles per pixel; those too
    narrow to hold a coefficient are left out.
    """
    frequency = np.hypot(*np.meshgrid(fft.fftfreq(side), fft.rfftfreq(side), indexing="ij"))
    edges = np.geomspace(0.9 / side, 0.5, BINS + 1)
    raw = np.where((frequency >= edges[0]) & (frequency <= 0.5), np.digitize(frequency, edges[1:-1]), -1)
    used = np.unique(raw[raw >= 0])
    bins = np.where(raw >= 0, np.searchsorted(used, raw), -1)
    centres = np.bincount(bins[bins >= 0], frequency[bins >= 0]) / np.bincount(bins[bins >= 0])
    return bins, centres


def log_spectrum(squares: Array, bins: Array) -> Array:
    """Return the mean power per bin (decibels) of squares (n, S, S), each less its mean, Hann-windowed."""
    side = squares.shape[-1]
    taper = np.outer(np.hanning(side), np.hanning(side))
    taper /= np.sqrt((taper**2).mean())
    centred = squares - squares.mean(axis=(-2, -1), keepdims=True)
    power = np.mean(np.abs(fft.rfft2(centred * taper)) ** 2, axis=0) / side**2
    inside = bins >= 0
    mean = np.bincount(bins[inside], power[inside]) / np.bincount(bins[inside])
    return np.asarray(10 * np.log10(mean + 1e-12))


def compare_field_spectra(real: MeasuredSet, synthetic: MeasuredSet, splits: Sequence[Split]) -> SpectrumComparison:
    """Compare the mean log spectra of whole fields; power is in squared grey values."""
    sides = [min(image.image.shape) for one in (real, synthetic) for image in one.images]
    side = min(MAX_TILE, min(sides)) // 2 * 2
    bins, centres = spectrum_bins(side)
    ours, theirs = (
        np.stack([log_spectrum(_tiles(image, side), bins) for image in one.images]) for one in (real, synthetic)
    )
    owners = np.arange(len(ours))
    return _comparison(ours, owners, theirs, centres, side, splits)


def compare_cell_spectra(
    real: MeasuredSet, synthetic: MeasuredSet, side: int, splits: Sequence[Split]
) -> SpectrumComparison:
    """Compare the mean log spectra of cells, each above background and relative to its mean signal."""
    bins, centres = spectrum_bins(side)
    ours, theirs = (_cell_spectra(one, side, bins) for one in (real, synthetic))
    return _comparison(ours, real.image_of_cell(), theirs, centres, side, splits)


def _cell_spectra(measured: MeasuredSet, side: int, bins: Array) -> Array:
    spectra = []
    for cell in measured.cells:
        image = measured.images[cell.image]
        crop = centred_crop(image.image - image.background, measured.centroid(cell), side)
        scale = max(abs(float(image.table.values["signal"][cell.row])), image.noise, 1e-6)
        spectra.append(log_spectrum(crop[None] / scale, bins))
    return np.stack(spectra)


def _tiles(image: MeasuredImage, side: int) -> Array:
    rows, columns = (size // side for size in image.image.shape)
    # Centred, so that what does not fill a tile is lost evenly at all edges.
    top, left = (image.image.shape[0] - rows * side) // 2, (image.image.shape[1] - columns * side) // 2
    block = image.image[top : top + rows * side, left : left + columns * side]
    return block.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _comparison(
    ours: Array, owners: Array, theirs: Array, centres: Array, side: int, splits: Sequence[Split]
) -> SpectrumComparison:
    def between_halves(split: Split) -> float:
        first, second = (ours[np.isin(owners, half)] for half in (split.first, split.second))
        return _distance(first, second) if len(first) and len(second) else 0.0

    return SpectrumComparison(
        distance=floored(_distance(ours, theirs), splits, between_halves),
        frequency=centres.tolist(),
        real=ours.mean(axis=0).tolist(),
        synthetic=theirs.mean(axis=0).tolist(),
        tile=side,
    )


def _distance(first: Array, second: Array) -> float:
    return float(np.sqrt(np.mean((first.mean(axis=0) - second.mean(axis=0)) ** 2)))
