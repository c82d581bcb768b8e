"""Compare how alike neighbouring slices are: noise, textures, real stacks; with the paper's mixing and with ours.

Run: ``python benchmarks/slice_consistency.py [--data ../shared/data] [--cells 10] [--workers 2]``. Prints a table and
writes ``benchmarks/results/slice_consistency.json`` and ``docs/images/rho_sweep.png``, in about three
minutes of one idle core.

rho sweep
    Correlation of the starting noise of two slices, measured, beside rho^2 / (1 + rho^2) (arXiv 2411.11515), and of the
    textures that the shipped network makes of it.
distance
    Correlation of the texture inside cells as a function of the axial distance, by `measure_axial_correlation`, in real
    stacks and in textures painted into the masks of the same cells: with the paper's rho = 0.7, with our noise fitted
    to the stacks, and with our noise fitted for, and the volume then blurred along z by, sigma = 0.6 um.
flicker, caps
    Flicker is the median second difference, from slice to slice, of the mean deeper than two pixels inside the outline,
    over the cell's mean. Caps: the mean one to three pixels inside the outline in the first and last slices with at
    least 40 such pixels, over the same in the middle third of the slices. For real cells, blur along z counts too.
lengths
    What length the stacks of three sets ask for, without blur; their geometric mean is the default.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from scipy import ndimage as ndi

from cytocascade.cascade import Cascade
from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.evaluation.canvas import INK, REAL, SYNTHETIC, new_figure, to_png
from cytocascade.images.cells import CROP_SIZE, signed_distance
from cytocascade.storage import write_json
from cytocascade.textures.axial_fit import (
    TextureResponse,
    contrast_left,
    ellipses,
    match_axial_noise,
    measure_response,
    predicted_correlation,
)
from cytocascade.textures.axial_noise import AxialNoise, axial_starting_noise
from cytocascade.textures.axial_statistics import (
    AxialCorrelation,
    measure_axial_correlation,
    measure_stacks,
    pool_correlations,
    texture_correlation,
)
from cytocascade.textures.model import fade
from cytocascade.textures.slices import sample_slice_textures
from cytocascade.types import AnnotatedStack, Array, FloatArray

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "slice_consistency.json"
FIGURE = ROOT / "docs" / "images" / "rho_sweep.png"
SETS = {
    "3d-cultured-nuclei": (0.5, 0.3788, 0.3788),
    "3d-organoid-nuclei": (0.6, 0.216, 0.216),
    "3d-hipsc-nuclei": (0.29, 0.26, 0.26),
}
PAINTED = ("3d-cultured-nuclei", "3d-organoid-nuclei")
"""Sets whose cells fit into the canonical crop pixel for pixel."""
RHOS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
PAPER_RHO = 0.7
BLUR = 0.6
PAPER_COLOUR, BLUR_COLOUR = "#6a737d", "#5a9e4b"


@dataclass(frozen=True)
class Slices:
    """Mask slices of several cells as `sample_slice_textures` takes them."""

    distance: FloatArray
    heights: Array
    cell: Array
    spacing: tuple[float, float, float]
    image: FloatArray | None = None


def load_stacks(data: Path, name: str) -> list[AnnotatedStack]:
    """Return the nuclear stacks of one set."""
    found = []
    for path in sorted((data / name / "images").glob("*.tif")):
        image, labels = tifffile.imread(path), tifffile.imread(data / name / "masks" / path.name)
        found.append(AnnotatedStack(image, labels, tuple(range(len(image))), SETS[name], path.stem, True))
    return found


def real_slices(stacks: list[AnnotatedStack], cells: int) -> Slices:
    """Return the mask slices of the first `cells` nuclei that fit whole into the canonical crop, pixel for pixel."""
    distance, heights, cell, image, count = [], [], [], [], 0
    for stack in stacks:
        for label, box in enumerate(ndi.find_objects(stack.labels), start=1):
            if box is None or count == cells:
                continue
            z, y, x = box
            whole = all(side.start > 0 and side.stop < size for side, size in zip(box, stack.labels.shape))
            if not whole or max(y.stop - y.start, x.stop - x.start) > CROP_SIZE - 8:
                continue
            light = np.zeros((2, z.stop - z.start, CROP_SIZE, CROP_SIZE), dtype=np.float32)
            low = [(CROP_SIZE - (side.stop - side.start)) // 2 for side in (y, x)]
            window = (slice(None), *(slice(a, a + s.stop - s.start) for a, s in zip(low, (y, x))))
            light[0][window] = stack.labels[box] == label
            light[1][window] = stack.image[box] - np.median(stack.image[stack.labels == 0])
            for height, plane, seen in zip(range(z.start, z.stop), *light):
                if plane.any():
                    distance.append(signed_distance(plane > 0, (1.0, 1.0)))
                    heights.append(height * stack.spacing[0])
                    cell.append(count)
                    image.append(seen)
            count += 1
    return Slices(np.asarray(distance), np.asarray(heights), np.asarray(cell), stacks[0].spacing, np.asarray(image))


def paint(model: Denoiser, slices: Slices, noise: AxialNoise, workers: int) -> FloatArray:
    """Return textures of all slices, dark far outside."""
    cells = int(slices.cell.max()) + 1
    wishes = np.zeros((cells, 2), np.float32)
    args = (model, slices.distance, slices.heights, slices.cell, wishes, range(cells))
    return sample_slice_textures(*args, noise=noise, modality="fluorescence", workers=workers) * fade(slices.distance)


def measured(volume: FloatArray, slices: Slices) -> AxialCorrelation:
    """Return the axial correlation of painted cells, by the measure that the stacks are measured with."""
    each = []
    for number in range(int(slices.cell.max()) + 1):
        chosen = slices.cell == number
        labels = (slices.distance[chosen] > 0).astype(np.uint16)
        each.append(measure_axial_correlation(volume[chosen], labels, slices.spacing))
    pooled = pool_correlations([one for one in each if one is not None])
    assert pooled is not None
    return pooled


def blurred(volume: FloatArray, slices: Slices, sigma: float) -> FloatArray:
    """Return the cells blurred along z by `sigma` micrometres, each on its own."""
    result = np.empty_like(volume)
    for number in np.unique(slices.cell):
        chosen = slices.cell == number
        result[chosen] = ndi.gaussian_filter1d(volume[chosen], sigma / slices.spacing[0], axis=0, mode="constant")
    return result


def flicker_and_caps(volume: FloatArray, slices: Slices) -> dict[str, float]:
    """Return how the mean inside jumps between slices, and how bright caps are beside the middle."""
    steps, caps = [], []
    for number in np.unique(slices.cell):
        chosen = slices.cell == number
        cell, distance = volume[chosen], slices.distance[chosen]
        deep, band = distance > 2, (distance > 1) & (distance <= 3)
        level = np.asarray([v[d].mean() for v, d in zip(cell, deep) if d.sum() >= 40]) / cell[distance > 0].mean()
        near = np.asarray([v[d].mean() for v, d in zip(cell, band) if d.sum() >= 40])
        third = len(near) // 3
        if third >= 2:
            steps.append(np.abs(np.diff(level, n=2)))
            caps.append(near[[0, -1]] / near[third:-third].mean())
    return {
        "flicker": round(float(np.median(np.concatenate(steps))), 4),
        "caps_mean": round(float(np.mean(caps)), 3),
        "caps_min": round(float(np.min(caps)), 3),
        "caps_max": round(float(np.max(caps)), 3),
    }


def rho_sweep(model: Denoiser, cells: int, workers: int) -> list[dict[str, float]]:
    """Return, per rho, the formula's correlation and those measured in noise and textures of two slices per cell."""
    masks = np.repeat(ellipses(cells), 2, axis=0)
    slices = Slices(masks, np.tile([0.0, 1.0], cells), np.repeat(np.arange(cells), 2), (1.0, 1.0, 1.0))
    rows = []
    for rho in RHOS:
        noise = axial_starting_noise(AxialNoise(rho=rho), slices.heights, slices.cell, range(cells))
        pairs = noise.reshape(cells, 2, -1).double()
        found = torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs]).mean()
        volume = paint(model, slices, AxialNoise(rho=rho), workers)
        each = [texture_correlation(a, b, m > 2) for a, b, m in zip(volume[::2], volume[1::2], masks[::2])]
        texture = float(np.mean([value for value in each if value is not None]))
        formula = rho**2 / (1 + rho**2)
        rows.append({"rho": rho, "formula": formula, "noise": float(found), "texture": texture})
        print(f"rho {rho:5.2f}: formula {formula:.3f}, noise {found:.3f}, texture {texture:.3f}", flush=True)
    return rows


