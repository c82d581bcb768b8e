"""One set of annotated volumes, measured once for every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.volumes.background import slice_noise, volume_background
from cytocascade.evaluation.volumes.results import VolumeSummary
from cytocascade.evaluation.volumes.selection import require_one_voxel_size
from cytocascade.images.background import background_pixels
from cytocascade.images.features import nearest_neighbour_distances
from cytocascade.seeding import numpy_generator
from cytocascade.types import AnnotatedImage, Array, BoolArray, FloatArray

MAX_CELLS = 400
MAX_TRAINING_CELLS = 1500
MIN_CELLS = 5
MIN_VOXELS = 30
MARGIN = 6


@dataclass(frozen=True)
class MeasuredVolume:
    """One volume with its background and its cells.

    Attributes
    ----------
    name : str
        Name of the volume.
    image, background : ndarray of float32, (Z, Y, X)
        Intensities and local background in the image's units.
    labels : ndarray of int, (Z, Y, X)
        Instance labels.
    noise : float
        Standard deviation of the background noise.
    spacing : tuple of float
        Micrometres per voxel (z, y, x).
    label : ndarray of int, (n,)
        Labels of all cells, ascending.
    boxes : tuple of tuple of slice
        Bounding box of each.
    centroid : ndarray, (n, 3)
        Centroid of each in voxels.
    whole : ndarray of bool, (n,)
        Whether no face of the volume cuts (touches) the cell.
    nearest : ndarray, (n,)
        Micrometres from each centroid to the nearest other; NaN for a lone cell.
    """

    name: str
    image: FloatArray
    labels: Array
    background: FloatArray
    noise: float
    spacing: tuple[float, float, float]
    label: Array
    boxes: tuple[tuple[slice, slice, slice], ...]
    centroid: Array
    whole: BoolArray
    nearest: Array


@dataclass(frozen=True)
class Part:
    """What the halves of a set are made of: a whole volume, or the left or right half of the only one."""

    volume: int
    columns: slice


@dataclass(frozen=True)
class CellReference:
    """A whole cell: index of its volume, row in that volume's arrays."""

    volume: int
    row: int


@dataclass(frozen=True)
class Window:
    """The surroundings of one cell: its place, mask, light above background, and voxels free of other cells."""

    area: tuple[slice, slice, slice]
    own: BoolArray
    above: FloatArray
    free: BoolArray


