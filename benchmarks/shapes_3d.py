"""Are the shapes right, and how long do they take? Real nuclei that were never trained on, given as masks only.

    python benchmarks/shapes_3d.py --shapes ../shared/data/3d-shapes/shapes.npz

Every nucleus of the validation sources (see `scripts/train_shapes.py`) is projected along z. From that mask and its
pixel size each prior makes a surface: the multi-view diffusion with NeuS, the visual hull of the same views, the mask
inflated (as high as it is narrow), and the mask inflated to the axial ratio that the learned prior drew. The diffusion
is also given the true heights, as they are measured in stacks without annotation (`imaging.extents`). Distances are
Wasserstein distances over the standard deviation of the real nuclei. Also measured: agreement with the mask and with
the generated views, diversity, and time per cell. Writes ``benchmarks/results/shapes_3d.json``.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage as ndi
from scipy.stats import wasserstein_distance

from cytocascade.bundle import find_bundle, load_bundle
from cytocascade.seeding import derive_seed
from cytocascade.shapes.descriptors import describe_surface, describe_voxels
from cytocascade.shapes.neus import reconstruct
from cytocascade.shapes.priors import ellipsoid_surface, hull_surfaces, surface_in_frame
from cytocascade.shapes.sampling import draw_ratios, frame_masks, sample_views
from cytocascade.shapes.views import render_views
from cytocascade.shapes.voxels import voxelise

VALIDATION = ("iitgoa stack_Series008", "cells3d", "GoNuclear 1137")
MEASURES = ("relative_volume", "sphericity", "axial_ratio", "solidity")
SYNCDREAMER_SECONDS = "SyncDreamer: 10 s per object on an A100, then NeuS about 10 min on a large GPU (as published)"


def signed(mask: np.ndarray) -> np.ndarray:
    """Return the signed distance of a mask in pixels."""
    inside, outside = ndi.distance_transform_edt(mask), ndi.distance_transform_edt(~mask)
    return np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection over union."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def voxel_overlap(surface, truth: np.ndarray, step: float) -> tuple[float, float]:
    """Return the intersection over union with the true voxels, at the best height, and that of the projections."""
    # The middle of an even number of voxels lies between two of them.
    made = voxelise(surface, (step, step, step), shift=(step / 2, step / 2, step / 2))
    pad = 72
    field = np.zeros([side + 2 * pad for side in truth.shape], dtype=bool)
    field[pad:-pad, pad:-pad, pad:-pad] = truth
    mask = made.coverage >= 0.5
    middle = [(side - 1) / 2 + pad for side in truth.shape]
    corner = [round(middle[axis] + made.corner[axis] / step) for axis in range(3)]
    heights = np.flatnonzero(truth.any(axis=(1, 2)))
    own = np.flatnonzero(mask.any(axis=(1, 2)))
    corner[0] = round((heights[0] + heights[-1]) / 2 + pad - (own[0] + own[-1]) / 2)
    placed = np.zeros_like(field)
    placed[tuple(slice(c, c + s) for c, s in zip(corner, mask.shape))] = mask
    return overlap(placed, field), overlap(placed.any(axis=0), field.any(axis=0))


def measure(surfaces, truths, steps, real) -> dict:
    """Return distances of the distributions, and mean overlaps."""
    made = [describe_surface(surface) for surface in surfaces]
    result = {}
    for name in MEASURES:
        ours, theirs = np.array([m[name] for m in made]), np.array([r[name] for r in real])
        result[name] = round(float(wasserstein_distance(ours, theirs) / theirs.std()), 4)
    both = np.array([voxel_overlap(s, t, u) for s, t, u in zip(surfaces, truths, steps)])
    result["volume_iou"], result["projection_iou"] = (round(float(v), 4) for v in both.mean(axis=0))
    result["projection_iou_lowest"] = round(float(both[:, 1].min()), 4)
    result["means"] = {name: round(float(np.mean([m[name] for m in made])), 4) for name in MEASURES}
    return result


def view_agreement(grids: torch.Tensor, views: torch.Tensor) -> list[float]:
    """Return the overlap of the generated silhouettes with those of the surface, mean over the views of each cell."""
    seen = render_views(grids)[:, :, 0] > 0
    drawn = views[:, :, 0] > 0
    both, either = (seen & drawn).sum(dim=(2, 3)), (seen | drawn).sum(dim=(2, 3))
    return (both / either.clamp(min=1)).mean(dim=1).tolist()


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, default=Path("../shared/data/3d-shapes/shapes.npz"))
    parser.add_argument("--bundle", default="nuclei3d")
    parser.add_argument("--limit", type=int, help="nuclei per source")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--unknown-size", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/shapes_3d.json"))
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    data = dict(np.load(arguments.shapes))
    model, volume = load_bundle(find_bundle(arguments.bundle)).volume_parts()
    prior = volume.prior("nucleus")
    chosen = np.concatenate(
        [
            np.flatnonzero((data["source"] == source) & (data["kind"] == "nucleus"))[: arguments.limit]
            for source in VALIDATION
        ]
    )
    truths = [data["voxels"][number].astype(bool) for number in chosen]
    steps = [float(data["voxel_um"][number]) for number in chosen]
    real = [describe_voxels(truth, (step,) * 3) for truth, step in zip(truths, steps)]
    masks = np.stack([signed(truth.any(axis=0)) for truth in truths])
    seeds = [derive_seed(0, "shapes_3d", number) for number in range(len(chosen))]
    known = not arguments.unknown_size
    begun = time.perf_counter()
    ratios = draw_ratios(prior, masks, steps, seeds, size_known=known)
    framed = frame_masks(masks, steps, ratios)
    views = sample_views(model, framed, seeds, size_known=known, steps=arguments.steps, workers=arguments.workers)
    viewed = time.perf_counter()
    grids = reconstruct(views, framed.mask, workers=arguments.workers)
    surfaces = [surface_in_frame(grid, frame) for grid, frame in zip(grids.numpy(), framed.frames)]
    made = time.perf_counter()
    for surface, step in zip(surfaces, steps):
        voxelise(surface, (2 * step, step, step))
    done = time.perf_counter()
    seconds = {
        "views": round((viewed - begun) / len(chosen), 3),
        "surface": round((made - viewed) / len(chosen), 3),
        "voxels": round((done - made) / len(chosen), 3),
        "all": round((done - begun) / len(chosen), 3),
    }
    heights = np.array([r["axial_ratio"] for r in real], dtype=np.float32)
    told = frame_masks(masks, steps, heights)
    views_told = sample_views(model, told, seeds, size_known=known, steps=arguments.steps, workers=arguments.workers)
    grids_told = reconstruct(views_told, told.mask, workers=arguments.workers).numpy()
    priors = {
        "multiview": surfaces,
        "hull": hull_surfaces(views, framed.mask, framed.frames),
        "ellipsoid": [ellipsoid_surface(mask, step) for mask, step in zip(masks, steps)],
        "ellipsoid, our axial ratios": [
            ellipsoid_surface(mask, step, axial_ratio=float(ratio)) for mask, step, ratio in zip(masks, steps, ratios)
        ],
        "multiview, true heights told": [surface_in_frame(grid, frame) for grid, frame in zip(grids_told, told.frames)],
    }
    results = {name: measure(some, truths, steps, real) for name, some in priors.items()}
    sources = data["source"][chosen]
    by_source = {
        source: measure(
            [s for s, k in zip(surfaces, sources) if k == source],
            [t for t, k in zip(truths, sources) if k == source],
            [u for u, k in zip(steps, sources) if k == source],
            [r for r, k in zip(real, sources) if k == source],
        )
        for source in VALIDATION
    }
    agreement = view_agreement(grids, views)
    several = [derive_seed(1, "diversity", number) for number in range(6)]
    one = np.repeat(masks[:1], 6, axis=0)
    again = draw_ratios(prior, one, steps[:1] * 6, several, size_known=known)
    framed_again = frame_masks(one, steps[:1] * 6, again)
    views_again = sample_views(
        model, framed_again, several, size_known=known, steps=arguments.steps, workers=arguments.workers
    )
    grids_again = reconstruct(views_again, framed_again.mask, workers=arguments.workers).numpy()
    varied = [surface_in_frame(grid, frame) for grid, frame in zip(grids_again, framed_again.frames)]
    volumes = [describe_surface(surface)["volume"] for surface in varied]
    result = {
        "date": date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads seen by torch",
        "nuclei": {source: int((sources == source).sum()) for source in VALIDATION},
        "size told": known,
        "workers": arguments.workers,
        "distances": results,
        "real means": {name: round(float(np.mean([r[name] for r in real])), 4) for name in MEASURES},
        "by source": by_source,
        "view agreement": {"mean": round(float(np.mean(agreement)), 4), "lowest": round(float(np.min(agreement)), 4)},
        "volumes from one mask, um^3": [round(value, 1) for value in volumes],
        "seconds per cell": seconds,
        "reference": SYNCDREAMER_SECONDS,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
