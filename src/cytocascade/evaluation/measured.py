"""One set of annotated images, measured once for every figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.results import SetSummary
from cytocascade.images.background import background_noise, background_pixels, estimate_background
from cytocascade.images.features import CellTable, measure_cells
from cytocascade.seeding import numpy_generator
from cytocascade.types import AnnotatedImage, Array, BoolArray, FloatArray

MAX_PIXELS = 64_000_000
MAX_CELLS = 1500
MAX_TRAINING_CELLS = 5000
MIN_CELLS = 10


@dataclass(frozen=True)
class MeasuredImage:
    """One image with its background and its cells.

    Attributes
    ----------
    name : str
        Name of the image.
    image, background : ndarray of float32, (Y, X)
        Intensities and local background in the image's units.
    labels : ndarray of int, (Y, X)
        Instance labels.
    noise : float
        Standard deviation of the background noise.
    table : CellTable
        Per-cell features.
    """

    name: str
    image: FloatArray
    labels: Array
    background: FloatArray
    noise: float
    table: CellTable


@dataclass(frozen=True)
class CellReference:
    """A complete cell: index of its image, row in that image's table, bounding box."""

    image: int
    row: int
    box: tuple[slice, slice]

    @property
    def extent(self) -> int:
        """Longer side of the bounding box in pixels."""
        return int(max(side.stop - side.start for side in self.box))


@dataclass(frozen=True)
class MeasuredSet:
    """The measured images of one side, and the complete cells sampled from them (in image order)."""

    images: tuple[MeasuredImage, ...]
    cells: tuple[CellReference, ...]
    given: int

    def image_of_cell(self) -> Array:
        """Return the image index of each sampled cell."""
        return np.array([cell.image for cell in self.cells], dtype=np.int64)

    def label(self, cell: CellReference) -> int:
        """Return the label of `cell` in its image."""
        return int(self.images[cell.image].table.label[cell.row])

    def pixels(self, cell: CellReference) -> int:
        """Return the number of pixels of `cell`."""
        return int((self.images[cell.image].labels[cell.box] == self.label(cell)).sum())

    def centroid(self, cell: CellReference) -> Array:
        """Return the centroid (y, x) of `cell` in pixels."""
        return np.asarray(self.images[cell.image].table.centroid[cell.row])

    def summary(self) -> SetSummary:
        """Return how much data there is."""
        return SetSummary(
            images=len(self.images),
            images_given=self.given,
            cells=sum(len(image.table) for image in self.images),
            complete_cells=sum(int((~image.table.touches_border).sum()) for image in self.images),
            sampled_cells=len(self.cells),
        )


@dataclass(frozen=True)
class Window:
    """The surroundings of one cell.

    Attributes
    ----------
    area : tuple of slice
        Where it lies in the image.
    own : ndarray of bool
        The cell's mask.
    free : ndarray of bool
        Pixels that are at least 2 px from every other label.
    signed_distance : ndarray of float32
        Distance to the mask's edge in pixels, positive inside; the edge runs between pixels, at 0.
    """

    area: tuple[slice, slice]
    own: BoolArray
    free: BoolArray
    signed_distance: FloatArray


def cell_window(measured: MeasuredSet, cell: CellReference, margin: int) -> Window:
    """Return the surroundings of `cell`, `margin` pixels beyond its bounding box (less at the frame)."""
    image = measured.images[cell.image]
    area = (
        _widen(cell.box[0], margin, image.labels.shape[0]),
        _widen(cell.box[1], margin, image.labels.shape[1]),
    )
    labels = image.labels[area]
    own = labels == measured.label(cell)
    others = ndi.binary_dilation((labels > 0) & ~own, iterations=2)
    inside = ndi.distance_transform_edt(own)
    outside = ndi.distance_transform_edt(~own)
    signed = np.where(own, inside - 0.5, 0.5 - outside).astype(np.float32)
    return Window(area, own, ~others, signed)


