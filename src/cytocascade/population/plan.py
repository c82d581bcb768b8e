"""Everything random about the arrangement of one field, drawn before anything is placed."""

from __future__ import annotations

import math

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.population.params import PlacementParams, PopulationOverrides
from cytocascade.population.statistics import PopulationStatistics, even_cut_fraction
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.types import Array

_FAR = 1e6


def draw_placement(
    statistics: PopulationStatistics,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    overrides: PopulationOverrides | None = None,
    *,
    seed: int,
    keys: tuple[str | int, ...] = (),
) -> PlacementParams:
    """Draw the arrangement of one field; `place_cells` carries it out.

    Two ways lead to the gaps. As fitted: each cell's gap to the nearest cell placed before is drawn from the
    real sequential gaps measured at a similar density, visited fraction and size. If `p_cluster` or
    `touching_rate` is given: the groups are drawn explicitly (their sizes as in the real images, or as wanted),
    because a wanted final fraction cannot be read off sequential gaps.

    Parameters
    ----------
    statistics : PopulationStatistics
        Fitted to real label images.
    shape : tuple of int
        Pixels of the field along each axis.
    spacing : tuple of float
        Micrometres per pixel along each axis.
    overrides : PopulationOverrides, optional
        What to do otherwise than in the real images.
    seed, keys : int, tuple of (str or int)
        The draw depends on these alone.

    Returns
    -------
    PlacementParams

    Raises
    ------
    CytoCascadeError
        If the number of axes differs from the fit's, or the overrides contradict each other.
    """
    wanted = overrides or PopulationOverrides()
    if not len(shape) == len(spacing) == len(statistics.mean_extent):
        raise CytoCascadeError(
            f"a field of shape {shape} does not fit the statistics of {len(statistics.mean_extent)}D images",
            hint="Give as many axes as the fitted images have.",
        )
    generator = numpy_generator(seed, *keys, "placement")
    frame = tuple(float(side * step) for side, step in zip(shape, spacing))
    count = _draw_count(statistics, frame, wanted, generator)
    size_rank = (generator.permutation(count) + 0.5) / max(count, 1)
    cut = generator.random(count) < _cut_probability(statistics, frame)
    if wanted.p_cluster is None and wanted.touching_rate is None:
        gap, distance = _sequential(statistics, math.prod(frame), size_rank, generator)
        apart = np.zeros(count)
        group = np.full(count, -1)
    else:
        p_cluster, touching = resolve_rates(statistics, wanted)
        groups = (
            _groups(statistics, count, p_cluster, touching, generator)
            if wanted.island_size is None
            else _islands(wanted.island_size, count, p_cluster, touching, generator)
        )
        gap, apart, group = _grouped(statistics, count, groups, generator)
        distance = np.full(count, _FAR)
    overlap = statistics.overlap_rate if wanted.overlap_rate is None else wanted.overlap_rate
    slides = (gap < statistics.cluster_gap) & (generator.random(count) < overlap)
    hidden = np.where(slides, generator.uniform(0.2, 0.9, count) * wanted.max_overlap, 0.0)
    return PlacementParams(
        count=count,
        seed=derive_seed(seed, *keys, "placement", "positions"),
        spacing=tuple(float(step) for step in spacing),
        cluster_gap=statistics.cluster_gap,
        median_diameter=statistics.median_diameter,
        smallest_cut=statistics.smallest_cut,
        size_rank=[round(float(rank), 6) for rank in size_rank],
        cut=[bool(flag) for flag in cut],
        gap=[None if value >= _FAR else round(float(value), 4) for value in gap],
        distance=[None if value >= _FAR else round(float(value), 4) for value in distance],
        apart=[round(float(value), 4) for value in apart],
        group=[int(value) for value in group],
        hidden=[round(float(value), 4) for value in hidden],
        max_overlap=wanted.max_overlap,
    )


