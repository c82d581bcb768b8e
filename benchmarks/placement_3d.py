"""Time the placement of thousands of cells in volumes, beside a volume-sized cross-correlation per cell.

Run: ``OMP_NUM_THREADS=1 python benchmarks/placement_3d.py``. Prints a table and writes
``benchmarks/results/placement_3d.json`` and ``.md``. Seconds are those of the processor. Peak memory is that of
the placement alone (`tracemalloc` follows numpy), without masks and labels; beside it, what two dense maps of the
volume would take (8 bytes per voxel). Each case is placed once for its time and, if that takes less than a
minute, once for its memory. The naive peer (Svoboda & Ulman taken literally: `scipy.signal.fftconvolve` of the
occupied volume with each mask) is timed on one cell of the smaller volume and extrapolated by the cost of a
Fourier transform, ``n log n``.
"""

from __future__ import annotations

import datetime
import math
import os
import platform
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import fftconvolve

from cytocascade.population import (
    PopulationStatistics,
    VolumeArrangement,
    VolumeOverrides,
    draw_volume_placement,
    fit_population,
    paint_labels,
    place_volume,
)
from cytocascade.storage import write_json, write_text
from cytocascade.types import BoolArray

RESULTS = Path(__file__).parent / "results"
SPACING = (0.5, 0.25, 0.25)


def ellipsoids(count: int, size: tuple[float, float, float], spacing: tuple[float, float, float]) -> list[BoolArray]:
    """Return masks of ellipsoids about as large as `size` micrometres, turned about z."""
    generator = np.random.default_rng(1)
    masks = []
    for scale, ratio, angle in zip(
        generator.normal(1.0, 0.12, count).clip(0.6, 1.4),
        generator.uniform(1.0, 1.5, count),
        generator.uniform(0, math.pi, count),
    ):
        semi = 0.5 * scale * np.array(size) * [1.0, math.sqrt(ratio), 1 / math.sqrt(ratio)]
        reach = np.ceil([semi[0] / spacing[0], *(semi[1:].max() / np.array(spacing[1:]))]).astype(int)
        z, y, x = np.mgrid[tuple(slice(-side, side + 1) for side in reach)] * np.array(spacing)[:, None, None, None]
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        mask = (z / semi[0]) ** 2 + (u / semi[1]) ** 2 + (v / semi[2]) ** 2 <= 1
        inside = np.argwhere(mask)
        masks.append(mask[tuple(slice(a, b + 1) for a, b in zip(inside.min(axis=0), inside.max(axis=0)))])
    return masks


def example_statistics(ndim: int, diameter: float, coverage: float) -> PopulationStatistics:
    """Fit discs (balls) of which about half were thrown beside an earlier one."""
    generator = np.random.default_rng(0)
    shape = (640, 640) if ndim == 2 else (112, 112, 112)
    step = diameter / (25.0 if ndim == 2 else 14.0)
    radius = 0.5 * diameter / step
    body = math.pi * radius**2 if ndim == 2 else 4 / 3 * math.pi * radius**3
    centres = [generator.uniform(0, shape)]
    for _ in range(100_000):
        point = generator.uniform(0, shape)
        if generator.random() < 0.5:
            direction = generator.standard_normal(ndim)
            beside = 2 * radius + 1 + generator.exponential(0.2 * radius)
            point = centres[generator.integers(len(centres))] + beside * direction / np.linalg.norm(direction)
        inside = ((point >= 0) & (point < shape)).all()
        if inside and (np.linalg.norm(np.array(centres) - point, axis=1) > 2 * radius + 1).all():
            centres.append(point)
        if len(centres) >= coverage * math.prod(shape) / body:
            break
    labels = np.zeros(shape, dtype=np.uint16)
    for label, centre in enumerate(centres, start=1):
        low = np.maximum(np.floor(centre - radius).astype(int), 0)
        box = tuple(slice(int(a), int(c + radius) + 2) for a, c in zip(low, centre))
        grid = np.meshgrid(*(np.arange(side)[part] for side, part in zip(shape, box)), indexing="ij")
        labels[box][sum((axis - c) ** 2 for axis, c in zip(grid, centre)) <= radius**2] = label
    return fit_population([labels], (step,) * ndim)


