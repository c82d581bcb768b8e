"""How cells fill a volume, learned from annotated stacks: as a layer, in a ball, or everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial import KDTree

from cytocascade.errors import CytoCascadeError
from cytocascade.population.orientation import measure_flatness
from cytocascade.population.stack_cells import StackCells, measure_stack
from cytocascade.population.statistics import ImageArrangement, PopulationStatistics, fit_population
from cytocascade.population.volume_params import ArrangementName
from cytocascade.types import AnnotatedStack, Array

LAYER_SPREAD = 0.5
"""Cells lie in a layer if the heights of their middles spread by less than this part of a cell's height ..."""

LAYER_CROWDING = 1.1
"""... and if, seen along z, the sum of their areas exceeds the area that they cover by no more than this factor."""

BALL_OUTSIDE = 0.2
"""Cells lie in a ball if no more of them than this lies outside the ellipsoid in their common bounding box ..."""

BALL_FILL = 0.35
"""... or if that box fills no more of the stack than this; in either case the sides of the stack cut next to none."""

MOST_PACKING = 0.74
LEAST_OVERLAP = 0.1
"""Part of a cell that others have to cover, seen along z, for it to ride on them; less comes of bulging sides."""

_LEAST_PLANE = 8
_LEAST_BALL = 3


class VolumeArrangement(BaseModel):
    """What has to be known about real stacks to fill synthetic volumes alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ArrangementName
    """``layer`` (adherent cells on a plane), ``ball`` (embryos, organoids) or ``volume`` (tissue, suspensions)."""
    reason: str
    """What the choice of `kind` rests on, for people to read."""
    population: PopulationStatistics | None = None
    """Gaps, clusters and densities of the stacks: of the cells seen along z (2D) for a layer, of their bodies (3D)
    otherwise. None if no stack tells; the statistics of 2D images then stand in."""
    density: list[float] = Field(default_factory=list)
    """Cells per square (layer) or cubic (volume) micrometre of each stack, with those between annotated slices."""
    cell_height: float | None = Field(None, gt=0)
    """Median extent of a cell along z in micrometres; None if no stack tells."""
    substrate: list[float] = Field(default_factory=list)
    """Height of the plane that the cells rest on in each stack, in micrometres above the lower face of its first
    plane. Empty: cells lie in the middle of the volume."""
    tilt: float = Field(0.0, ge=0)
    """Root mean square of the tilt of that plane in degrees."""
    jitter: float = Field(0.0, ge=0)
    """Standard deviation of the cells' lowest points about that plane in micrometres."""
    overlap_rate: float = Field(0.0, ge=0, le=1)
    """Share of the cells of a layer that overlap one placed before, seen along z."""
    max_overlap: float = Field(0.3, gt=0, lt=1)
    """Largest part of a cell that overlaps others, seen along z."""
    packing: list[float] = Field(default_factory=list)
    """Part of the ball of each stack that its cells fill."""
    ball_axes: list[tuple[float, float, float]] = Field(default_factory=list)
    """Semi-axes along (z, y, x) of each stack's ball, relative to the radius of a ball of the same volume."""
    ball_cells: list[int] = Field(default_factory=list)
    """Cells per ball."""
    ball_reach: float = Field(0.75, gt=0)
    """How far from the middle of the ball centres of cells lie at most, relative to its semi-axes."""
    ball_distance: float = Field(0.9, gt=0)
    """Mean distance of a centre to the nearest other, relative to the cube root of the ball's volume per cell."""
    ball_distance_spread: float = Field(0.05, ge=0)
    """Standard deviation of these distances, relative to their mean."""
    ball_flatness: float = Field(0.5, ge=0, le=1)
    """How flat cells lie against the surface of the ball: 0 as by chance, 1 as flat as their shapes allow."""
    cut_z: bool = True
    """Whether the first and last plane cut cells (of a volume)."""


def fit_arrangement(
    stacks: Sequence[AnnotatedStack],
    *,
    kind: ArrangementName | None = None,
    cell_height: float | None = None,
    seed: int = 0,
) -> VolumeArrangement:
    """Fit the arrangement of cells to annotated stacks.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
        Labels of all or of a few slices. Labels of a stack annotated throughout are taken for whole cells; of
        a few slices they need not agree with each other, and the image tells how tall the cells are. With no
        stacks, only a wish can be kept.
    kind : str, optional
        The arrangement, if it is known; otherwise it is decided by the data, ``"layer"`` if there are none.
    cell_height : float, optional
        Extent of a cell along z in micrometres, if it is known better than the stacks tell.
    seed : int
        Seed of the random visiting orders.

    Raises
    ------
    CytoCascadeError
        If the stacks differ in spacing.
    """
    _require_one_spacing(stacks)
    measured = [(stack, measure_stack(stack)) for stack in stacks]
    used = [_Stack(stack, cells) for stack, cells in measured if cells is not None]
    if not used:
        return VolumeArrangement(kind=kind or "layer", reason="no annotated stacks", cell_height=cell_height)
    height = cell_height or _cell_height([one.cells for one in used])
    decided, reason = _decide([one.cells for one in used], height)
    name, reason = (decided, reason) if kind is None else (kind, f"as wished; by the data: {decided}, {reason}")
    population = _population(used, name, seed)
    common = {"kind": name, "reason": reason, "population": population, "cell_height": round(height, 4)}
    return VolumeArrangement.model_validate({**common, **_details(used, name)})


