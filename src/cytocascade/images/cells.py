"""From annotated images to single cells at a canonical size, with the calibration that leads back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from scipy import ndimage as ndi
from skimage.measure import regionprops

from cytocascade.errors import CytoCascadeError
from cytocascade.images.background import (
    background_noise,
    background_pixels,
    estimate_background,
    unlabelled_foreground,
)
from cytocascade.images.features import FEATURE_NAMES, CellTable, measure_cells
from cytocascade.images.noise import high_pass_energy
from cytocascade.images.validation import MIN_AREA, MIN_CELLS
from cytocascade.images.zoom import Zoom
from cytocascade.types import AnnotatedImage, Array, BoolArray, FloatArray

CROP_SIZE = 64
"""Height and width, in pixels, of the canonical crop that the networks see."""

FINE = 2
"""Samples per canonical pixel, along each axis, where cells are magnified: their detail is finer than the pixel of the
crop."""

ZOOMED_EXTENT = 56
"""Extent, in pixels of the crop, that nearly all cells are magnified to at most, where they are magnified."""

CROP_MARGIN = 16
"""Extra pixels on every side of an extracted crop, so that it can be rotated and warped."""

LARGEST_EXTENT = 52
"""Extent, in canonical pixels, that the largest cells are scaled to; the rest is room for the optical rim."""

NOISY = 0.12
"""Noise inside the cells, relative to their signal, from which on crops are denoised."""

MOST_DENOISING = 0.8
"""Widest Gaussian, in image pixels, that crops are denoised with."""

Modality = Literal["fluorescence", "phase"]


@dataclass(frozen=True)
class ImageCalibration:
    """How the intensities of one image map to those of its cells.

    Attributes
    ----------
    name : str
        Name of the image.
    background : float
        Median background level, in the image's units.
    gain : float
        Intensity of a typical cell above the background, in the image's units: the median over cells
        (fluorescence), or twice the standard deviation inside the cells (phase contrast).
    noise : float
        Standard deviation of the background noise, in the image's units.
    """

    name: str
    background: float
    gain: float
    noise: float


@dataclass(frozen=True)
class SingleCells:
    """Crops of whole cells, all at one physical scale, or each magnified by its own factor.

    Attributes
    ----------
    signal : ndarray, (n, S, S) float32
        Intensity above the local background, divided by `level`; S = (CROP_SIZE + 2 * CROP_MARGIN) * `fineness`.
    distance : ndarray, (n, S, S) float32
        Signed distance to the cell's outline in pixels of the crop, positive inside.
    known : ndarray, (n, S, S) bool
        Where `signal` belongs to this cell or to true background: not in other cells or their rims,
        not outside the frame, not in something that looks like an unlabelled cell.
    level : ndarray, (n,) float32
        Mean signal of the cell (fluorescence) or the image's gain (phase), in the image's units.
    image : ndarray of int, (n,)
        Which image the cell is from.
    zoom : ndarray, (n,) float32
        Magnification: pixels of the crop per canonical pixel.
    features : dict of str to ndarray, (n,)
        `FEATURE_NAMES`, as measured in the full image.
    crop_spacing : float
        Micrometres per canonical pixel.
    modality : {"fluorescence", "phase"}
        Whether cells add light to the background or replace it.
    calibration : tuple of ImageCalibration
        One entry per image.
    excluded : dict of str to int
        How many cells were left out, by reason.
    """

    signal: FloatArray
    distance: FloatArray
    known: BoolArray
    level: FloatArray
    image: Array
    zoom: FloatArray
    features: dict[str, Array]
    crop_spacing: float
    modality: Modality
    calibration: tuple[ImageCalibration, ...]
    excluded: dict[str, int]

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def fineness(self) -> int:
        """Samples per pixel of the crop, along each axis."""
        return fineness_of(self.signal, margin=CROP_MARGIN)

    @property
    def gain(self) -> FloatArray:
        """Gain of the image that each cell is from, (n,) float32."""
        gains = np.asarray([calibration.gain for calibration in self.calibration], dtype=np.float32)
        return gains[self.image]

    def select(self, index: Array) -> SingleCells:
        """Return the cells at `index` (integers or booleans)."""
        per_cell = {f.name: getattr(self, f.name)[index] for f in fields(self)[:6]}
        return SingleCells(
            **per_cell,
            features={name: values[index] for name, values in self.features.items()},
            crop_spacing=self.crop_spacing,
            modality=self.modality,
            calibration=self.calibration,
            excluded=self.excluded,
        )


def fineness_of(crops: Array, *, margin: int = 0) -> int:
    """Return how many samples of crops, (..., S, S), make a canonical pixel on an axis; `margin` is in these."""
    return max(1, crops.shape[-1] // (CROP_SIZE + 2 * margin))


def detect_modality(images: Sequence[AnnotatedImage]) -> Modality:
    """Return whether the cells shine on a darker background or are dark and bright at once."""
    positive = []
    for image in images:
        table, _, noise = measure_image(image)
        if len(table):
            positive.append(table.values["signal"] > noise)
    return "fluorescence" if positive and np.concatenate(positive).mean() > 0.7 else "phase"


def choose_crop_spacing(images: Sequence[AnnotatedImage]) -> float:
    """Return the canonical spacing, micrometres per pixel, at which nearly all cells fit into a crop."""
    extents = []
    for image in images:
        for region in regionprops(image.labels):
            if region.area >= MIN_AREA:
                extents.append(region.feret_diameter_max * float(np.mean(image.spacing)))
    if not extents:
        raise CytoCascadeError("the images hold no labelled cells", hint="Check the masks.")
    largest = min(float(np.percentile(extents, 99)), 2.5 * float(np.median(extents)))
    spacing = images[0].spacing
    if max(spacing) == min(spacing) and abs(largest / LARGEST_EXTENT / spacing[0] - 1) < 0.12:
        # Canonical pixels are then the image's own: nothing is interpolated, and no detail is lost.
        return float(spacing[0])
    return largest / LARGEST_EXTENT


def extract_cells(
    images: Sequence[AnnotatedImage],
    *,
    crop_spacing: float | None = None,
    modality: Modality | None = None,
    zoom: Zoom | None = None,
    fineness: int = 1,
) -> SingleCells:
    """Cut all whole cells out of 2D images.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        2D images; anisotropic pixels are resampled to square ones.
    crop_spacing : float, optional
        Micrometres per canonical pixel; by default chosen by `choose_crop_spacing`.
    modality : {"fluorescence", "phase"}, optional
        By default detected.
    zoom : Zoom, optional
        How cells are magnified; by default not at all.
    fineness : int
        Samples per pixel of the crop, along each axis. Distances are in pixels of the crop all the same.

    Returns
    -------
    SingleCells

    Raises
    ------
    CytoCascadeError
        If fewer than `MIN_CELLS` whole cells are left.
    """
    crop_spacing = choose_crop_spacing(images) if crop_spacing is None else crop_spacing
    modality = detect_modality(images) if modality is None else modality
    excluded = {"cut by the frame": 0, "larger than the crop": 0, "too small": 0, "no signal": 0}
    parts: list[_Part] = []
    calibration: list[ImageCalibration] = []
    for number, image in enumerate(images):
        part, entry = _extract_from_image(image, number, crop_spacing, modality, zoom, fineness, excluded)
        calibration.append(entry)
        parts.extend(part)
    if modality == "fluorescence":
        calibration = _pooled_gains(calibration, parts)
    if len(parts) < MIN_CELLS:
        reasons = ", ".join(f"{count} {reason}" for reason, count in excluded.items() if count)
        raise CytoCascadeError(
            f"only {len(parts)} usable cells, at least {MIN_CELLS} are needed"
            + (f" (left out: {reasons})" if reasons else ""),
            hint="Annotate more whole cells, or add images.",
        )
    return SingleCells(
        signal=np.stack([part.signal for part in parts]),
        distance=np.stack([part.distance for part in parts]),
        known=np.stack([part.known for part in parts]),
        level=np.asarray([part.level for part in parts], dtype=np.float32),
        image=np.asarray([part.image for part in parts]),
        zoom=np.asarray([part.zoom for part in parts], dtype=np.float32),
        features={name: np.asarray([part.features[name] for part in parts]) for name in FEATURE_NAMES},
        crop_spacing=crop_spacing,
        modality=modality,
        calibration=tuple(calibration),
        excluded=excluded,
    )


def _pooled_gains(calibration: Sequence[ImageCalibration], parts: Sequence[_Part]) -> list[ImageCalibration]:
    """Draw the gains together as far as they differ by chance alone.

    The median of a few bright and dim cells varies although the exposure does not. Taken for an exposure, that
    would be added to the variation between cells a second time (empirical Bayes, one-way random effects).
    """
    gains = np.log([entry.gain for entry in calibration])
    chance = []
    for number in range(len(calibration)):
        levels = np.log([part.level for part in parts if part.image == number])
        # The median of n normal values has pi / 2 times the variance of their mean.
        chance.append(1.57 * levels.var() / len(levels) if len(levels) > 1 else np.nan)
    if len(calibration) < 2 or not np.isfinite(chance).any():
        return list(calibration)
    between = float(gains.var(ddof=1))
    kept = np.clip(1 - np.nanmean(chance) / between, 0.0, 1.0) if between > 0 else 1.0
    pooled = np.exp(gains.mean() + kept * (gains - gains.mean()))
    return [replace(entry, gain=float(gain)) for entry, gain in zip(calibration, pooled)]


@dataclass(frozen=True)
class _Part:
    signal: FloatArray
    distance: FloatArray
    known: BoolArray
    level: float
    image: int
    zoom: float
    features: dict[str, float]


def measure_image(image: AnnotatedImage) -> tuple[CellTable, FloatArray, float]:
    """Return the measurements of all cells, the local background and the noise of a 2D image."""
    background = estimate_background(image.image, image.labels, sparse=image.sparse)
    free = background_pixels(image.image, image.labels, sparse=image.sparse)
    noise = background_noise(image.image, background, free)
    return measure_cells(image.image, image.labels, image.spacing, background, noise), background, noise


def _extract_from_image(
    image: AnnotatedImage,
    number: int,
    crop_spacing: float,
    modality: Modality,
    zoom: Zoom | None,
    fineness: int,
    excluded: dict[str, int],
) -> tuple[list[_Part], ImageCalibration]:
    table, background, noise = measure_image(image)
    above = np.asarray(image.image, dtype=np.float32) - background
    whole = ~table.touches_border
    if modality == "fluorescence":
        signals = table.values["signal"][whole if whole.any() else slice(None)]
        gain = float(np.median(signals)) if len(signals) else 1.0
    else:
        gain = 2.0 * float(above[image.labels > 0].std()) if (image.labels > 0).any() else 1.0
    gain = max(gain, noise, 1e-6)
    stray = unlabelled_foreground(image.image, image.labels) if image.sparse else None
    quiet = _denoised(above, image, table.label, gain) if modality == "fluorescence" else above
    parts = []
    regions = {region.label: region for region in regionprops(image.labels)}
    for row, label in enumerate(table.label):
        region = regions[int(label)]
        pixel = float(np.mean(image.spacing)) / crop_spacing
        factor = 1.0 if zoom is None else float(zoom.factors(region.area * pixel**2, region.eccentricity))
        extent = region.feret_diameter_max * pixel * factor
        level = float(table.values["signal"][row]) if modality == "fluorescence" else gain
        if table.touches_border[row]:
            excluded["cut by the frame"] += 1
        elif region.area < MIN_AREA:
            excluded["too small"] += 1
        elif extent > CROP_SIZE - 4:
            excluded["larger than the crop"] += 1
        elif level < 0.5 * noise:
            excluded["no signal"] += 1
        else:
            features = {name: float(values[row]) for name, values in table.values.items()}
            crop = _crop(quiet, image, int(label), region.bbox, crop_spacing / factor, fineness, stray)
            parts.append(_Part(crop[0] / level, crop[1], crop[2], level, number, factor, features))
    level_of_background = float(np.median(background))
    return parts, ImageCalibration(image.name, level_of_background, gain, noise)


def _denoised(above: FloatArray, image: AnnotatedImage, label: Array, gain: float) -> FloatArray:
    """Smooth images whose cells are mostly noise, so that the textures are structure and not grain.

    The camera's noise is added to synthetic cells anyway, at the full resolution.
    """
    energy = high_pass_energy(image.image, image.labels, label)
    relative = np.sqrt(float(np.nanmedian(energy))) / gain if np.isfinite(energy).any() else 0.0
    width = min(3.0 * relative, MOST_DENOISING) if relative > NOISY else 0.0
    return np.asarray(ndi.gaussian_filter(above, width), dtype=np.float32) if width else above


def _crop(
    above: FloatArray,
    image: AnnotatedImage,
    label: int,
    box: tuple[int, ...],
    crop_spacing: float,
    fineness: int,
    stray: BoolArray | None,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Resample signal, signed distance and validity of one cell around the centre of its box."""
    size = (CROP_SIZE + 2 * CROP_MARGIN) * fineness
    step = np.asarray([crop_spacing / fineness / spacing for spacing in image.spacing])
    # Between four pixels, so that at equal spacing the crop's pixels are the image's.
    centre = np.floor([(box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2]) + 0.5
    half = np.ceil(step * size / 2).astype(int) + 3
    low = np.maximum(np.floor(centre).astype(int) - half, 0)
    high = np.minimum(np.floor(centre).astype(int) + half + 1, above.shape)
    window = tuple(slice(a, b) for a, b in zip(low, high))
    labels = image.labels[window]
    grid = np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 2, indexing="ij")
    where = np.stack([axis * s + c - a for axis, s, c, a in zip(grid, step, centre, low)])
    # Averaging over a sample's footprint keeps noise and detail from folding back.
    smooth = ndi.gaussian_filter(above[window], [0.5 * np.sqrt(max(s * s - 1.0, 0.0)) for s in step])
    signal = ndi.map_coordinates(smooth, where, order=3, mode="nearest")
    distance = ndi.map_coordinates(
        signed_distance(labels == label, image.spacing) / crop_spacing, where, order=1, mode="nearest"
    )
    others = (labels > 0) & (labels != label)
    valid = np.ones(labels.shape, dtype=bool)
    if others.any():
        own = ndi.distance_transform_edt(labels != label)
        foreign = ndi.distance_transform_edt(~others)
        valid = (foreign > 3) | (own + 1 < foreign)
        valid &= ~others
    if stray is not None:
        valid &= ~stray[window]
    known = ndi.map_coordinates(valid.astype(np.float32), where, order=1, mode="constant", cval=0.0) > 0.99
    return signal.astype(np.float32), distance.astype(np.float32), known


def signed_distance(mask: BoolArray, spacing: tuple[float, ...]) -> FloatArray:
    """Return the signed distance of every pixel centre to the mask's outline, positive inside.

    Parameters
    ----------
    mask : ndarray of bool
        Any number of axes.
    spacing : tuple of float
        Micrometres per pixel along each axis.

    Returns
    -------
    ndarray of float32
        Micrometres.
    """
    inside = ndi.distance_transform_edt(mask, sampling=spacing)
    outside = ndi.distance_transform_edt(~mask, sampling=spacing)
    half = 0.5 * float(np.mean(spacing))
    return np.asarray(np.where(mask, inside - half, half - outside), dtype=np.float32)


def slopes(distance: FloatArray) -> tuple[list[FloatArray], FloatArray]:
    """Return how a signed distance, (Y, X), rises along each axis, smoothed, and the length of that, at least 0.001."""
    rises = list(np.gradient(ndi.gaussian_filter(distance, 1.0)))
    return rises, np.maximum(np.hypot(*rises), 1e-3)
