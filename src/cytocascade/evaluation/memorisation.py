"""Whether synthetic cells are copies of real ones."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from scipy.stats import binom

from cytocascade.evaluation.identity import possibly_same, tracks
from cytocascade.evaluation.measured import CellReference, MeasuredSet
from cytocascade.evaluation.results import ClosePair, Memorisation
from cytocascade.types import Array, BoolArray, FloatArray

SIDE = 32
ROTATIONS = 16
SHOWN = 8


def aligned_crop(
    measured: MeasuredSet, cell: CellReference, *, turn: float = 0.0, mirror: bool = False
) -> FloatArray:
    """Return mask and texture of one cell, centred and scaled to fill a square.

    Parameters
    ----------
    measured, cell
        The cell.
    turn : float
        Rotation in radians.
    mirror : bool
        Whether to flip as well.

    Returns
    -------
    ndarray of float32, (2, 32, 32)
        The mask in [0, 1], and the intensity above background, lightly smoothed.
    """
    image = measured.images[cell.image]
    own = image.labels[cell.box] == measured.label(cell)
    corner = np.array([side.start for side in cell.box], dtype=np.float64)
    pixels = np.argwhere(own) + corner
    centre = pixels.mean(axis=0)
    radius = float(np.sqrt(((pixels - centre) ** 2).sum(axis=1).max())) + 1.0
    step = 2 * radius / SIDE
    grid = (np.arange(SIDE) - (SIDE - 1) / 2) * step
    y, x = np.meshgrid(grid, -grid if mirror else grid, indexing="ij")
    rows = centre[0] + np.cos(turn) * y - np.sin(turn) * x
    columns = centre[1] + np.sin(turn) * y + np.cos(turn) * x
    # Only the surroundings are smoothed and sampled, not the whole image.
    low = np.maximum(0, np.floor(centre - radius - 4)).astype(int)
    high = np.ceil(centre + radius + 5).astype(int)
    area = (slice(low[0], high[0]), slice(low[1], high[1]))
    where = np.stack([rows - low[0], columns - low[1]])
    mask = (image.labels[area] == measured.label(cell)).astype(np.float32)
    texture = ndi.gaussian_filter(image.image[area] - image.background[area], max(0.7, 0.5 * step))
    sampled = [
        ndi.map_coordinates(mask, where, order=1, mode="constant"),
        ndi.map_coordinates(texture, where, order=1, mode="nearest"),
    ]
    return np.asarray(np.stack(sampled), dtype=np.float32)


def crop_vector(crop: FloatArray) -> FloatArray:
    """Return crop (2, 32, 32) as a unit vector (2048,): silhouette and texture with equal weight.

    The texture is centred and scaled inside the mask, so that brightness and contrast do not matter. The
    squared distance of two such vectors is 2 x (1 - mean correlation of silhouettes and of textures).
    """
    mask, texture = crop[0], crop[1]
    silhouette = mask - mask.mean()
    inside = mask > 0.5
    centred = np.where(inside, texture - texture[inside].mean() if inside.any() else 0.0, 0.0)
    parts = [part / max(float(np.linalg.norm(part)), 1e-9) for part in (silhouette, centred)]
    return np.asarray(np.concatenate([part.ravel() for part in parts]) * np.sqrt(0.5), dtype=np.float32)


def nearest(
    query: MeasuredSet, reference: MeasuredSet, forbidden: BoolArray | None = None
) -> tuple[Array, Array]:
    """Return the distance (n,) of each sampled cell of `query` to its nearest in `reference`, and which (n,).

    The distance is the smallest over 16 rotations with and without a flip, in [0, 2]; pairs marked in
    `forbidden` (n, m) do not count, and a cell all of whose pairs are forbidden gets NaN.
    """
    bank = np.stack([crop_vector(aligned_crop(reference, cell)) for cell in reference.cells])
    best = np.full((len(query.cells), len(reference.cells)), -1.0, dtype=np.float32)
    for mirror in (False, True):
        for turn in np.arange(ROTATIONS) * (2 * np.pi / ROTATIONS):
            turned = [
                crop_vector(aligned_crop(query, cell, turn=float(turn), mirror=mirror))
                for cell in query.cells
            ]
            np.maximum(best, np.stack(turned) @ bank.T, out=best)
    if forbidden is not None:
        best[forbidden] = -np.inf
    which = best.argmax(axis=1)
    similarity = best[np.arange(len(best)), which].astype(np.float64)
    distance = np.where(np.isfinite(similarity), np.sqrt(np.maximum(0, 2 - 2 * similarity)), np.nan)
    return distance, which


def memorisation_check(
    real: MeasuredSet, synthetic: MeasuredSet, training: MeasuredSet | None
) -> tuple[Memorisation, Array, Array]:
    """Compare nearest distances synthetic-to-training with real-to-training.

    Real cells that were not trained on tell how near to a training cell one comes by chance. Without a
    training set, real cells are compared with those of other real images instead. Cells that may be one
    object (see `possibly_same`) are not compared, else a video would make everything look normal.

    Returns
    -------
    Memorisation
        Figures and closest pairs.
    ndarray
        Nearest distances of the synthetic cells.
    ndarray
        Nearest distances of the real cells.
    """
    reference = real if training is None else training
    normal, _ = nearest(real, reference, possibly_same(real, reference))
    normal = normal[np.isfinite(normal)]
    null = "real to real" if training is None else "real to training"
    if len(normal) == 0 and training is not None:
        normal, _ = nearest(training, training, possibly_same(training, training))
        normal, null = normal[np.isfinite(normal)], "real to real"
    distances, which = nearest(synthetic, reference)
    # With nothing to compare with (all cells in one place) only identical cells can be called copies.
    limit = float(np.percentile(normal, 1)) if len(normal) else 1e-3
    fraction = float((distances < limit).mean())
    # The limit itself is uncertain when it rests on few cells: 3/n is its 95 % bound.
    chance = 0.01 + 3 / max(len(normal), 1)
    allowed = max(0.03, float(binom.ppf(0.999, len(distances), min(1.0, chance))) / len(distances))
    copies = int((distances < 0.5 * limit).sum())
    result = Memorisation(
        reference="real" if training is None else "training",
        reference_cells=len(reference.cells),
        null="real to real" if null == "real to real" else "real to training",
        null_percentile_1=limit,
        null_median=float(np.median(normal)) if len(normal) else limit,
        synthetic_median=float(np.median(distances)),
        fraction_closer=fraction,
        fraction_allowed=allowed,
        copies=copies,
        verdict="met" if copies == 0 and fraction <= allowed else "missed",
        video=tracks(reference)[1],
        closest=[
            _pair(synthetic, reference, int(i), int(which[i]), distances)
            for i in np.argsort(distances)[:SHOWN]
        ],
    )
    return result, distances, normal


def _pair(synthetic: MeasuredSet, reference: MeasuredSet, i: int, j: int, distances: Array) -> ClosePair:
    ours, theirs = synthetic.cells[i], reference.cells[j]
    return ClosePair(
        synthetic_image=synthetic.images[ours.image].name,
        synthetic_label=synthetic.label(ours),
        real_image=reference.images[theirs.image].name,
        real_label=reference.label(theirs),
        distance=float(distances[i]),
    )