@dataclass(frozen=True)
class _Stack:
    stack: AnnotatedStack
    cells: StackCells

    @property
    def whole(self) -> bool:
        return len(self.stack.annotated) == len(self.stack.labels)

    @property
    def count(self) -> float:
        """Return the cells of the stack, with those that no annotated slice meets."""
        return len(self.cells) / self.cells.seen


def _require_one_spacing(stacks: Sequence[AnnotatedStack]) -> None:
    for stack in stacks:
        if not np.allclose(stack.spacing, stacks[0].spacing, rtol=1e-3):
            raise CytoCascadeError(
                f"stack {stack.name} has a voxel of {stack.spacing} micrometres, {stacks[0].name} {stacks[0].spacing}",
                hint="Give stacks of one spacing, or resample them.",
            )


def _cell_height(cells: Sequence[StackCells]) -> float:
    whole = np.concatenate([(one.top - one.bottom)[~one.cut_z] for one in cells])
    return float(np.median(whole if len(whole) else np.concatenate([one.top - one.bottom for one in cells])))


def _decide(cells: Sequence[StackCells], height: float) -> tuple[ArrangementName, str]:
    """Return the arrangement that the data show, and why."""
    spread = _pooled([0.5 * (one.top + one.bottom) for one in cells]) / height
    crowding = float(np.median([one.crowding for one in cells]))
    if spread < LAYER_SPREAD and crowding < LAYER_CROWDING:
        return "layer", f"heights spread by {spread:.2f} of a cell's, outlines are crowded {crowding:.2f} times"
    cut = float(np.concatenate([one.cut_yx for one in cells]).mean())
    outside = float(np.median([one.outside for one in cells]))
    fill = float(np.median([math.prod(one.size) / math.prod(one.frame) for one in cells]))
    reason = f"sides cut {cut:.2f} of the cells, {outside:.2f} lie outside their ellipsoid, they fill {fill:.2f}"
    return ("ball" if cut < 0.1 and (outside < BALL_OUTSIDE or fill < BALL_FILL) else "volume"), reason


def _pooled(values: Sequence[Array], lost: int = 1) -> float:
    """Return the standard deviation within groups, (n_i,) each."""
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in values)
    freedom = sum(max(len(group) - lost, 0) for group in values)
    return math.sqrt(squares / freedom) if freedom else 0.0


def _population(used: Sequence[_Stack], name: ArrangementName, seed: int) -> PopulationStatistics | None:
    """Fit the gaps: between the outlines seen along z for a layer, else between whole bodies, if they are known."""
    sparse = any(one.stack.sparse for one in used)
    fitted = [one for one in used if name == "layer" or one.whole]
    if not any(len(one.cells) > 1 for one in fitted):
        return None
    spacing = used[0].stack.spacing
    if name == "layer":
        statistics = fit_population([one.cells.footprints for one in fitted], spacing[1:], sparse=sparse, seed=seed)
        factors = [one.count / len(one.cells) for one in fitted]
        images = [_denser(image, factor) for image, factor in zip(statistics.images, factors)]
        return statistics.model_copy(update={"images": images})
    statistics = fit_population([one.stack.labels for one in fitted], spacing, sparse=sparse, seed=seed)
    if name == "ball":
        images = [_framed(image, one.cells.size) for image, one in zip(statistics.images, fitted)]
        statistics = statistics.model_copy(update={"images": images})
    return statistics


def _denser(image: ImageArrangement, factor: float) -> ImageArrangement:
    return image.model_copy(update={"density": image.density * factor})


def _framed(image: ImageArrangement, size: tuple[float, ...]) -> ImageArrangement:
    """Return the arrangement with the cells' ellipsoid in place of the frame; how much is dark around is chance."""
    share = math.pi / 6 * math.prod(size) / math.prod(image.frame)
    side = (math.pi / 6 * math.prod(size)) ** (1 / 3)
    density = image.density / share
    return image.model_copy(
        update={"frame": (side,) * 3, "density": density, "labelled_density": image.labelled_density / share}
    )


