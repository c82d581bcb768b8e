"""Arrangement of the cells in real images: how many, how close, how often cut by the frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage as ndi
from scipy.spatial.distance import cdist

from cytocascade.errors import CytoCascadeError
from cytocascade.population.gaps import CellOutlines, cell_outlines, gap_matrix, group_sizes, sequential_gaps
from cytocascade.recorded import LeftOutUnset, Recorded
from cytocascade.seeding import numpy_generator
from cytocascade.types import Array

EVEN_WORTH = 10
"""How many cut cells the expectation of an even spread outweighs."""

SMALLEST_CUT = 0.02
"""Least part of a cell that the frame leaves visible, relative to the median cell."""

MAX_PAIRS = 2000
"""How many sequential gaps a `PopulationStatistics` keeps, over all images."""

CLUSTER_FRACTION = 0.25
"""Cells closer than this fraction of the median diameter count as clustered."""


class ImageArrangement(BaseModel):
    """The arrangement of the cells of one real image.

    The last four lists belong together, one entry per visited cell: cells are visited in random order, and
    each is described by its gap to the nearest cell visited before it. A synthetic field is filled cell by
    cell in the same way, so drawing from these conditional gaps reproduces clustering and spacing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    visible: int = Field(ge=1)
    """Cells visible in the image."""
    cut: int = Field(ge=0)
    """Cells that touch the frame."""
    frame: tuple[float, ...]
    """Size of the frame in micrometres, (Y, X) or (Z, Y, X)."""
    density: float = Field(gt=0)
    """Cells per square (cubic) micrometre to reproduce; for sparse annotation, that of the densest parts."""
    labelled_density: float = Field(gt=0)
    """Visible cells per square (cubic) micrometre of the frame, at which the gaps were measured."""
    visited: list[float] = Field(default_factory=list)
    """Fraction of the cells visited before this one, in (0, 1)."""
    size_rank: list[float] = Field(default_factory=list)
    """Rank of the cell's area among the whole cells of its image, in (0, 1), 1 is the largest; random if cut."""
    gap: list[float] = Field(default_factory=list)
    """Edge-to-edge gap to the nearest cell visited before, in micrometres; 0 if they touch."""
    distance: list[float] = Field(default_factory=list)
    """Distance of the centroid to the nearest centroid visited before, in micrometres."""