def density_spread(statistics: PopulationStatistics) -> tuple[float, float]:
    """Return standard deviation of the log densities of the images, and the bandwidth of their bootstrap.

    One pseudo-observation of Poisson variance keeps the spread of a single image, or of a few that happen to
    agree, from being nought.
    """
    logs = np.log([image.density for image in statistics.images])
    poisson = 1.0 / float(np.mean([image.visible for image in statistics.images]))
    spread = math.sqrt((float(((logs - logs.mean()) ** 2).sum()) + poisson) / len(logs))
    return spread, 0.9 * spread * len(logs) ** -0.2


def _draw_count(
    statistics: PopulationStatistics,
    frame: tuple[float, ...],
    wanted: PopulationOverrides,
    generator: np.random.Generator,
) -> int:
    """Draw the number of cells: as wanted, or by a smoothed bootstrap of the images' densities.

    The bootstrap is shrunk towards the mean so that smoothing does not widen it. A frame smaller than
    the real ones sees a part of a field, which adds Poisson variance.
    """
    if wanted.count is not None:
        return draw_wanted_count(wanted.count, generator)
    logs = np.log([image.density for image in statistics.images])
    spread, bandwidth = density_spread(statistics)
    smoothed = generator.choice(logs) - logs.mean() + bandwidth * generator.standard_normal()
    density = math.exp(logs.mean() + smoothed / math.sqrt(1 + (bandwidth / spread) ** 2))
    expected = density * math.prod(frame)
    real = float(np.mean([image.density * math.prod(image.frame) for image in statistics.images]))
    part = max(0.0, 1.0 - expected / real)
    drawn = expected + math.sqrt(part * expected) * generator.standard_normal()
    return max(1, round(wanted.density * drawn))


def draw_wanted_count(wanted: int | tuple[int, int], generator: np.random.Generator) -> int:
    """Return the wanted number of cells, or one from the wanted range; `CytoCascadeError` if it is impossible."""
    if isinstance(wanted, tuple):
        low, high = wanted
        if not 0 <= low <= high:
            raise CytoCascadeError(f"{low}:{high} is no range of cell counts", hint="Give LOW:HIGH, 0 <= LOW <= HIGH.")
        return int(generator.integers(low, high + 1))
    if wanted < 0:
        raise CytoCascadeError(f"{wanted} cells cannot be placed", hint="Give a count of 0 or more.")
    return wanted


def _cut_probability(statistics: PopulationStatistics, frame: tuple[float, ...]) -> float:
    return min(0.95, statistics.cut_factor * even_cut_fraction(frame, statistics.mean_extent))


