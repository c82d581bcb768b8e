"""Train the multi-view diffusion that ships in `nuclei3d`, on the openly licensed real shapes.

    python scripts/train_shapes.py --shapes ../shared/data/3d-shapes/shapes.npz --work runs/shapes --stage examples
    python scripts/train_shapes.py --shapes ../shared/data/3d-shapes/shapes.npz --work runs/shapes --stage train

Sources are kept apart: those in VALIDATION are never trained on (`benchmarks/shapes_3d.py` measures on them).
An interrupted training goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from cytocascade.diffusion.checkpoints import save_denoiser
from cytocascade.diffusion.training import TrainingConfig, train
from cytocascade.seeding import numpy_generator
from cytocascade.shapes.bank import ShapeExamples, example, shape_batches
from cytocascade.shapes.multiview import MULTIVIEW_DENOISER, MultiViewDenoiser
from cytocascade.shapes.solids import blob_solid, deformed, draw_blob, draw_deformation, fit_roughness, voxel_solid

TRAINING = (
    "iitgoa lsm_Image3",
    "iitgoa lsm_Image4",
    "iitgoa serv_nuc",
    "iitgoa serv_cells",
    "organoid B",
    "organoid B membrane",
    "BBBC050 8-cell",
    "GoNuclear 1135",
)
"""Sources that are trained on; all MIT or BSD-3-Clause."""

VALIDATION = ("iitgoa stack_Series008", "cells3d", "GoNuclear 1137")
"""Sources that are never trained on. The image behind cells3d has no stated licence."""

PER_SOURCE = 300
"""Deformed examples per source of nuclei."""

BLOBS = 600
"""Random smooth closed shapes."""

TALLEST = 1.7
"""Axial ratio above which a shape is taken for an artefact (slice-wise annotation, an approximate z-step)."""


def build_examples(shapes: Path, out: Path) -> ShapeExamples:
    """Deform real shapes and draw random ones, and render what the cameras see of them."""
    data = np.load(shapes)
    voxels, sources, kinds, micrometres = (data[name] for name in ("voxels", "source", "kind", "voxel_um"))
    parts = []
    nuclei = [v.astype(bool) for v, s, k in zip(voxels, sources, kinds) if s in TRAINING and k == "nucleus"]
    roughness = fit_roughness(nuclei)
    print(f"{len(nuclei)} nuclei to learn from; {roughness}", flush=True)
    for source in TRAINING:
        chosen = np.flatnonzero(sources == source)
        kind = int(kinds[chosen[0]] == "cell")
        made, wanted = 0, PER_SOURCE if kind == 0 else PER_SOURCE // 2
        attempt = 0
        while made < wanted:
            number = int(chosen[attempt % len(chosen)])
            generator = numpy_generator(0, "shape", source, attempt)
            attempt += 1
            solid = deformed(voxel_solid(voxels[number].astype(bool)), draw_deformation(generator))
            # A solid's unit is half the grid of 64 voxels.
            scale = float(np.exp(generator.normal(0, 0.06)))
            one = example(solid, micrometres=32 * float(micrometres[number]) * scale, kind=kind, weight=1 / wanted)
            if float(one.ratio) <= TALLEST:
                parts.append(one)
                made += 1
            if attempt > 2 * wanted:
                break
        print(f"{source}: {made} examples of {len(chosen)} shapes, {attempt} tried", flush=True)
    for number in range(BLOBS):
        generator = numpy_generator(0, "blob", number)
        solid = deformed(blob_solid(draw_blob(generator, roughness)), draw_deformation(generator, strength=0.5))
        parts.append(example(solid, weight=1.5 / BLOBS))
    examples = ShapeExamples.join(parts)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({f.name: getattr(examples, f.name).contiguous() for f in fields(ShapeExamples)}, out)
    return examples


def train_shapes(examples: ShapeExamples, work: Path, steps: int, batch: int, painted: int) -> None:
    """Train, or go on with it, and write the network."""
    torch.manual_seed(0)
    model = MultiViewDenoiser(MULTIVIEW_DENOISER)
    print(f"{model.parameter_count() / 1e6:.2f} M parameters", flush=True)
    begun = time.monotonic()

    def progress(step: int, total: int, loss: float) -> None:
        if step % 25 == 0 or step == total:
            print(f"{step}/{total} loss {loss:.4f} {time.monotonic() - begun:.0f} s", flush=True)

    config = TrainingConfig(steps=steps, batch=batch, learning_rate=6e-4, warmup=100, ema=0.998, checkpoint_seconds=120)
    train(
        model,
        shape_batches(examples, batch=batch, painted=painted, seed=0),
        config,
        seed=0,
        checkpoint=work / "shapes.checkpoint.safetensors",
        progress=progress,
    )
    save_denoiser(work / "shapes.safetensors", model)


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=("examples", "train"), required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--painted", type=int, default=4, help="views per cell that the loss is taken over")
    arguments = parser.parse_args()
    bank = arguments.work / "examples.safetensors"
    if arguments.stage == "examples":
        build_examples(arguments.shapes, bank)
        return
    if not bank.exists():
        sys.exit(f"{bank} is missing: run --stage examples first")
    examples = ShapeExamples(**load_file(bank))
    train_shapes(examples, arguments.work, arguments.steps, arguments.batch, arguments.painted)


if __name__ == "__main__":
    main()
