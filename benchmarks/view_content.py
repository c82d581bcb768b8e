"""Ask what the views must carry for the surface to be right, on real nuclei.

Run: ``python benchmarks/view_content.py [--data ../shared/data] [--cells 24]``. Prints a table and writes
``benchmarks/results/view_content.json``.

True views of real nuclei (`3d-shapes`, taken in turn from all sources) are rendered and turned back into surfaces by
NeuS, which is shown the silhouettes alone, or the depth of the first surface too, or those of the first and the last.
The mask, seen along z, is always known. Beside them the visual hull of the same silhouettes.

Errors stand for a network that is not perfect: smooth Gaussian errors, independent between views, of the given standard
deviation in canonical units (the cube is two wide), half as much again for depths.

Reported: intersection over union of the volume with the truth (mean, least, and mean over flat nuclei, whose axial
ratio is below 0.45), of the projection along z with the mask, of the 16 silhouettes with those of the true views, and
CPU seconds per cell on one thread.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage as ndi
from torch import Tensor

from cytocascade.shapes.bank import canonical_grid, in_canonical_cube
from cytocascade.shapes.cameras import from_above, ray_points
from cytocascade.shapes.canonical import Frame
from cytocascade.shapes.fusion import Content
from cytocascade.shapes.neus import NeusSettings, reconstruct
from cytocascade.shapes.priors import hull_surfaces
from cytocascade.shapes.solids import voxel_solid
from cytocascade.shapes.views import TRUNCATION, render_views, sample_grid
from cytocascade.storage import write_json

RESULTS = Path(__file__).parent / "results" / "view_content.json"
ERRORS = (0.0, 0.02, 0.04)
CONTENTS: tuple[Content, ...] = ("silhouettes", "front", "both")
FLAT = 0.45
FINE = 96


def load_nuclei(data: Path, cells: int) -> tuple[Tensor, Tensor, list[float]]:
    """Return canonical distances (n, 48, 48, 48), masks (n, 64, 64) and axial ratios, from all sources in turn."""
    with np.load(data / "3d-shapes" / "shapes.npz") as file:
        nuclei = np.flatnonzero(file["kind"] == "nucleus")
        source = file["source"][nuclei]
        rank = np.array([int((source[:k] == source[k]).sum()) for k in range(len(source))])
        chosen = nuclei[np.lexsort((source, rank))[:cells]]
        voxels = file["voxels"][chosen] > 0
    found = [in_canonical_cube(voxel_solid(one)) for one in voxels]
    return (
        torch.from_numpy(np.stack([one[0] for one in found])),
        torch.from_numpy(np.stack([one[1] for one in found])),
        [one[2] for one in found],
    )


def with_errors(views: Tensor, sigma: float, seed: int) -> Tensor:
    """Return views with smooth errors, independent between views and channels."""
    noise = np.random.default_rng(seed).standard_normal(tuple(views.shape))
    noise = ndi.gaussian_filter(noise, (0, 0, 0, 2.5, 2.5))
    amount = torch.tensor([1.0, 1.5, 1.5]).view(3, 1, 1) * (sigma / noise.std())
    changed = views + torch.as_tensor(noise, dtype=torch.float32) * amount
    changed[:, :, 0].clamp_(-TRUNCATION, TRUNCATION)
    return changed


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """Return the intersection over union of where fields are positive, for the first axis."""
    a, b = one.flatten(1) > 0, other.flatten(1) > 0
    return (a & b).sum(1) / (a | b).sum(1)


def score(found: Tensor, true: Tensor, views: Tensor, mask: Tensor, flat: Tensor) -> dict[str, float]:
    """Return the measures of the page's head."""
    points = canonical_grid(FINE)
    volume = overlaps(sample_grid(found, points), sample_grid(true, points))
    along_z = ray_points(from_above(), mask.shape[-1], torch.linspace(-1, 1, FINE))
    projection = overlaps(sample_grid(found, along_z).amax(dim=1), mask)
    silhouettes = overlaps(render_views(found)[:, :, 0].flatten(0, 1), views[:, :, 0].flatten(0, 1))
    values = {
        "volume_iou": volume.mean(),
        "volume_iou_least": volume.min(),
        "volume_iou_flat": volume[flat].mean(),
        "projection_iou": projection.mean(),
        "projection_iou_least": projection.min(),
        "silhouette_iou": silhouettes.mean(),
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def main() -> None:
    """Run all combinations, print them and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    true, mask, ratios = load_nuclei(options.data, options.cells)
    views = render_views(true)
    flat = torch.tensor(ratios) < FLAT
    rows: list[dict[str, Any]] = []
    print(f"{len(true)} real nuclei, {int(flat.sum())} of them flat")
    heads = f"{'volume IoU':>10} {'least':>7} {'flat':>7} {'mask':>7} {'views':>7} {'s/cell':>7}"
    print(f"{'method':<8} {'content':<12} {'error':>6} {heads}")

    def add(method: str, content: str, error: float, found: Tensor, seconds: float) -> None:
        row = {"method": method, "content": content, "error": error, **score(found, true, views, mask, flat)}
        row["cpu_seconds_per_cell"] = round(seconds / len(found), 3)
        rows.append(row)
        print(
            f"{method:<8} {content:<12} {error:6.2f} {row['volume_iou']:10.4f} {row['volume_iou_least']:7.4f} "
            f"{row['volume_iou_flat']:7.4f} {row['projection_iou']:7.4f} {row['silhouette_iou']:7.4f} "
            f"{row['cpu_seconds_per_cell']:7.3f}",
            flush=True,
        )

    frames = [Frame(1.0, (0.0, 0.0), 1.0)] * len(true)
    for error in ERRORS:
        shown = with_errors(views, error, options.seed) if error else views
        start = time.process_time()
        hulls = hull_surfaces(shown, mask, frames)
        add(
            "hull",
            "silhouettes",
            error,
            torch.from_numpy(np.stack([one.distance for one in hulls])),
            time.process_time() - start,
        )
        for content in CONTENTS:
            start = time.process_time()
            found = reconstruct(shown, mask, settings=replace(NeusSettings(), content=content))
            add("neus", content, error, found, time.process_time() - start)
    write_json(
        options.out,
        {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "cells": len(true),
            "flat_cells": int(flat.sum()),
            "seed": options.seed,
            "rows": rows,
        },
    )
    print(f"Written: {options.out}")


if __name__ == "__main__":
    main()
