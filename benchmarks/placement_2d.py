"""Time the placement of 2000 cells in a 2048 x 2048 field, beside a field-sized cross-correlation per cell.

Run: ``python benchmarks/placement_2d.py``. Prints a table and writes ``benchmarks/results/placement_2d.json``
and ``.md``. The naive peer (`scipy.signal.fftconvolve` of the occupied field with each mask, Svoboda & Ulman
taken literally) is timed on a few cells and extrapolated to all of them.
"""

from __future__ import annotations

import datetime
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import fftconvolve

from cytocascade.population import (
    PlacementParams,
    PopulationOverrides,
    PopulationStatistics,
    draw_placement,
    fit_population,
    paint_labels,
    place_cells,
)
from cytocascade.storage import write_json, write_text
from cytocascade.types import Array, BoolArray

SHAPE = (2048, 2048)
CELLS = 2000
RESULTS = Path(__file__).parent / "results"


def ellipses(count: int, diameter: float, seed: int) -> list[BoolArray]:
    """Return masks of ellipses whose mean area is that of a disc of `diameter` pixels."""
    generator = np.random.default_rng(seed)
    masks = []
    for size, ratio, angle in zip(
        generator.normal(1.0, 0.12, count).clip(0.6, 1.4),
        generator.uniform(1.0, 1.7, count),
        generator.uniform(0, np.pi, count),
    ):
        a, b = 0.5 * diameter * size * np.sqrt(ratio), 0.5 * diameter * size / np.sqrt(ratio)
        y, x = np.mgrid[-int(a) - 1 : int(a) + 2, -int(a) - 1 : int(a) + 2]
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        mask = (u / a) ** 2 + (v / b) ** 2 <= 1
        masks.append(mask[np.ix_(mask.any(axis=1), mask.any(axis=0))])
    return masks


def example_statistics(diameter: float, coverage: float) -> PopulationStatistics:
    """Fit a field of discs of which about half were thrown beside an earlier one."""
    generator, side = np.random.default_rng(0), 800
    wanted = int(coverage * side**2 / (np.pi * diameter**2 / 4))
    centres: list[Array] = [generator.uniform(0, side, 2)]
    for _ in range(200_000):
        point = generator.uniform(0, side, 2)
        if generator.random() < 0.5:
            angle = generator.uniform(0, 2 * np.pi)
            beside = (diameter + 1 + generator.exponential(0.1 * diameter)) * np.array([np.sin(angle), np.cos(angle)])
            point = centres[generator.integers(len(centres))] + beside
        inside = ((point >= 0) & (point < side)).all()
        if inside and (np.linalg.norm(np.array(centres) - point, axis=1) > diameter + 1).all():
            centres.append(point)
        if len(centres) == wanted:
            break
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), dtype=np.uint16)
    for label, (cy, cx) in enumerate(centres, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= diameter**2 / 4] = label
    return fit_population([labels], (1.0, 1.0))


def measure(name: str, masks: list[BoolArray], params: PlacementParams) -> dict[str, Any]:
    """Place the cells once and return the figures."""
    start = time.perf_counter()
    placement = place_cells(masks, SHAPE, params)
    seconds = time.perf_counter() - start
    labels, _ = paint_labels(placement.cells, masks, SHAPE)
    classes = [cell.placement for cell in placement.cells]
    return {
        "case": name,
        "cells": params.count,
        "placed": len(classes),
        "rejected": placement.rejected,
        "seconds": round(seconds, 2),
        "coverage": round(float((labels > 0).mean()), 3),
        "touching": round(classes.count("touching") / len(classes), 3),
        "alone": round(classes.count("alone") / len(classes), 3),
    }


def time_cross_correlation(masks: list[BoolArray], cells: int = 4) -> float:
    """Return seconds per cell of a field-sized cross-correlation with the occupied field."""
    occupied = (np.random.default_rng(0).random(SHAPE) < 0.3).astype(np.float32)
    start = time.perf_counter()
    for mask in masks[:cells]:
        fftconvolve(occupied, mask[::-1, ::-1].astype(np.float32), mode="same")
    return (time.perf_counter() - start) / cells


def main() -> None:
    """Run all cases, print them and write the results."""
    rows: list[dict[str, Any]] = []
    for name, diameter, coverage in (("30 px cells", 30.0, 0.33), ("40 % coverage", 32.7, 0.40)):
        masks = ellipses(CELLS, diameter, seed=1)
        statistics = example_statistics(diameter, coverage)
        params = draw_placement(statistics, SHAPE, (1.0, 1.0), PopulationOverrides(count=CELLS), seed=1)
        rows.append(measure(f"{name}, as fitted", masks, params))
        # Same drawn numbers, but the largest cell takes the first turn, and so on.
        largest_first = replace(params, size_rank=sorted(params.size_rank, reverse=True))
        rows.append(measure(f"{name}, largest first", masks, largest_first))
    wanted = PopulationOverrides(count=CELLS, p_cluster=0.6, touching_rate=0.3)
    masks = ellipses(CELLS, 22.0, seed=1)
    params = draw_placement(example_statistics(22.0, 0.18), SHAPE, (1.0, 1.0), wanted, seed=1)
    rows.append(measure("22 px cells, p_cluster 0.6, touching 0.3", masks, params))
    per_cell = time_cross_correlation(masks)
    naive = per_cell * CELLS
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "field": list(SHAPE),
        "cases": rows,
        "naive_seconds_per_cell": round(per_cell, 3),
        "naive_seconds_extrapolated": round(naive, 1),
        "times_faster": round(naive / rows[0]["seconds"], 1),
    }
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row[column]) for column in columns) + " |" for row in rows]
    lines += [
        "",
        f"Field-sized cross-correlation per cell: {per_cell:.2f} s, timed on 4 cells; extrapolated to "
        f"{CELLS}: {naive:.0f} s, {result['times_faster']} times the first case.",
        f"{result['machine']}, OMP_NUM_THREADS={result['threads']}, {result['date']}.",
    ]
    print("\n".join(lines))
    write_json(RESULTS / "placement_2d.json", result)
    write_text(RESULTS / "placement_2d.md", "# Placement in 2D\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