def centred_crop(image: FloatArray, centre: Array, side: int) -> FloatArray:
    """Return the (side, side) pixels around `centre`, mirrored at the frame."""
    rows, columns = (np.arange(side) + round(float(position)) - side // 2 for position in (centre[0], centre[1]))
    return np.asarray(image[np.ix_(_mirror(rows, image.shape[0]), _mirror(columns, image.shape[1]))])


def _mirror(index: Array, size: int) -> Array:
    period = np.mod(index, 2 * size)
    return np.where(period < size, period, 2 * size - 1 - period)


def _widen(side: slice, margin: int, size: int) -> slice:
    return slice(max(0, side.start - margin), min(size, side.stop + margin))


def select_images(images: Iterable[AnnotatedImage], role: str) -> tuple[list[AnnotatedImage], int]:
    """Check and sort the images by name; of very many, keep evenly spaced ones (at most `MAX_PIXELS` pixels).

    Returns
    -------
    tuple
        The images kept, and the number given. A single image is cut in two, left and right, because
        floor and cross-validation need at least two.

    Raises
    ------
    CytoCascadeError
        If there is no image or one is not 2D or not finite.
    """
    given = sorted(images, key=lambda image: image.name)
    if not given:
        raise CytoCascadeError(f"The {role} set holds no image.", hint="Give at least one annotated image.")
    for image in given:
        _check(image, role)
    total = sum(image.image.size for image in given)
    if total > MAX_PIXELS and len(given) > 2:
        count = max(2, int(len(given) * MAX_PIXELS / total))
        given_count = len(given)
        return [given[i] for i in np.linspace(0, given_count - 1, count).round().astype(int)], given_count
    return (_left_and_right(given[0]), 1) if len(given) == 1 else (given, len(given))


def _check(image: AnnotatedImage, role: str) -> None:
    what = f"{role} image {image.name!r}"
    if image.image.ndim != 2:
        raise CytoCascadeError(
            f"The {what} has {image.image.ndim} axes; only 2D images can be evaluated.",
            hint="Give 2D images on both sides, or volumes on both sides to evaluate_volumes.",
        )
    if image.image.shape != image.labels.shape:
        raise CytoCascadeError(
            f"The {what} is {image.image.shape}, its labels {image.labels.shape}.",
            hint="Image and labels must have the same number of pixels.",
        )
    if not np.isfinite(image.image).all():
        raise CytoCascadeError(f"The {what} holds NaN or infinite values.", hint="Replace them before evaluating.")


def _left_and_right(image: AnnotatedImage) -> list[AnnotatedImage]:
    middle = image.image.shape[1] // 2
    parts = ((slice(0, middle), "left"), (slice(middle, None), "right"))
    return [
        replace(image, image=image.image[:, part], labels=image.labels[:, part], name=f"{image.name} ({side})")
        for part, side in parts
    ]


def measure_set(images: Sequence[AnnotatedImage], given: int, role: str, *, in_pixels: bool, seed: int) -> MeasuredSet:
    """Measure `images` and sample at most `MAX_CELLS` of their complete cells (more for training).

    Parameters
    ----------
    images : sequence of AnnotatedImage
        From `select_images`.
    given : int
        Number of images in the data set.
    role : str
        What the set is called in errors: "real", "synthetic", "training".
    in_pixels : bool
        Whether lengths are measured in pixels, whatever the spacing says.
    seed : int
        Seed of the sampling.

    Raises
    ------
    CytoCascadeError
        If the set has fewer than `MIN_CELLS` complete cells.
    """
    measured = tuple(_measure(image, in_pixels=in_pixels) for image in images)
    cells = [cell for index, image in enumerate(measured) for cell in _complete_cells(index, image)]
    if len(cells) < MIN_CELLS:
        raise CytoCascadeError(
            f"The {role} set has {len(cells)} complete cells (not cut by the frame); {MIN_CELLS} are needed.",
            hint="Give more annotated images.",
        )
    # A copy of a training cell that is left out would go unseen.
    limit = MAX_TRAINING_CELLS if role == "training" else MAX_CELLS
    if len(cells) > limit:
        chosen = numpy_generator(seed, "evaluation", "cells", role).choice(len(cells), limit, replace=False)
        cells = [cells[i] for i in np.sort(chosen)]
    return MeasuredSet(measured, tuple(cells), given)


def _measure(image: AnnotatedImage, *, in_pixels: bool) -> MeasuredImage:
    free = background_pixels(image.image, image.labels, sparse=image.sparse)
    background = estimate_background(image.image, image.labels, sparse=image.sparse)
    noise = background_noise(image.image, background, free)
    spacing = (1.0, 1.0) if in_pixels else image.spacing
    with np.errstate(invalid="ignore"):
        # Numbers missing between the labels make scipy divide 0 by 0 for cells that are not there.
        table = measure_cells(image.image, image.labels, spacing, background, noise)
    return MeasuredImage(image.name, np.asarray(image.image, dtype=np.float32), image.labels, background, noise, table)


def _complete_cells(index: int, image: MeasuredImage) -> list[CellReference]:
    boxes = ndi.find_objects(image.labels)
    rows = np.flatnonzero(~image.table.touches_border)
    # A few pixels have neither texture nor an outline; they still count among the features.
    return [
        CellReference(index, int(row), boxes[int(image.table.label[row]) - 1])
        for row in rows
        if (image.labels[boxes[int(image.table.label[row]) - 1]] == image.table.label[row]).sum() >= 12
    ]
