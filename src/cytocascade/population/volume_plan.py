"""Everything random about the arrangement of one volume, drawn before anything is placed."""

from __future__ import annotations

import math

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.population.arrangement import VolumeArrangement
from cytocascade.population.params import PlacementParams, PopulationOverrides
from cytocascade.population.plan import chance_before, draw_placement, draw_wanted_count, resolve_rates
from cytocascade.population.sections import bodies_from_sections
from cytocascade.population.statistics import PopulationStatistics
from cytocascade.population.volume_params import BallParams, LayerParams, VolumeOverrides, VolumeParams
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.types import Array

DEFAULT_PACKING = 0.35
"""Part of a ball that cells fill where nothing is known."""


def draw_volume_placement(
    arrangement: VolumeArrangement,
    statistics: PopulationStatistics | None,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    overrides: VolumeOverrides | None = None,
    *,
    seed: int,
    keys: tuple[str | int, ...] = (),
) -> VolumeParams:
    """Draw the arrangement of one volume; `place_volume` carries it out.

    Parameters
    ----------
    arrangement : VolumeArrangement
        Fitted to real stacks, or a wish.
    statistics : PopulationStatistics or None
        Of 2D images (or of stacks); they stand in where `arrangement` knows nothing about gaps and densities.
    shape : tuple of int
        Voxels of the volume, (Z, Y, X).
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    overrides : VolumeOverrides, optional
        What to do otherwise than in the real stacks.
    seed, keys : int, tuple of (str or int)
        The draw depends on these alone.

    Raises
    ------
    CytoCascadeError
        If there are neither 3D nor 2D statistics to draw from, or the overrides contradict each other.
    """
    wanted = overrides or VolumeOverrides()
    kind = wanted.arrangement or arrangement.kind
    generator = numpy_generator(seed, *keys, "volume")
    flat = PopulationOverrides(**wanted.model_dump(include=set(PopulationOverrides.model_fields)))
    if kind == "layer":
        known = _statistics(arrangement, statistics, 2)
        if flat.overlap_rate is None:
            flat = flat.model_copy(update={"overlap_rate": arrangement.overlap_rate})
        if "max_overlap" not in wanted.model_fields_set:
            flat = flat.model_copy(update={"max_overlap": arrangement.max_overlap})
        cells = draw_placement(known, shape[1:], spacing[1:], flat, seed=seed, keys=keys)
        layer = _draw_layer(arrangement, wanted, known, cells.count, generator)
        return VolumeParams(kind, spacing, cells, layer=layer, cut_z=True)
    flat = flat.model_copy(update={"overlap_rate": 0.0})
    known = _bodies(arrangement, statistics)
    if kind == "volume":
        cells = draw_placement(known, shape, spacing, flat, seed=seed, keys=keys)
        return VolumeParams(kind, spacing, cells, cut_z=arrangement.cut_z)
    ball, cells = _draw_ball(arrangement, known, shape, spacing, wanted, generator, seed, keys)
    return VolumeParams(kind, spacing, cells, ball=ball, cut_z=False)


def _statistics(
    arrangement: VolumeArrangement, statistics: PopulationStatistics | None, ndim: int
) -> PopulationStatistics:
    for known in (arrangement.population, statistics):
        if known is not None and len(known.mean_extent) == ndim:
            return known
    raise CytoCascadeError(
        f"no {ndim}D statistics of gaps and densities are known to arrange cells by",
        hint="Fit images or stacks that show at least two cells, or choose another arrangement.",
    )


def _bodies(arrangement: VolumeArrangement, statistics: PopulationStatistics | None) -> PopulationStatistics:
    for known in (arrangement.population, statistics):
        if known is not None and len(known.mean_extent) == 3:
            return known
    density = arrangement.density if arrangement.kind == "volume" else []
    return bodies_from_sections(_statistics(arrangement, statistics, 2), arrangement.cell_height, density)


