"""Train the shipped base bundle `nuclei` on the CC0 sets, stage by stage; each stage can be interrupted.

    python scripts/train_nuclei.py --data ../shared/data --work runs/nuclei --stage masks --steps 3000
    python scripts/train_nuclei.py --data ../shared/data --work runs/nuclei --stage textures --steps 7000
    python scripts/train_nuclei.py --data ../shared/data --work runs/nuclei --stage bundle
    python scripts/train_nuclei.py --data ../shared/data --work runs/nuclei --stage statistics

The last one keeps the shipped networks and takes statistics and calibration anew.

The split is fixed here: the images below are seen, all others of these sets never are, so that they can
serve as test images for a cascade that was fitted from this base.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import tifffile
import torch
from safetensors import safe_open

from cytocascade.bundle import Bundle, BundleConfig, load_bundle, pretrained_folder, save_bundle
from cytocascade.calibration import calibrate
from cytocascade.diffusion.checkpoints import load_denoiser, save_denoiser
from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.diffusion.training import TrainingConfig, train
from cytocascade.images.cells import SingleCells, extract_cells
from cytocascade.images.descriptors import DESCRIPTOR_NAMES, describe_cells
from cytocascade.imaging.statistics import fit_imaging, with_gains
from cytocascade.masks.maskddpm import MASK_DENOISER, mask_batches
from cytocascade.population import fit_population
from cytocascade.population.cells import CellStatistics
from cytocascade.textures.model import TEXTURE_DENOISER, texture_batches
from cytocascade.types import AnnotatedImage

STAGES = ("masks", "textures")
SEEN = {"bbbc039-u2os": range(0, 24), "dsb2018-fluo-360": range(0, 44)}


def load(data: Path, name: str, numbers: range) -> list[AnnotatedImage]:
    """Read the numbered images of one set."""
    return [
        AnnotatedImage(
            tifffile.imread(data / name / "images" / f"{i:03d}.tif"),
            tifffile.imread(data / name / "masks" / f"{i:03d}.tif"),
            (1.0, 1.0),
            f"{i:03d}",
        )
        for i in numbers
    ]


def main() -> None:
    """Train one stage, resuming from its checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=("masks", "textures", "bundle", "statistics"), required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage == "bundle":
        steps = {stage: trained_steps(options.work / f"{stage}.checkpoint.safetensors") for stage in STAGES}
        write_bundle(options.data, options.work, steps, options.seed)
        return
    if options.stage == "statistics":
        shipped = pretrained_folder() / "nuclei"
        steps = load_bundle(shipped).config.training["steps"]
        write_bundle(options.data, shipped, steps, options.seed)
        return
    sets = [extract_cells(load(options.data, name, numbers)) for name, numbers in SEEN.items()]
    cells = joined(sets)
    described = np.concatenate([describe_cells(part) for part in sets])
    styles = np.repeat(np.arange(len(sets)), [len(part) for part in sets])
    # Every set is seen equally often, whatever its number of cells.
    pick = np.concatenate([np.full(len(part), 1.0 / len(part), dtype=np.float32) for part in sets])
    print(f"{len(cells)} cells: {[len(part) for part in sets]}", flush=True)
    torch.manual_seed(options.seed)
    config = TrainingConfig(steps=options.steps, batch=32, learning_rate=5e-4, warmup=200)
    network = MASK_DENOISER if options.stage == "masks" else TEXTURE_DENOISER
    model = Denoiser(network.model_copy(update={"styles": len(sets)}))
    if options.stage == "masks":
        batches = mask_batches(
            cells.distance, described[:, :3], styles, batch=config.batch, seed=options.seed, pick=pick
        )
    else:
        batches = texture_batches(
            cells,
            described[:, 3:],
            styles,
            batch=config.batch,
            steps=config.steps,
            seed=options.seed,
            pick=pick,
        )
    start = time.monotonic()

    def progress(done: int, steps: int, loss: float) -> None:
        if done % 50 == 0:
            print(f"{done}/{steps} loss {loss:.4f} {time.monotonic() - start:.0f} s", flush=True)

    train(
        model,
        batches,
        config,
        seed=options.seed,
        checkpoint=options.work / f"{options.stage}.checkpoint.safetensors",
        device=options.device,
        progress=progress,
    )
    save_denoiser(options.work / f"{options.stage}.safetensors", model)