def _details(used: Sequence[_Stack], name: ArrangementName) -> dict[str, object]:
    if name == "layer":
        tilts, residuals, levels = [], [], []
        for one in used:
            kept = ~one.cells.cut_z
            if kept.any():
                level, tilt, residual = _plane(one.cells, kept)
                levels.append(round(level, 4))
                residuals.append(residual)
                tilts += [] if tilt is None else [tilt]
        area = [one.cells.frame[1] * one.cells.frame[2] for one in used]
        return {
            "density": [one.count / size for one, size in zip(used, area)],
            "substrate": levels,
            "tilt": round(math.sqrt(float(np.mean(np.square(tilts)))), 4) if tilts else 0.0,
            "jitter": round(_pooled(residuals), 4),
            **_overlaps([one.cells for one in used if one.whole]),
        }
    volumes = [math.prod(one.cells.frame) for one in used]
    details: dict[str, object] = {"density": [one.count / volume for one, volume in zip(used, volumes)]}
    if name == "volume":
        # A frame that cuts no cell at its sides has been chosen around the cells; then z is no different.
        return {**details, "cut_z": any(bool(one.cells.cut_z.any()) for one in used)}
    sizes = np.array([one.cells.size for one in used])
    details["ball_reach"] = round(float(np.mean([_reach(one.cells) for one in used])), 4)
    flat = [
        measure_flatness(one.stack.labels, one.stack.spacing)
        for one in used
        if one.whole and len(one.cells) >= _LEAST_BALL
    ]
    if flat:
        details["ball_flatness"] = round(float(np.mean(flat)), 4)
    near = [_nearest(one) for one in used if len(one.cells) >= _LEAST_BALL]
    ratios = np.concatenate(near) if near else np.empty(0)
    if len(ratios):
        details["ball_distance"] = round(float(ratios.mean()), 4)
        details["ball_distance_spread"] = round(_pooled(near) / float(ratios.mean()), 4)
    return {
        **details,
        "packing": [round(min(one.cells.packing, MOST_PACKING), 4) for one in used],
        "ball_axes": np.round(sizes / np.cbrt(sizes.prod(axis=1, keepdims=True)), 4).tolist(),
        "ball_cells": [max(1, round(one.count)) for one in used],
    }


def _overlaps(cells: Sequence[StackCells]) -> dict[str, float]:
    """Return how many cells overlap one before them seen along z (half of those that overlap any), and how far."""
    shared = np.concatenate([one.shared for one in cells]) if cells else np.empty(0)
    overlapping = shared[shared > LEAST_OVERLAP]
    if not len(overlapping):
        return {}
    return {
        "overlap_rate": round(0.5 * len(overlapping) / len(shared), 4),
        "max_overlap": round(float(np.clip(np.quantile(overlapping, 0.9), 0.02, 0.5)), 4),
    }


def _nearest(one: _Stack) -> Array:
    """Return the nearest centre distances relative to the cube root of the ellipsoid's volume per cell."""
    cells = one.cells
    distance = KDTree(cells.centre).query(cells.centre, k=2)[0][:, 1]
    return np.asarray(distance / (math.pi / 6 * math.prod(cells.size) / one.count) ** (1 / 3))


def _reach(cells: StackCells) -> float:
    """Return how far out the outermost centre lies, relative to the semi-axes of the cells' ellipsoid."""
    middle = np.array([cells.bottom.min(), *cells.low]) + 0.5 * np.array(cells.size)
    offset = (cells.centre - middle) / (0.5 * np.array(cells.size))
    return float(np.clip(np.sqrt((offset**2).sum(axis=1)).max(), 0.1, 1.2))


def _plane(cells: StackCells, kept: Array) -> tuple[float, float | None, Array]:
    """Return height of the cells' lowest points in the middle of the stack, tilt in degrees, and the residuals.

    With fewer than 8 cells the plane is taken to be level, and the tilt is None.
    """
    bottom, position = cells.bottom[kept], cells.position[kept]
    if len(bottom) < _LEAST_PLANE:
        return float(bottom.mean()), None, np.asarray(bottom - bottom.mean())
    offset = position - np.array(cells.frame[1:]) / 2
    design = np.column_stack([np.ones(len(bottom)), offset])
    solution, *_ = np.linalg.lstsq(design, bottom, rcond=None)
    residual = bottom - design @ solution
    # Two directions were fitted on top of the mean; their freedom is given back to the residuals' spread.
    residual *= math.sqrt((len(bottom) - 1) / (len(bottom) - 3))
    return float(solution[0]), math.degrees(math.atan(float(np.hypot(*solution[1:])))), residual