def measure(
    name: str, shape: tuple[int, int, int], spacing: tuple[float, float, float], size: tuple[float, float, float],
    overrides: VolumeOverrides, statistics: PopulationStatistics, arrangement: VolumeArrangement,
) -> dict[str, Any]:  # fmt: skip
    """Place the cells of one case and return the figures."""
    assert isinstance(overrides.count, int)
    masks = ellipsoids(overrides.count, size, spacing)
    start = time.process_time()
    params = draw_volume_placement(arrangement, statistics, shape, spacing, overrides, seed=1)
    drawn = time.process_time() - start
    start = time.process_time()
    placement = place_volume(masks, shape, params)
    seconds = time.process_time() - start
    peak = None
    if seconds < 60:
        tracemalloc.start()
        place_volume(masks, shape, params)
        peak = round(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    labels, _ = paint_labels(placement.cells, masks, shape)
    voxels = sum(int((paint_labels([cell], masks, shape)[0] > 0).sum()) for cell in placement.cells[:3])
    assert voxels == sum(int((labels == number).sum()) for number in range(1, len(placement.cells[:3]) + 1))
    classes = [cell.placement for cell in placement.cells]
    return {
        "case": name,
        "voxels": "x".join(map(str, shape)),
        "cells": params.count,
        "rejected": placement.rejected,
        "draw_cpu_seconds": round(drawn, 1),
        "cpu_seconds": round(seconds, 1),
        "peak_mib": peak,
        "dense_maps_mib": round(8 * math.prod(shape) / 2**20),
        "labels_dtype": str(labels.dtype),
        "filled": round(float(np.count_nonzero(labels) / labels.size), 3),
        "touching": round(classes.count("touching") / len(classes), 3),
        "alone": round(classes.count("alone") / len(classes), 3),
    }


def time_cross_correlation(shape: tuple[int, int, int]) -> float:
    """Return seconds of one volume-sized cross-correlation with the occupied volume."""
    occupied = (np.random.default_rng(0).random(shape) < 0.2).astype(np.float32)
    mask = ellipsoids(1, (7.0, 7.0, 7.0), (0.5, 0.5, 0.5))[0]
    start = time.process_time()
    fftconvolve(occupied, mask[::-1, ::-1, ::-1].astype(np.float32), mode="same")
    return time.process_time() - start


def main() -> None:
    """Run all cases, print them and write the results."""
    layer = VolumeArrangement(kind="layer", reason="", cell_height=6.0, substrate=[4.0], jitter=0.3, tilt=0.3)
    ball = VolumeArrangement(kind="ball", reason="", packing=[0.4], ball_axes=[(1.0, 1.0, 1.0)], ball_cells=[1])
    tissue = VolumeArrangement(kind="volume", reason="")
    flat, solid = example_statistics(2, 6.5, 0.35), example_statistics(3, 7.0, 0.2)
    cube, fine = (256, 256, 256), (0.5, 0.5, 0.5)
    rows = [
        measure("layer", (64, 2048, 2048), SPACING, (5.0, 6.5, 6.5), VolumeOverrides(count=3000), flat, layer),
        measure("volume", cube, fine, (7.0, 7.0, 7.0), VolumeOverrides(count=2000), solid, tissue),
        measure("ball", cube, fine, (7.0, 7.0, 7.0), VolumeOverrides(count=1000, touching_rate=0.6), solid, ball),
    ]
    per_cell = time_cross_correlation(cube)
    for row in rows:
        size = math.prod(int(side) for side in row["voxels"].split("x"))
        share = size * math.log(size) / (math.prod(cube) * math.log(math.prod(cube)))
        row["naive_seconds_extrapolated"] = round(per_cell * share * row["cells"])
        row["times_faster"] = round(row["naive_seconds_extrapolated"] / row["cpu_seconds"])
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "load_average": round(os.getloadavg()[0], 1),
        "cases": rows,
        "naive_seconds_per_cell_256": round(per_cell, 2),
    }
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row[column]) for column in columns) + " |" for row in rows]
    lines += [
        "",
        f"Cross-correlation of 256x256x256 voxels with one cell: {per_cell:.2f} s; extrapolated by n log n.",
        f"{result['machine']}, OMP_NUM_THREADS={result['threads']}, load {result['load_average']}, {result['date']}.",
    ]
    print("\n".join(lines))
    write_json(RESULTS / "placement_3d.json", result)
    write_text(RESULTS / "placement_3d.md", "# Placement in 3D\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