def joined(sets: list[SingleCells]) -> SingleCells:
    """Put the cells of several sets together; calibration stays per set."""
    first = sets[0]
    return SingleCells(
        *(np.concatenate([getattr(part, name) for part in sets]) for name in ("signal", "distance", "known", "level")),
        image=np.concatenate([part.image for part in sets]),
        zoom=np.concatenate([part.zoom for part in sets]),
        features={name: np.concatenate([part.features[name] for part in sets]) for name in first.features},
        crop_spacing=first.crop_spacing,
        modality=first.modality,
        calibration=first.calibration,
        excluded=first.excluded,
    )


def write_bundle(data: Path, networks: Path, steps: dict[str, int], seed: int) -> None:
    """Put the networks of a folder and the statistics of the seen BBBC039 images together."""
    images = load(data, "bbbc039-u2os", SEEN["bbbc039-u2os"])
    cells = extract_cells(images)
    described = describe_cells(cells)
    others = [describe_cells(extract_cells(load(data, name, SEEN[name]))) for name in SEEN if name != "bbbc039-u2os"]
    imaging = with_gains(fit_imaging(images), [entry.gain for entry in cells.calibration])
    config = BundleConfig(
        name="nuclei",
        modality=cells.modality,
        spacing=(1.0, 1.0),
        spacing_known=False,
        crop_spacing=cells.crop_spacing,
        shape=images[0].image.shape,
        style=list(SEEN).index("bbbc039-u2os"),
        training={
            "sets": {name: [f"{i:03d}" for i in numbers] for name, numbers in SEEN.items()},
            "cells": len(cells),
            "steps": steps,
            "seed": seed,
        },
    )
    bundle = Bundle(
        config,
        load_denoiser(networks / "masks.safetensors"),
        load_denoiser(networks / "textures.safetensors"),
        reduce(CellStatistics.with_prior, others, CellStatistics.fit(DESCRIPTOR_NAMES, described, most=1000)),
        fit_population([image.labels for image in images], (1.0, 1.0), seed=seed),
        imaging,
        card="",
    )
    calibrated = calibrate(bundle, images, seed=seed, progress=lambda *what: print(*what, flush=True))
    card = CARD.format(steps=steps, share=calibrated.noise_share, contrast=calibrated.texture_contrast)
    save_bundle(replace(bundle, config=calibrated, card=card), pretrained_folder() / "nuclei")


def trained_steps(checkpoint: Path) -> int:
    """Return how many steps a network was trained for."""
    with safe_open(checkpoint, framework="pt") as file:
        return int(file.metadata()["step"])


CARD = """# nuclei

The base bundle of CytoCascade: stained nuclei in wide-field fluorescence. It generates crowded U2OS nuclei as in
BBBC039, and is the starting point of `cytocascade fit`.

| | |
|---|---|
| networks trained on | BBBC039v1 (images 000-023 of the development copy, 24 images) and the 360 x 360 fluorescence \
images of BBBC038v1 (000-043, 44 images), both CC0 1.0 |
| statistics of | the 24 BBBC039 images: size, shape, brightness, arrangement, background, noise; for `--variety`, \
size, shape and brightness of the cells of the BBBC038 images, too |
| never seen | every other image of these two sets (BBBC039 024-039, BBBC038 044-065): use those to test |
| pixel | spacing unknown (20x objective); statistics are in pixels |
| steps | {steps}, batches of 32 cells |
| calibration | noise share {share}, contrast {contrast} |
| licence | CC0 data; weights under the project's licence |

Generated cells are new samples of the learned distribution, not measurements: do not report biology from them.

References: Caicedo et al., Cytometry A 95, 952-965 (2019); Caicedo et al., Nature Methods 16, 1247-1253 (2019);
Ljosa et al., Nature Methods 9, 637 (2012); Yilmaz et al., arXiv 2411.11515.

We used image set BBBC039v1 (Caicedo et al., Cytometry Part A, 2019) and BBBC038v1 (Caicedo et al., Nature Methods,
2019), available from the Broad Bioimage Benchmark Collection (Ljosa et al., Nature Methods, 2012).
"""


if __name__ == "__main__":
    main()