class PopulationStatistics(Recorded):
    """What has to be known about real fields to fill synthetic ones alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: list[ImageArrangement] = Field(min_length=1)
    """One entry per image with at least one cell."""
    median_diameter: float = Field(gt=0)
    """Median diameter, in micrometres, of the circle (ball) with the area (volume) of a cell."""
    mean_extent: tuple[float, ...]
    """Mean size of the bounding boxes of uncut cells, in micrometres."""
    cluster_gap: float = Field(ge=0)
    """Gap, in micrometres, below which two cells count as clustered."""
    p_cluster: float = Field(ge=0, le=1)
    """Fraction of cells with a neighbour closer than `cluster_gap`."""
    touching_rate: float = Field(ge=0, le=1)
    """Fraction of cells with a touching neighbour."""
    overlap_rate: float = Field(default=0.0, ge=0, le=1)
    """Fraction of the clustered cells that may overlap another; label images cannot show it, so 0."""
    cut_fraction: float = Field(ge=0, le=1)
    """Fraction of the visible cells that touch the frame."""
    cut_factor: float = Field(ge=0)
    """`cut_fraction` relative to that of cells spread evenly across the frame and beyond."""
    smallest_cut: float = Field(gt=0, le=1)
    """Smallest part of a cell that the frame leaves visible (area, relative to the median cell)."""
    cluster_sizes: list[int] = Field(default_factory=list)
    """Sizes of the groups whose members are closer than `cluster_gap` to another member."""
    touching_sizes: list[int] = Field(default_factory=list)
    """Sizes of the groups of touching cells."""
    neighbours_alike: Annotated[float | None, LeftOutUnset()] = None
    """Correlation of the light of nearest neighbours in fluorescence images; none: not measured."""


def fit_population(
    labels: Sequence[Array], spacing: tuple[float, ...], *, sparse: bool = False, seed: int = 0
) -> PopulationStatistics:
    """Fit the arrangement of cells to real label images.

    Parameters
    ----------
    labels : sequence of ndarray, (Y, X) or (Z, Y, X)
        Label images, 0 is background. Images without cells are left out.
    spacing : tuple of float
        Micrometres per pixel along each axis.
    sparse : bool
        Whether cells may carry no label. Labels then cannot tell the density, only bound it from below: it is
        taken from the windows (six cell diameters wide) that hold at least half as many cells as the fullest
        window of the image. Gaps are scaled to that density when they are drawn.
    seed : int
        Seed of the random visiting orders.

    Returns
    -------
    PopulationStatistics

    Raises
    ------
    CytoCascadeError
        If no image holds two cells.
    """
    outlines = [cell_outlines(image, spacing) for image in labels]
    used = [(image, cells) for image, cells in zip(labels, outlines) if len(cells)]
    if not any(len(cells) > 1 for _, cells in used):
        raise CytoCascadeError(
            "no label image holds two cells, so their arrangement cannot be fitted",
            hint="Annotate at least one field with several cells.",
        )
    diameter = _median_diameter([cells for _, cells in used], len(spacing))
    cluster_gap = CLUSTER_FRACTION * diameter
    pairs_per_image = MAX_PAIRS // len(used)
    images, nearest, clusters, touching = [], [], [], []
    for position, (image, cells) in enumerate(used):
        gaps = gap_matrix(cells, spacing)
        generator = numpy_generator(seed, "population", "orders", position)
        density = _dense_window_density(image, spacing, diameter) if sparse else None
        images.append(_arrangement(image, cells, gaps, spacing, density, pairs_per_image, generator))
        nearest.append(gaps.min(axis=1))
        clusters += group_sizes(gaps < cluster_gap)
        touching += group_sizes(gaps == 0)
    closest = np.concatenate(nearest)
    extent, cut_fraction, cut_factor, smallest = _frame_statistics(images, [cells for _, cells in used])
    return PopulationStatistics(
        images=images,
        median_diameter=diameter,
        mean_extent=extent,
        cluster_gap=cluster_gap,
        p_cluster=float((closest < cluster_gap).mean()),
        touching_rate=float((closest == 0).mean()),
        cut_fraction=cut_fraction,
        cut_factor=cut_factor,
        smallest_cut=smallest,
        cluster_sizes=sorted(clusters),
        touching_sizes=sorted(touching),
    )


def even_cut_fraction(frame: tuple[float, ...], extent: tuple[float, ...]) -> float:
    """Return the fraction of cells the frame cuts if boxes of size `extent` are spread evenly."""
    inside = math.prod(max(side - size, 0.0) for side, size in zip(frame, extent))
    visible = math.prod(side + size for side, size in zip(frame, extent))
    return 1.0 - inside / visible


def _median_diameter(cells: Sequence[CellOutlines], ndim: int) -> float:
    uncut = np.concatenate([one.area[~one.cut] for one in cells])
    area = float(np.median(uncut if len(uncut) else np.concatenate([one.area for one in cells])))
    return 2 * math.sqrt(area / math.pi) if ndim == 2 else 2 * (0.75 * area / math.pi) ** (1 / 3)


def _arrangement(
    image: Array,
    cells: CellOutlines,
    gaps: Array,
    spacing: tuple[float, ...],
    density: float | None,
    pairs: int,
    generator: np.random.Generator,
) -> ImageArrangement:
    count = len(cells)
    frame = tuple(float(side * step) for side, step in zip(image.shape, spacing))
    rank = _size_ranks(cells, generator)
    rows: list[tuple[float, float, float, float]] = []
    distances = cdist(cells.centroid, cells.centroid)
    if count > 1:
        for _ in range(math.ceil(pairs / (count - 1))):
            order = generator.permutation(count)
            gap, distance = sequential_gaps(gaps, order), sequential_gaps(distances, order)
            rows += [(k / count, float(rank[order[k]]), float(gap[k]), float(distance[k])) for k in range(1, count)]
    if len(rows) > pairs:
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, pairs).round().astype(int)]
    labelled = count / math.prod(frame)
    return ImageArrangement(
        visible=count,
        cut=int(cells.cut.sum()),
        frame=frame,
        density=labelled if density is None else max(density, labelled),
        labelled_density=labelled,
        visited=[round(row[0], 5) for row in rows],
        size_rank=[round(row[1], 5) for row in rows],
        gap=[round(row[2], 4) for row in rows],
        distance=[round(row[3], 4) for row in rows],
    )


def _size_ranks(cells: CellOutlines, generator: np.random.Generator) -> Array:
    """Return the rank in (0, 1) of each area among the whole cells; a random one for cut cells, of unknown size."""
    whole = ~cells.cut
    rank = generator.random(len(cells))
    rank[whole] = (np.argsort(np.argsort(cells.area[whole], kind="stable"), kind="stable") + 0.5) / max(whole.sum(), 1)
    return rank


def _dense_window_density(image: Array, spacing: tuple[float, ...], diameter: float) -> float:
    """Return the density in the windows that hold at least half as many cells as the fullest one."""
    present = np.unique(image[image > 0])
    centres = np.array(ndi.center_of_mass(np.ones(image.shape, dtype=bool), image, present)) * spacing
    frame = np.array(image.shape) * spacing
    tiles = np.maximum(np.round(frame / (6 * diameter)).astype(int), 1)
    index = np.minimum((centres / frame * tiles).astype(int), tiles - 1)
    counts = np.bincount(np.ravel_multi_index(tuple(index.T), tuple(tiles)), minlength=int(tiles.prod()))
    full = counts[counts >= 0.5 * counts.max()]
    return float(full.mean() * tiles.prod() / frame.prod())


def _frame_statistics(
    images: Sequence[ImageArrangement], cells: Sequence[CellOutlines]
) -> tuple[tuple[float, ...], float, float, float]:
    """Return mean extent of uncut cells, cut fraction, cut factor and smallest visible part of a cut cell."""
    extents = np.concatenate([one.extent[~one.cut] for one in cells])
    if not len(extents):
        extents = np.concatenate([one.extent for one in cells])
    extent = tuple(float(size) for size in extents.mean(axis=0))
    total = sum(image.visible for image in images)
    cut = sum(image.cut for image in images)
    even = sum(image.visible * even_cut_fraction(image.frame, extent) for image in images)
    factor = cut / even
    if abs(cut - even) < 2 * math.sqrt(even):
        # Fields are cut out at random, so an even spread is the rule, and these cells do not tell otherwise.
        factor = (cut + EVEN_WORTH) / (even + EVEN_WORTH)
    area = np.concatenate([one.area for one in cells])
    is_cut = np.concatenate([one.cut for one in cells])
    smallest = SMALLEST_CUT
    if is_cut.any() and not is_cut.all():
        smallest = smallest_cut(area[is_cut] / np.median(area[~is_cut]))
    return extent, cut / total, factor, smallest


def smallest_cut(visible: Array) -> float:
    """Return the smallest part of a cell that is annotated where the frame cuts it, in [`SMALLEST_CUT`, 0.5].

    Discs that are spread evenly are cut at evenly spread heights. If parts below some height are not annotated, the
    k-th of n annotated heights is expected at the (k / (n + 1))-th part of the range above it; so the smallest height
    seen among few cells lies well above the limit.

    Parameters
    ----------
    visible : ndarray, (n,)
        Area of cut cells relative to that of whole ones.
    """
    heights = np.linspace(0.0, 1.0, 201)
    angle = 2 * np.arccos(1 - 2 * heights)
    parts = (angle - np.sin(angle)) / (2 * np.pi)
    count = len(visible)
    # A low quantile stands for the smallest of many: one fragment must not decide.
    place = (0.05 * (count - 1) + 1) / (count + 1)
    height = float(np.interp(np.quantile(visible, 0.05), parts, heights))
    limit = float(np.interp(max(0.0, (height - place) / (1 - place)), heights, parts))
    return float(np.clip(limit, SMALLEST_CUT, 0.5))
