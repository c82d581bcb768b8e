"""Train the networks of the shipped base bundle `nuclei` on the CC0 sets.

    python scripts/train_nuclei.py --data ../shared/data --work runs/nuclei --stage masks --steps 4000

The split is fixed here: the images below are seen, all others of these sets never are, so that they can
serve as test images for a cascade that was fitted from this base.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import tifffile
import torch

from cytocascade.diffusion.checkpoints import save_denoiser
from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.diffusion.training import TrainingConfig, train
from cytocascade.images.cells import SingleCells, extract_cells
from cytocascade.images.descriptors import describe_cells
from cytocascade.masks.maskddpm import MASK_DENOISER, mask_batches
from cytocascade.textures.model import TEXTURE_DENOISER, texture_batches
from cytocascade.types import AnnotatedImage

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
    parser.add_argument("--stage", choices=("masks", "textures"), required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
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
            cells, described[:, 3:], styles, batch=config.batch, steps=config.steps, seed=options.seed, pick=pick
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
        features={name: np.concatenate([part.features[name] for part in sets]) for name in first.features},
        crop_spacing=first.crop_spacing,
        modality=first.modality,
        calibration=first.calibration,
        excluded=first.excluded,
    )


if __name__ == "__main__":
    main()