def _sequential(
    statistics: PopulationStatistics, area: float, size_rank: Array, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Draw each cell's gap and centroid distance from real ones of similar density, size and turn."""
    count = len(size_rank)
    images = [image for image in statistics.images if image.gap]
    log_density = math.log(max(count, 1) / area)
    _, bandwidth = density_spread(statistics)
    visited = np.concatenate([image.visited for image in images])
    rank = np.concatenate([image.size_rank for image in images])
    real = np.concatenate([image.gap for image in images])
    centroid = np.concatenate([image.distance for image in images])
    logs = np.array([math.log(image.density) for image in images])
    distance = (logs - log_density) / max(bandwidth, 0.1)
    weight = np.exp(-0.5 * (distance**2 - (distance**2).min())) / [len(image.gap) for image in images]
    lengths = [len(image.gap) for image in images]
    pair_weight = np.log(np.maximum(np.repeat(weight, lengths), 1e-12))
    pair_log_density = np.repeat([math.log(image.labelled_density) for image in images], lengths)
    log_visited = np.log(visited)
    gaps, distances = np.full(count, _FAR), np.full(count, _FAR)
    for k in range(1, count):
        here = math.log(k / count)
        score = pair_weight - 0.5 * (((log_visited - here) / 0.2) ** 2 + ((rank - size_rank[k]) / 0.08) ** 2)
        chances = np.cumsum(np.exp(score - score.max()))
        pick = min(int(np.searchsorted(chances, generator.random() * chances[-1])), len(real) - 1)
        # Gaps between cells that keep apart widen as the cells get sparser; contacts do not.
        wider = math.exp((pair_log_density[pick] + log_visited[pick] - log_density - here) / len(images[0].frame))
        beyond = max(real[pick] - statistics.cluster_gap, 0.0)
        gaps[k] = min(real[pick], statistics.cluster_gap) + beyond * wider
        distances[k] = centroid[pick] + gaps[k] - real[pick]
    return gaps, distances


def resolve_rates(statistics: PopulationStatistics, wanted: PopulationOverrides) -> tuple[float, float]:
    """Return (p_cluster, touching rate), the one not given following the other as in the real images."""
    p_cluster, touching = wanted.p_cluster, wanted.touching_rate
    if p_cluster is not None and touching is not None and touching > p_cluster:
        raise CytoCascadeError(
            f"a touching rate of {touching} exceeds the clustered fraction of {p_cluster}",
            hint="Touching cells are clustered: lower the touching rate or raise p_cluster.",
        )
    if p_cluster is None:
        p_cluster = max(statistics.p_cluster, touching or 0.0)
    if touching is None:
        share = statistics.touching_rate / statistics.p_cluster if statistics.p_cluster > 0 else 0.0
        touching = min(p_cluster, p_cluster * share)
    return p_cluster, touching


def _grouped(
    statistics: PopulationStatistics, count: int, groups: list[list[bool]], generator: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Put groups, and lone cells besides, in order, and draw the gaps of members that do not touch one before them."""
    gap_pool = np.array([gap for image in statistics.images for gap in image.gap])
    gap_pool = gap_pool[(gap_pool > 0.1 * statistics.cluster_gap) & (gap_pool < 0.9 * statistics.cluster_gap)]
    if not len(gap_pool):
        gap_pool = np.linspace(0.2, 0.9, 8) * statistics.cluster_gap
    groups = groups + [[False]] * (count - sum(len(touches) for touches in groups))
    gap, group = [], []
    for number, choice in enumerate(generator.permutation(len(groups))):
        for member, touches in enumerate(groups[choice]):
            joined = 0.0 if touches else float(generator.choice(gap_pool))
            gap.append(_FAR if member == 0 else joined)
            group.append(number)
    return np.array(gap), np.full(count, 1.05 * statistics.cluster_gap), np.array(group, dtype=int)


def _groups(
    statistics: PopulationStatistics, count: int, p_cluster: float, touching: float, generator: np.random.Generator
) -> list[list[bool]]:
    """Draw groups of touching cells and groups of near cells so that the rates are met exactly."""
    in_touch = round(touching * count)
    near = round(p_cluster * count) - in_touch
    groups = [[True] * size for size in _draw_sizes(in_touch, statistics.touching_sizes, generator)]
    return groups + [[False] * size for size in _draw_sizes(near, statistics.cluster_sizes, generator)]


def _islands(
    mean: float, count: int, p_cluster: float, touching: float, generator: np.random.Generator
) -> list[list[bool]]:
    """Draw groups in which some cells touch one before them and others are near; the rate is met on average."""
    clustered = round(p_cluster * count)
    sizes = _draw_sizes(clustered, list(1 + generator.geometric(1 / (mean - 1), max(clustered, 1))), generator)
    chance = chance_before(min(1.0, touching / p_cluster)) if p_cluster > 0 else 0.0
    return [list(generator.random(size) < chance) for size in sizes]


def chance_before(rate: float) -> float:
    """Return how often a cell has to touch one placed before it, so that `rate` of all cells touch another.

    A contact has two cells: if each touches one before it with a chance q, 1 - (1 - q)^2 of them touch another.
    """
    return 1 - math.sqrt(1 - rate)


def _draw_sizes(cells: int, sizes: list[int], generator: np.random.Generator) -> list[int]:
    """Draw group sizes of at least 2 that sum to `cells` (a single cell cannot form a group)."""
    drawn: list[int] = []
    left = cells
    while left >= 2:
        size = min(left, int(generator.choice(sizes or [2])))
        size = size + 1 if left - size == 1 else size
        drawn.append(size)
        left -= size
    return drawn