def _draw_layer(
    arrangement: VolumeArrangement,
    wanted: VolumeOverrides,
    known: PopulationStatistics,
    count: int,
    generator: np.random.Generator,
) -> LayerParams:
    # Everything is drawn, also what is overridden, so that a wish does not change the rest.
    levels = np.array(arrangement.substrate or [0.0])
    spread = 0.9 * float(levels.std()) * len(levels) ** -0.2
    shrunk = 1.0 / math.sqrt(1.0 + (spread / levels.std()) ** 2) if levels.std() > 0 else 1.0
    drawn = levels.mean() + shrunk * (generator.choice(levels) - levels.mean() + spread * generator.standard_normal())
    height: float | None = max(0.0, round(float(drawn), 4)) if arrangement.substrate else None
    angle, direction = generator.rayleigh(math.sqrt(0.5)), generator.uniform(0, 2 * math.pi)
    tilt = arrangement.tilt * angle if wanted.tilt is None else wanted.tilt
    rise = math.tan(math.radians(min(tilt, 30.0)))
    jitter = arrangement.jitter * np.clip(generator.standard_normal(count), -2.5, 2.5)
    return LayerParams(
        height=height if wanted.substrate is None else wanted.substrate,
        slope=(round(rise * math.sin(direction), 6), round(rise * math.cos(direction), 6)),
        cell_height=arrangement.cell_height or known.median_diameter,
        jitter=[round(float(value), 4) for value in jitter],
    )


def _draw_ball(
    arrangement: VolumeArrangement,
    known: PopulationStatistics,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    wanted: VolumeOverrides,
    generator: np.random.Generator,
    seed: int,
    keys: tuple[str | int, ...],
) -> tuple[BallParams, PlacementParams]:
    """Draw a ball and its cells; centre distances tell where they go, and only contacts are drawn as gaps."""
    fitted = int(generator.integers(max(len(arrangement.packing), 1)))
    packing = arrangement.packing[fitted] if arrangement.packing else DEFAULT_PACKING
    axes = arrangement.ball_axes[fitted] if arrangement.ball_axes else (1.0, 1.0, 1.0)
    shift = tuple(round(float(value), 4) for value in generator.uniform(-1, 1, 3))
    packing = wanted.packing or packing
    room = math.prod(side * step for side, step in zip(shape, spacing))
    count = _draw_ball_count(arrangement, 0.5 * packing * room / known.median_diameter**3, wanted.count, generator)
    p_cluster, touching = resolve_rates(known, wanted)
    draws = generator.random(count)
    touches, near = draws < chance_before(touching), draws < chance_before(p_cluster)
    gap = np.where(touches, 0.0, generator.uniform(0.2, 0.9, count) * known.cluster_gap)
    scores = np.clip(generator.standard_normal(count), -2, 2)
    cells = PlacementParams(
        count=count,
        seed=derive_seed(seed, *keys, "placement", "positions"),
        spacing=spacing,
        cluster_gap=known.cluster_gap,
        median_diameter=known.median_diameter,
        smallest_cut=known.smallest_cut,
        size_rank=[round(float(rank), 6) for rank in (generator.permutation(count) + 0.5) / max(count, 1)],
        cut=[False] * count,
        gap=[round(float(value), 4) if wish else None for value, wish in zip(gap, near | touches)],
        distance=[None] * count,
        apart=[0.0] * count,
        group=[-1] * count,
        hidden=[0.0] * count,
        max_overlap=wanted.max_overlap,
    )
    distance = arrangement.ball_distance * (1 + arrangement.ball_distance_spread * scores)
    ball = BallParams(
        packing=packing,
        axes=axes,
        shift=(shift[0], shift[1], shift[2]),
        reach=arrangement.ball_reach,
        flatness=arrangement.ball_flatness,
        distance=[round(float(value), 4) for value in distance],
    )
    return ball, cells


def _draw_ball_count(
    arrangement: VolumeArrangement,
    most: float,
    wanted: int | tuple[int, int] | None,
    generator: np.random.Generator,
) -> int:
    """Draw the number of cells from those of the real balls, smoothed; what fits well if none are known."""
    counts: Array = np.log(np.array(arrangement.ball_cells or [max(round(most), 1)], dtype=np.float64))
    bandwidth = 0.9 * float(counts.std()) * len(counts) ** -0.2
    drawn = float(generator.choice(counts)) + bandwidth * float(generator.standard_normal())
    return max(1, round(math.exp(drawn))) if wanted is None else draw_wanted_count(wanted, generator)
