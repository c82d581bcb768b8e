"""Whether synthetic cells are copies of real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cytocascade.evaluation.memorisation import judge_closeness
from cytocascade.evaluation.results import ClosePair
from cytocascade.evaluation.volumes.measured import CellReference, VolumeSet
from cytocascade.evaluation.volumes.results import VolumeMemorisation
from cytocascade.types import Array, BoolArray, FloatArray

SIDE = 12
TURNS = np.arange(16) * (2 * np.pi / 16)
MAX_QUERIES = 200
SHOWN = 6


@dataclass(frozen=True)
class NearestCells:
    """The nearest reference cell of each query cell: query cells, distances (n,), indices and poses (n,)."""

    cells: tuple[CellReference, ...]
    distance: Array
    which: Array
    pose: Array


def aligned_cubes(
    measured: VolumeSet, cell: CellReference, turns: Array, *, mirror: bool = False, side: int = SIDE, zoom: float = 1.0
) -> FloatArray:
    """Return mask and texture of one cell, centred, turned about z and scaled to fill a cube.

    Parameters
    ----------
    measured, cell
        The cell.
    turns : ndarray, (k,)
        Rotations about the optical axis in radians.
    mirror : bool
        Whether to flip x before turning.
    side : int
        Side of the cube in samples.
    zoom : float
        Side of the cube / the diameter of the ball around the centroid that holds the cell.

    Returns
    -------
    ndarray of float32, (k, 2, side, side, side)
        The mask in [0, 1], and the intensity above background, lightly smoothed.
    """
    window = measured.window(cell, margin=2)
    spacing = np.asarray(measured.spacing)
    voxels = np.argwhere(window.own)
    centre = voxels.mean(axis=0)
    reach = np.sqrt((((voxels - centre) * spacing) ** 2).sum(axis=1).max()) + spacing[2]
    step = zoom * 2 * float(reach) / side
    grid = (np.arange(side) - (side - 1) / 2) * step
    z, y, x = np.meshgrid(grid, grid, -grid if mirror else grid, indexing="ij")
    cosine, sine = (f(turns)[:, None, None, None] for f in (np.cos, np.sin))
    places = np.stack(
        [
            np.broadcast_to(centre[0] + z / spacing[0], (len(turns), *z.shape)),
            centre[1] + (cosine * y - sine * x) / spacing[1],
            centre[2] + (sine * y + cosine * x) / spacing[2],
        ]
    )
    blur = [max(0.3, 0.4 * step / s) for s in spacing]
    texture = ndi.gaussian_filter(window.above, blur)
    sampled = [
        ndi.map_coordinates(window.own.astype(np.float32), places, order=1, mode="constant"),
        ndi.map_coordinates(texture, places, order=1, mode="nearest"),
    ]
    return np.asarray(np.stack(sampled, axis=1), dtype=np.float32)


def cube_vectors(cubes: FloatArray) -> FloatArray:
    """Return cubes (k, 2, S, S, S) as unit vectors: silhouette and texture with equal weight.

    The texture is centred and scaled inside the mask, so that brightness and contrast do not matter. The
    squared distance of two such vectors is 2 x (1 - mean correlation of silhouettes and of textures).
    """
    flat = cubes.reshape(len(cubes), 2, -1)
    mask, texture = flat[:, 0], flat[:, 1]
    inside = mask > 0.5
    level = (texture * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    parts = [mask - mask.mean(axis=1, keepdims=True), np.where(inside, texture - level[:, None], 0.0)]
    units = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts]
    return np.asarray(np.concatenate(units, axis=1) * np.sqrt(0.5), dtype=np.float32)


def nearest(query: VolumeSet, reference: VolumeSet, *, both_real: bool = False) -> NearestCells:
    """Find the nearest sampled cell of `reference` for (at most 200, evenly spaced) cells of `query`.

    The distance is the smallest over 16 rotations about z with and without a flip, in [0, 2]. If `both_real`,
    pairs that may be one object (see `possibly_same`) do not count, and cells without another pair are left out.
    """
    step = -(-len(query.cells) // MAX_QUERIES)
    cells = query.cells[::step]
    plain = np.zeros(1)
    bank = np.concatenate([cube_vectors(aligned_cubes(reference, cell, plain)) for cell in reference.cells])
    similarity = np.empty((len(cells), len(bank)), dtype=np.float32)
    poses = np.empty((len(cells), len(bank)), dtype=np.int64)
    for index, cell in enumerate(cells):
        turned = [cube_vectors(aligned_cubes(query, cell, TURNS, mirror=flip)) for flip in (False, True)]
        found = np.concatenate(turned) @ bank.T
        similarity[index], poses[index] = found.max(axis=0), found.argmax(axis=0)
    if both_real:
        similarity[possibly_same(query, cells, reference)] = -np.inf
    which = similarity.argmax(axis=1)
    rows = np.arange(len(cells))
    best = similarity[rows, which].astype(np.float64)
    kept = np.flatnonzero(np.isfinite(best))
    distance = np.sqrt(np.maximum(0, 2 - 2 * best[kept]))
    return NearestCells(tuple(cells[i] for i in kept), distance, which[kept], poses[rows, which][kept])


def possibly_same(query: VolumeSet, cells: tuple[CellReference, ...], reference: VolumeSet) -> BoolArray:
    """Return (n, m) whether a real query cell and a real reference cell may be one object, imaged again.

    They may if they lie in volumes of one shape at places within half a diameter of each other, as in a time
    series, in a second round of staining, or where both are the same cell of the same set.
    """
    ours, theirs = _places(query, cells), _places(reference, reference.cells)
    voxel = float(np.prod(query.spacing))
    radius = np.cbrt([3 * query.mask(cell).sum() * voxel / (4 * np.pi) for cell in cells])
    near = np.linalg.norm(ours[:, None] - theirs[None], axis=-1) < radius[:, None]
    shapes = [query.volumes[cell.volume].image.shape for cell in cells]
    others = [reference.volumes[cell.volume].image.shape for cell in reference.cells]
    alike = np.array([[shape == other for other in others] for shape in shapes])
    return np.asarray(near & alike)


def _places(measured: VolumeSet, cells: tuple[CellReference, ...]) -> Array:
    places = [measured.volumes[cell.volume].centroid[cell.row] for cell in cells]
    return np.asarray(np.stack(places) * np.asarray(measured.spacing))


def check_memorisation(
    real: VolumeSet, synthetic: VolumeSet, training: VolumeSet | None
) -> tuple[VolumeMemorisation, Array, Array]:
    """Compare nearest distances synthetic-to-training with real-to-training.

    Without a training set, real cells are compared with those of other real volumes instead.

    Returns
    -------
    VolumeMemorisation
        Figures and closest pairs.
    ndarray
        Nearest distances of the synthetic cells.
    ndarray
        Nearest distances of the real cells.
    """
    reference = real if training is None else training
    normal = nearest(real, reference, both_real=True).distance
    found = nearest(synthetic, reference)
    closeness = judge_closeness(found.distance, normal)
    order = np.argsort(found.distance, kind="stable")[:SHOWN]
    result = VolumeMemorisation(
        reference="real" if training is None else "training",
        reference_cells=len(reference.cells),
        null="real to real" if training is None else "real to training",
        null_percentile_1=closeness.limit,
        null_median=float(np.median(normal)) if len(normal) else closeness.limit,
        synthetic_median=float(np.median(found.distance)),
        fraction_closer=closeness.fraction,
        fraction_allowed=closeness.allowed,
        copies=closeness.copies,
        verdict=closeness.verdict,
        closest=[_pair(synthetic, found, reference, int(i)) for i in order],
    )
    return result, found.distance, normal


def _pair(synthetic: VolumeSet, found: NearestCells, reference: VolumeSet, i: int) -> ClosePair:
    ours, theirs = found.cells[i], reference.cells[int(found.which[i])]
    flip, turn = divmod(int(found.pose[i]), len(TURNS))
    return ClosePair(
        synthetic_image=synthetic.volumes[ours.volume].name,
        synthetic_label=synthetic.label(ours),
        real_image=reference.volumes[theirs.volume].name,
        real_label=reference.label(theirs),
        distance=float(found.distance[i]),
        turn=float(TURNS[turn]),
        flip=bool(flip),
    )
