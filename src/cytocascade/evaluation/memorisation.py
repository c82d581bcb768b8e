"""Whether synthetic cells are copies of real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage as ndi
from scipy.stats import binom

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.identity import possibly_same, tracks
from cytocascade.evaluation.measured import CellReference, MeasuredSet
from cytocascade.evaluation.results import ClosePair, Memorisation, Verdict
from cytocascade.types import Array, FloatArray

SIDE = 32
TURNS = np.arange(24) * (2 * np.pi / 24)
MAX_QUERIES = 1000
SMALLEST = 0.15
SHOWN = 8


@dataclass(frozen=True)
class NearestCells:
    """The nearest reference cell of each query cell: the query cells, distances (n,) and indices (n,)."""

    cells: tuple[CellReference, ...]
    distance: Array
    which: Array


def aligned_crops(
    measured: MeasuredSet,
    cell: CellReference,
    turns: Array,
    *,
    mirror: bool = False,
    side: int = SIDE,
    zoom: float = 1.0,
) -> FloatArray:
    """Return mask and texture of one cell, centred, turned and scaled to fill a square.

    Parameters
    ----------
    measured, cell
        The cell.
    turns : ndarray, (k,)
        Rotations in radians.
    mirror : bool
        Whether to flip before turning.
    side : int
        Side of the square in samples.
    zoom : float
        Side of the square / the circle around the cell's centroid that holds it.

    Returns
    -------
    ndarray of float32, (k, 2, side, side)
        The mask in [0, 1], and the intensity above background, lightly smoothed.
    """
    image = measured.images[cell.image]
    own = image.labels[cell.box] == measured.label(cell)
    pixels = np.argwhere(own) + np.array([bound.start for bound in cell.box], dtype=np.float64)
    centre = pixels.mean(axis=0)
    radius = zoom * (float(np.sqrt(((pixels - centre) ** 2).sum(axis=1).max())) + 1.0)
    step = 2 * radius / side
    grid = (np.arange(side) - (side - 1) / 2) * step
    y, x = np.meshgrid(grid, -grid if mirror else grid, indexing="ij")
    cosine, sine = (f(turns)[:, None, None] for f in (np.cos, np.sin))
    where = np.stack([centre[0] + cosine * y - sine * x, centre[1] + sine * y + cosine * x])
    # Only the surroundings are smoothed and sampled, not the whole image.
    low = np.maximum(0, np.floor(centre - 1.5 * radius - 4)).astype(int)
    high = np.ceil(centre + 1.5 * radius + 5).astype(int)
    area = (slice(low[0], high[0]), slice(low[1], high[1]))
    where -= low[:, None, None, None]
    mask = (image.labels[area] == measured.label(cell)).astype(np.float32)
    texture = ndi.gaussian_filter(image.image[area] - image.background[area], max(0.7, 0.5 * step))
    sampled = [
        ndi.map_coordinates(mask, where, order=1, mode="constant"),
        ndi.map_coordinates(texture, where, order=1, mode="nearest"),
    ]
    return np.asarray(np.stack(sampled, axis=1), dtype=np.float32)


def crop_vectors(crops: FloatArray) -> FloatArray:
    """Return crops (k, 2, S, S) as unit vectors (k, 2 S²): silhouette and texture with equal weight.

    The texture is centred and scaled inside the mask, so that brightness and contrast do not matter. The
    squared distance of two such vectors is 2 x (1 - mean correlation of silhouettes and of textures).
    """
    mask, texture = crops[:, 0], crops[:, 1]
    inside = mask > 0.5
    count = np.maximum(inside.sum(axis=(1, 2)), 1)
    level = (texture * inside).sum(axis=(1, 2)) / count
    centred = np.where(inside, texture - level[:, None, None], 0.0)
    silhouette = mask - mask.mean(axis=(1, 2), keepdims=True)
    parts = [part.reshape(len(crops), -1) for part in (silhouette, centred)]
    units = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts]
    return np.asarray(np.concatenate(units, axis=1) * np.sqrt(0.5), dtype=np.float32)


def nearest(
    query: MeasuredSet, reference: MeasuredSet, *, both_real: bool = False, same_set: bool = False
) -> NearestCells:
    """Find the nearest sampled cell of `reference` for (at most 1000, evenly spaced) cells of `query`.

    The distance is the smallest over 24 rotations with and without a flip, in [0, 2]. If `both_real`, pairs
    that may be one object (see `possibly_same`) do not count, and cells without another pair are left out.
    """
    step = -(-len(query.cells) // MAX_QUERIES)
    cells = query.cells[::step]
    plain = np.zeros(1)
    bank = np.concatenate([crop_vectors(aligned_crops(reference, cell, plain)) for cell in reference.cells])
    similarity = np.empty((len(cells), len(bank)), dtype=np.float32)
    for index, cell in enumerate(cells):
        turned = [crop_vectors(aligned_crops(query, cell, TURNS, mirror=flip)) for flip in (False, True)]
        similarity[index] = (np.concatenate(turned) @ bank.T).max(axis=0)
    if both_real:
        asked = replace(query, cells=cells)
        similarity[possibly_same(asked, reference, same_set=same_set)] = -np.inf
    which = similarity.argmax(axis=1)
    best = similarity[np.arange(len(cells)), which].astype(np.float64)
    kept = np.flatnonzero(np.isfinite(best))
    distance = np.sqrt(np.maximum(0, 2 - 2 * best[kept]))
    return NearestCells(tuple(cells[i] for i in kept), distance, which[kept])


def best_alignment(
    query: MeasuredSet, cell: CellReference, reference: MeasuredSet, other: CellReference
) -> tuple[float, bool]:
    """Return the turn and flip that bring `cell` nearest to `other`."""
    target = crop_vectors(aligned_crops(reference, other, np.zeros(1)))[0]
    scores = np.stack([crop_vectors(aligned_crops(query, cell, TURNS, mirror=flip)) @ target for flip in (False, True)])
    flip, turn = np.unravel_index(int(scores.argmax()), scores.shape)
    return float(TURNS[turn]), bool(flip)


def memorisation_check(
    real: MeasuredSet, synthetic: MeasuredSet, training: MeasuredSet | None
) -> tuple[Memorisation, Array, Array]:
    """Compare nearest distances synthetic-to-training with real-to-training.

    Real cells that were not trained on tell how near to a training cell one comes by chance. Without a
    training set, real cells are compared with those of other real images instead. Cells that may be one
    object (see `possibly_same`) are not compared, else a video would make everything look normal; cells
    below 15 % of the median area are left out, because specks all look the same.

    Returns
    -------
    Memorisation
        Figures and closest pairs.
    ndarray
        Nearest distances of the synthetic cells.
    ndarray
        Nearest distances of the real cells.

    Raises
    ------
    CytoCascadeError
        If the synthetic or the reference cells are all specks.
    """
    given = real if training is None else training
    smallest = SMALLEST * float(np.median([given.pixels(cell) for cell in given.cells]))
    reference, ours, theirs = (_without_specks(one, smallest) for one in (given, real, synthetic))
    if not theirs.cells:
        raise CytoCascadeError(
            f"No synthetic cell has more than {smallest:.0f} pixels, 15 % of the median of real cells.",
            hint="Check that both sets show the same kind of cells at the same pixel size.",
        )
    normal, null = _normal_distances(ours, reference, same_set=training is None)
    found = nearest(theirs, reference)
    distances = found.distance
    closeness = judge_closeness(distances, normal)
    closest = [_pair(theirs, found, reference, int(i)) for i in np.argsort(distances, kind="stable")[:SHOWN]]
    result = Memorisation(
        reference="real" if training is None else "training",
        reference_cells=len(reference.cells),
        null=null,
        null_percentile_1=closeness.limit,
        null_median=float(np.median(normal)) if len(normal) else closeness.limit,
        synthetic_median=float(np.median(distances)),
        fraction_closer=closeness.fraction,
        fraction_allowed=closeness.allowed,
        copies=closeness.copies,
        verdict=closeness.verdict,
        video=tracks(reference.images)[1],
        closest=closest,
    )
    return result, distances, normal


@dataclass(frozen=True)
class Closeness:
    """How nearest distances compare with normal ones.

    Attributes
    ----------
    limit : float
        1st percentile of the normal distances.
    fraction : float
        Fraction of the distances below it.
    allowed : float
        What chance gives at most (99.9 %), at least 0.03.
    copies : int
        Distances below half of `limit`.
    """

    limit: float
    fraction: float
    allowed: float
    copies: int

    @property
    def verdict(self) -> Verdict:
        """Return "met" if there are no copies and the fraction is not more than allowed."""
        return "met" if self.copies == 0 and self.fraction <= self.allowed else "missed"


def judge_closeness(distances: Array, normal: Array) -> Closeness:
    """Compare nearest `distances` (n,) of synthetic cells with those of real cells, `normal` (m,)."""
    # With nothing to compare with (all cells in one place) only identical cells can be called copies.
    limit = float(np.percentile(normal, 1)) if len(normal) else 1e-3
    # The limit itself is uncertain when it rests on few cells: 3/n is its 95 % bound.
    chance = min(1.0, 0.01 + 3 / max(len(normal), 1))
    return Closeness(
        limit=limit,
        fraction=float((distances < limit).mean()),
        allowed=max(0.03, float(binom.ppf(0.999, len(distances), chance)) / len(distances)),
        copies=int((distances < 0.5 * limit).sum()),
    )


def _without_specks(measured: MeasuredSet, smallest: float) -> MeasuredSet:
    return replace(measured, cells=tuple(cell for cell in measured.cells if measured.pixels(cell) >= smallest))


def _normal_distances(
    real: MeasuredSet, reference: MeasuredSet, *, same_set: bool
) -> tuple[Array, Literal["real to real", "real to training"]]:
    """Return the nearest distances of real cells that are no copies, and what they were compared with."""
    found = nearest(real, reference, both_real=True, same_set=same_set).distance if real.cells else np.zeros(0)
    if same_set:
        return found, "real to real"
    if len(found):
        return found, "real to training"
    return nearest(reference, reference, both_real=True, same_set=True).distance, "real to real"


def _pair(synthetic: MeasuredSet, found: NearestCells, reference: MeasuredSet, i: int) -> ClosePair:
    ours, theirs = found.cells[i], reference.cells[int(found.which[i])]
    turn, flip = best_alignment(synthetic, ours, reference, theirs)
    return ClosePair(
        synthetic_image=synthetic.images[ours.image].name,
        synthetic_label=synthetic.label(ours),
        real_image=reference.images[theirs.image].name,
        real_label=reference.label(theirs),
        distance=float(found.distance[i]),
        turn=turn,
        flip=flip,
    )