def response_in(model: Denoiser, distance: FloatArray, workers: int) -> TextureResponse:
    """Return the network's response in about sixteen of the slices that are not small."""
    large = distance[(distance > 0).sum(axis=(1, 2)) > 250]
    chosen = large[:: max(1, len(large) // 16)]
    return measure_response(model, modality="fluorescence", distance=chosen, workers=workers)


def against_stacks(
    name: str, stacks: list[AnnotatedStack], model: Denoiser, cells: int, workers: int
) -> dict[str, Any]:
    """Measure one set and what is painted into its masks."""
    real = measure_stacks(stacks)
    assert real is not None
    slices = real_slices(stacks, cells)
    response = response_in(model, slices.distance, workers)
    fitted = match_axial_noise(real, response)
    sharper = match_axial_noise(real, response, axial_sigma=BLUR)

    def as_is(volume: FloatArray) -> FloatArray:
        return volume

    def with_blur(volume: FloatArray) -> FloatArray:
        return blurred(volume, slices, BLUR)

    variants: dict[str, tuple[AxialNoise, Callable[[FloatArray], FloatArray]]] = {
        "paper": (AxialNoise(rho=PAPER_RHO), as_is),
        "ours": (fitted, as_is),
        "ours, blurred": (sharper, with_blur),
    }
    result: dict[str, Any] = {
        "cells": int(slices.cell.max()) + 1,
        "slices": len(slices.cell),
        "real": real.model_dump(),
    }
    assert slices.image is not None
    result["real_levels"] = flicker_and_caps(slices.image, slices)
    result["response"] = {"noise": response.noise.tolist(), "texture": response.texture.round(4).tolist()}
    result["contrast_left"] = round(contrast_left(sharper, response, BLUR), 3)
    for key, (noise, finish) in variants.items():
        volume = paint(model, slices, noise, workers)
        found = measured(finish(volume), slices)
        distances = np.asarray([d for d in real.distance if d <= found.distance[-1] + 1e-6])
        # No camera has added noise here, so the correlation needs no correction.
        off = found.at(distances, noise_free=False) - real.noise_free[: len(distances)]
        result[key] = {
            "noise": noise.model_dump(),
            "correlation": found.model_dump(),
            "off_at_next_slice": round(float(off[0]), 3),
            "largest_off": round(float(np.abs(off).max()), 3),
            **flicker_and_caps(volume, slices),
        }
        print(
            f"{name:20} {key:14} next slice {off[0]:+.3f}, largest {np.abs(off).max():.3f}, "
            f"flicker {result[key]['flicker']:.4f}, caps {result[key]['caps_mean']:.3f} "
            f"({result[key]['caps_min']:.2f}-{result[key]['caps_max']:.2f}); {noise}",
            flush=True,
        )
    return result


def largest_off(real: AxialCorrelation, noise: AxialNoise, response: TextureResponse) -> float:
    """Return the largest difference between wished and predicted correlation."""
    off = predicted_correlation(noise, response, np.asarray(real.distance)) - real.noise_free
    return round(float(np.abs(off).max()), 3)


def draw(
    rows: list[dict[str, float]], sets: dict[str, Any], sections: list[tuple[str, FloatArray]], ratio: float
) -> bytes:
    """Return the figure: the sweep, one panel per set, and XZ sections."""
    figure, axes = new_figure(2, 3, (11.4, 5.4), heights=(3.1, 1))
    axis = axes[0, 0]
    rho = np.linspace(0, RHOS[-1], 200)
    axis.plot(rho, rho**2 / (1 + rho**2), color=INK, linewidth=1.2, label=r"$\rho^2/(1+\rho^2)$")
    axis.plot(RHOS, [row["noise"] for row in rows], "o", color=REAL, label="noise, measured")
    axis.plot(RHOS, [row["texture"] for row in rows], "s", mfc="none", color=SYNTHETIC, label="texture, measured")
    axis.set_xlabel(r"$\rho$", fontsize=9)
    axis.set_title("Any two slices, paper's mixing", fontsize=10, color=INK, loc="left")
    for axis, (name, found) in zip(axes[0, 1:], sets.items()):
        real = AxialCorrelation.model_validate(found["real"])
        axis.plot(
            [0, *real.distance], [1, *real.noise_free], "o-", color=REAL, markersize=4, label="real, noise taken out"
        )
        axis.plot(real.distance, real.correlation, ":", color=REAL, linewidth=1, label="real, as measured")
        for key, colour, label in (
            ("paper", PAPER_COLOUR, rf"paper, $\rho$ = {PAPER_RHO}"),
            ("ours", SYNTHETIC, "ours, {} {:.2f} µm"),
            ("ours, blurred", BLUR_COLOUR, f"ours before a blur of {BLUR} µm"),
        ):
            curve, noise = found[key]["correlation"], found[key]["noise"]
            label = label.format(noise["kernel"], noise["length"] or 0)
            axis.plot([0, *curve["distance"]], [1, *curve["correlation"]], color=colour, linewidth=1.5, label=label)
        axis.axhline(0, color=INK, linewidth=0.5)
        axis.set_xlabel("distance of the slices (µm)", fontsize=9)
        axis.set_title(name, fontsize=10, color=INK, loc="left")
    for axis in axes[0]:
        axis.set_ylim(-0.1, 1.05)
        axis.legend(frameon=False, fontsize=8)
    axes[0, 0].set_ylabel("correlation", fontsize=9)
    for axis, (title, section) in zip(axes[1], sections):
        axis.imshow(section, cmap="gray", vmin=0, vmax=2, aspect=ratio, interpolation="nearest")
        axis.set_title(title, fontsize=9, color=INK, loc="left")
        axis.set_axis_off()
    return to_png(figure)


def xz_sections(model: Denoiser, length: float, workers: int) -> tuple[list[tuple[str, FloatArray]], float]:
    """Return XZ sections of one ellipsoid for independent slices, the paper's mixing and ours, and their aspect."""
    step, pixel, half = 0.25, 0.35, (3.5, 6.5, 8.0)
    y, x = (np.mgrid[:CROP_SIZE, :CROP_SIZE] - (CROP_SIZE - 1) / 2) * pixel
    heights = np.arange(-half[0] + step / 2, half[0], step)
    masks = [np.hypot(y / half[1], x / half[2]) ** 2 + (h / half[0]) ** 2 <= 1 for h in heights]
    distance = np.asarray([signed_distance(mask, (1.0, 1.0)) for mask in masks if mask.any()])
    heights = heights[[mask.any() for mask in masks]]
    slices = Slices(distance, heights, np.zeros(len(heights), dtype=int), (step, pixel, pixel))
    wanted = (
        ("XZ section, every slice on its own", AxialNoise(rho=0.0)),
        (rf"paper, $\rho$ = {PAPER_RHO}", AxialNoise(rho=PAPER_RHO)),
        (f"ours, {length:.2f} µm", AxialNoise(length=length)),
    )
    return [(title, paint(model, slices, noise, workers)[:, CROP_SIZE // 2]) for title, noise in wanted], step / pixel


def main() -> None:
    """Run all parts, print them, write the results and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--bundle", default="nuclei")
    parser.add_argument("--cells", type=int, default=10, help="cells painted per set")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    options = parser.parse_args()
    model = Cascade.from_pretrained(options.bundle).bundle.textures
    rows = rho_sweep(model, options.cells, options.workers)
    sets = {
        name: against_stacks(name, load_stacks(options.data, name), model, options.cells, options.workers)
        for name in PAINTED
    }
    response = measure_response(model, modality="fluorescence", workers=options.workers)
    lengths = {}
    for name in SETS:
        real = measure_stacks(load_stacks(options.data, name))
        assert real is not None
        fits = {kernel: match_axial_noise(real, response, kernels=[kernel]) for kernel in ("gaussian", "exponential")}
        lengths[name] = {
            kernel: {"length": fit.length, "largest_off": largest_off(real, fit, response)}
            for kernel, fit in fits.items()
        }
        print(name, lengths[name])
    sections, ratio = xz_sections(model, sets["3d-cultured-nuclei"]["ours"]["noise"]["length"], options.workers)
    options.figure.write_bytes(draw(rows, sets, sections, ratio))
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "bundle": options.bundle,
        "rho_sweep": [{key: round(value, 4) for key, value in row.items()} for row in rows],
        "lengths": lengths,
        "sets": sets,
    }
    write_json(options.out, result)
    print(f"Written: {options.out}, {options.figure}")


if __name__ == "__main__":
    main()