@dataclass(frozen=True)
class VolumeSet:
    """The measured volumes of one side, their parts, and the whole cells sampled from them (in volume order)."""

    volumes: tuple[MeasuredVolume, ...]
    parts: tuple[Part, ...]
    cells: tuple[CellReference, ...]
    given: int

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return micrometres per voxel (z, y, x)."""
        return self.volumes[0].spacing

    def part_of_cell(self) -> Array:
        """Return the part of each sampled cell."""
        return np.array([self._part(cell.volume, cell.row) for cell in self.cells], dtype=np.int64)

    def parts_of_all(self) -> Array:
        """Return the part of every cell of every volume, cut or not."""
        return np.array(
            [self._part(v, row) for v, volume in enumerate(self.volumes) for row in range(len(volume.label))],
            dtype=np.int64,
        )

    def _part(self, volume: int, row: int) -> int:
        column = self.volumes[volume].centroid[row, 2]
        inside = (
            k
            for k, part in enumerate(self.parts)
            if part.volume == volume and part.columns.start - 0.5 <= column < part.columns.stop - 0.5
        )
        return next(inside)

    def block(self, part: Part) -> tuple[FloatArray, Array, FloatArray]:
        """Return image, labels and background of one part."""
        volume = self.volumes[part.volume]
        return (
            volume.image[..., part.columns],
            volume.labels[..., part.columns],
            volume.background[..., part.columns],
        )

    def label(self, cell: CellReference) -> int:
        """Return the label of `cell` in its volume."""
        return int(self.volumes[cell.volume].label[cell.row])

    def mask(self, cell: CellReference) -> BoolArray:
        """Return the mask of `cell` in its bounding box."""
        volume = self.volumes[cell.volume]
        return np.asarray(volume.labels[volume.boxes[cell.row]] == self.label(cell))

    def window(self, cell: CellReference, margin: int = MARGIN) -> Window:
        """Return the surroundings of `cell`: `margin` voxels beyond its box laterally, 2 axially."""
        volume = self.volumes[cell.volume]
        z, y, x = (
            slice(max(0, side.start - grown), min(size, side.stop + grown))
            for side, grown, size in zip(volume.boxes[cell.row], (2, margin, margin), volume.image.shape)
        )
        area = (z, y, x)
        labels = volume.labels[area]
        own = labels == self.label(cell)
        others = ndi.binary_dilation((labels > 0) & ~own)
        return Window(area, own, volume.image[area] - volume.background[area], ~others)

    def summary(self) -> VolumeSummary:
        """Return how much data there is."""
        return VolumeSummary(
            volumes=len(self.volumes),
            volumes_given=self.given,
            cells=sum(len(volume.label) for volume in self.volumes),
            whole_cells=sum(int(volume.whole.sum()) for volume in self.volumes),
            sampled_cells=len(self.cells),
            spacing=self.spacing,
        )


def measure_volumes(volumes: Sequence[AnnotatedImage], given: int, role: str, seed: int) -> VolumeSet:
    """Measure `volumes` and sample at most `MAX_CELLS` of their whole cells (more for training).

    Parameters
    ----------
    volumes : sequence of AnnotatedImage
        From `select_volumes`.
    given : int
        Number of volumes in the data set.
    role : str
        What the set is called in errors: "real", "synthetic", "training".
    seed : int
        Seed of the sampling.

    Raises
    ------
    CytoCascadeError
        If voxel sizes differ or the set has fewer than `MIN_CELLS` whole cells.
    """
    require_one_voxel_size(volumes, role)
    measured = tuple(_measure(volume) for volume in volumes)
    cells = [
        CellReference(index, int(row))
        for index, volume in enumerate(measured)
        for row in np.flatnonzero(volume.whole)
        if (volume.labels[volume.boxes[row]] == volume.label[row]).sum() >= MIN_VOXELS
    ]
    if len(cells) < MIN_CELLS:
        total = sum(len(volume.label) for volume in measured)
        raise CytoCascadeError(
            f"The {role} set has {len(cells)} whole cells (of {total}; the others are cut by a face of their volume "
            f"or have fewer than {MIN_VOXELS} voxels); {MIN_CELLS} are needed.",
            hint="Give more annotated volumes, or volumes that hold whole cells.",
        )
    limit = MAX_TRAINING_CELLS if role == "training" else MAX_CELLS
    if len(cells) > limit:
        chosen = numpy_generator(seed, "evaluation", "volume cells", role).choice(len(cells), limit, replace=False)
        cells = [cells[i] for i in np.sort(chosen)]
    return VolumeSet(measured, _parts(measured), tuple(cells), given)


def _parts(volumes: Sequence[MeasuredVolume]) -> tuple[Part, ...]:
    widths = [volume.image.shape[2] for volume in volumes]
    if len(volumes) > 1:
        return tuple(Part(index, slice(0, width)) for index, width in enumerate(widths))
    middle = widths[0] // 2
    return Part(0, slice(0, middle)), Part(0, slice(middle, widths[0]))


def _measure(volume: AnnotatedImage) -> MeasuredVolume:
    z, y, x = volume.spacing
    image = np.asarray(volume.image, dtype=np.float32)
    free = background_pixels(image, volume.labels, sparse=volume.sparse)
    background = volume_background(image, free)
    found = [(label, box) for label, box in enumerate(ndi.find_objects(volume.labels), start=1) if box is not None]
    label = np.array([one for one, _ in found], dtype=np.int64)
    boxes = tuple((box[0], box[1], box[2]) for _, box in found)
    centroid = np.array([_centroid(volume.labels, one, box) for one, box in found]).reshape(-1, 3)
    whole = np.array(
        [all(s.start > 0 and s.stop < n for s, n in zip(box, image.shape)) for box in boxes], dtype=np.bool_
    )
    return MeasuredVolume(
        name=volume.name,
        image=image,
        labels=volume.labels,
        background=background,
        noise=slice_noise(image, free),
        spacing=(float(z), float(y), float(x)),
        label=label,
        boxes=boxes,
        centroid=centroid,
        whole=whole,
        nearest=nearest_neighbour_distances(centroid * np.asarray(volume.spacing)),
    )


def _centroid(labels: Array, label: int, box: tuple[slice, ...]) -> Array:
    corner = np.array([side.start for side in box])
    return np.asarray(np.argwhere(labels[box] == label).mean(axis=0) + corner)
