"""Compare ways to show a mask to the network, on real masks.

Run: ``python benchmarks/mask_representation.py [--data ../shared/data] [--cells 200]``. Prints a table and writes
``benchmarks/results/mask_representation.json``.

Every real mask, as cut out for training (64 x 64), is brought to the field that the network would see, in [-1, 1],
disturbed, and read back at its zero crossing. Two disturbances stand for the imperfect network:

error
    Gaussian error, either independent per value or smooth over about two values. The same sigma is not the same
    fault of a network in every representation: a binary field is far from zero nearly everywhere, so it hardly minds,
    but a network that predicts it is wrong mostly at the edge. Compare within a kind of field.
linear
    Masks are described by the mean and the first k principal components of the *other* half of the cells. It asks how
    simple the representation is to learn with a given number of numbers, and is fair between kinds.

Reported: intersection over union with the real mask, mean absolute error of solidity and area, their mean signed
error (bias), and how often the mask is not in one piece.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from scipy import ndimage as ndi
from skimage.measure import label, regionprops
from torch import Tensor
from torch.nn import functional

from cytocascade.images.cells import CROP_MARGIN, CROP_SIZE, extract_cells
from cytocascade.storage import write_json
from cytocascade.types import AnnotatedImage, BoolArray, FloatArray

RESULTS = Path(__file__).parent / "results" / "mask_representation.json"
SETS = ("bbbc039-u2os", "dsb2018-fluo-360")
ERRORS = (0.0, 0.02, 0.05, 0.1)
COMPONENTS = (8, 16, 32)


def representations() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return, by name, the maps from signed distances (n, 1, 64, 64) to fields in [-1, 1]."""
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "binary, 64": lambda d: torch.where(d > 0, 1.0, -1.0),
        "binary, 32": lambda d: functional.avg_pool2d(torch.where(d > 0, 1.0, -1.0), 2),
    }
    for cut in (4, 8, 16):
        known[f"signed distance, 64, cut at {cut}"] = lambda d, c=cut: (d / c).clamp(-1, 1)
        known[f"signed distance, 32, cut at {cut}"] = lambda d, c=cut: functional.avg_pool2d((d / c).clamp(-1, 1), 2)
    return known


def load_distances(data: Path, images: int, cells: int, seed: int) -> FloatArray:
    """Return the signed distances, (n, 64, 64), of at most `cells` real cells of each set."""
    generator = np.random.default_rng(seed)
    inner = slice(CROP_MARGIN, CROP_MARGIN + CROP_SIZE)
    parts = []
    for name in SETS:
        read = [
            AnnotatedImage(
                tifffile.imread(data / name / "images" / f"{i:03d}.tif"),
                tifffile.imread(data / name / "masks" / f"{i:03d}.tif"),
                (1.0, 1.0),
                f"{i:03d}",
            )
            for i in range(images)
        ]
        distance = extract_cells(read).distance[:, inner, inner]
        parts.append(distance[generator.permutation(len(distance))[: cells // len(SETS)]])
    return np.concatenate(parts)


def read_back(field: Tensor) -> FloatArray:
    """Return the field on 64 x 64 pixels; the mask is where it is positive."""
    if field.shape[-1] != CROP_SIZE:
        field = functional.interpolate(field, size=(CROP_SIZE, CROP_SIZE), mode="bicubic", align_corners=False)
    return field[:, 0].numpy()


def errors_like(field: Tensor, sigma: float, smooth: float, seed: int) -> Tensor:
    """Return Gaussian error of standard deviation `sigma`, smooth over `smooth` values."""
    noise = np.random.default_rng(seed).standard_normal(tuple(field.shape))
    if smooth:
        noise = ndi.gaussian_filter(noise, (0, 0, smooth, smooth), mode="wrap")
        noise /= noise.std()
    return torch.as_tensor(sigma * noise, dtype=torch.float32)


def described_linearly(field: Tensor, components: int) -> Tensor:
    """Return every field as the first principal components of the other half of the cells describe it."""
    flat = field.flatten(1)
    result = torch.empty_like(flat)
    for own, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        # All symmetries of the square: what augmentation makes of the cells a network sees.
        turned = [torch.rot90(one, k, (2, 3)) for one in (field[other], field[other].flip(3)) for k in range(4)]
        seen = torch.cat(turned).flatten(1)
        mean = seen.mean(0)
        basis = torch.linalg.svd(seen - mean, full_matrices=False).Vh[:components]
        result[own] = mean + (flat[own] - mean) @ basis.T @ basis
    return result.reshape(field.shape)


def largest(mask: BoolArray) -> Any:
    """Return the measurements of the largest component, or None."""
    regions = regionprops(label(mask, connectivity=1))
    return max(regions, key=lambda region: region.area, default=None)


def score(real: BoolArray, found: BoolArray) -> dict[str, float]:
    """Return mean IoU and mean absolute errors over all cells, and how often a mask fell apart."""
    overlap, solidity, area, broken = [], [], [], 0
    for before, after in zip(real, found):
        one, other = largest(before), largest(after)
        overlap.append((before & after).sum() / max(1, (before | after).sum()))
        pieces = int(label(after, connectivity=1).max(initial=0))
        broken += pieces != 1
        if other is not None:
            solidity.append(other.solidity - one.solidity)
            area.append((other.area - one.area) / one.area)
    return {
        "iou": round(float(np.mean(overlap)), 4),
        "solidity_error": round(float(np.mean(np.abs(solidity))), 4),
        "solidity_bias": round(float(np.mean(solidity)), 4),
        "area_error": round(float(np.mean(np.abs(area))), 4),
        "area_bias": round(float(np.mean(area)), 4),
        "not_one_piece": round(broken / len(real), 4),
    }


def main() -> None:
    """Run all combinations, print them and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--images", type=int, default=4, help="images read of each set")
    parser.add_argument("--cells", type=int, default=200, help="cells in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    distance = load_distances(options.data, options.images, options.cells, options.seed)
    real = distance > 0
    tensor = torch.as_tensor(distance)[:, None]
    rows: list[dict[str, Any]] = []
    print(f"{len(real)} real cells of {', '.join(SETS)}")
    heads = f"{'IoU':>7} {'solidity':>9} {'bias':>8} {'area':>7} {'bias':>8} broken"
    print(f"{'representation':<30} {'disturbance':<17} {heads}")

    def add(name: str, kind: str, amount: float, field: Tensor) -> None:
        row = {"representation": name, "disturbance": kind, "amount": amount, **score(real, read_back(field) > 0)}
        rows.append(row)
        print(
            f"{name:<30} {f'{kind} {amount}':<17} {row['iou']:7.4f} {row['solidity_error']:9.4f} "
            f"{row['solidity_bias']:8.4f} {row['area_error']:7.4f} {row['area_bias']:8.4f} {row['not_one_piece']:6.3f}",
            flush=True,
        )

    for name, encode in representations().items():
        field = encode(tensor)
        for sigma in ERRORS:
            for kind, smooth in (("independent", 0.0), ("smooth", 2.0)) if sigma else (("none", 0.0),):
                add(name, kind, sigma, field + errors_like(field, sigma, smooth, options.seed))
        for components in COMPONENTS:
            add(name, "linear", components, described_linearly(field, components))
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "sets": list(SETS),
        "images_per_set": options.images,
        "cells": len(real),
        "seed": options.seed,
        "rows": rows,
    }
    write_json(options.out, result)
    print(f"Written: {options.out}")


if __name__ == "__main__":
    main()
