"""Make the shipped bundle `phase`: whole cells in phase contrast, fitted on images of usiigaci-t98g-phase (MIT).

    python scripts/make_phase.py --data ../shared/data --work runs/phase --steps 2400
    python scripts/make_phase.py --data ../shared/data --work runs/phase-more --more 2000
    python scripts/make_phase.py --data ../shared/data --work runs/phase-most --more 3000
    python scripts/make_phase.py --data ../shared/data --work runs/phase-fine --more 3000 --stages masks,textures

The first starts from the shipped bundle `nuclei`, the others train networks of the shipped `phase` further (the first
2400 steps were made before fringes were aligned, see `cytocascade.textures.fringes`; all but the last before crops were
sampled twice as finely). All can be interrupted, and go on by the same command. The split is fixed here: the images
SEEN were learned from, all others of the set never were, so that they can serve as validation and test images for a
cascade that is fitted from this base (`benchmarks/benefit.py` tests on those of odd number).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import tifffile

from cytocascade.bundle import Bundle, find_bundle, load_bundle, pretrained_folder, save_bundle
from cytocascade.calibration.calibrate import calibrate
from cytocascade.diffusion.checkpoints import load_denoiser, save_denoiser
from cytocascade.diffusion.denoiser import Denoiser, refolded
from cytocascade.diffusion.training import TrainingConfig, train
from cytocascade.fitting import FitOptions, fit
from cytocascade.images.cells import FINE, SingleCells, extract_cells
from cytocascade.images.descriptors import DESCRIPTOR_NAMES, SHAPE_NAMES, describe_cells, for_networks
from cytocascade.images.validation import MIN_AREA
from cytocascade.masks.maskddpm import mask_batches
from cytocascade.population.cells import CellStatistics
from cytocascade.textures.fringes import with_aligned_fringes
from cytocascade.textures.model import CALM, texture_batches, with_scalars
from cytocascade.types import AnnotatedImage

SET = "usiigaci-t98g-phase"
FIRST = 2400
"""Steps of the first training; those that follow it have other seeds."""

SEEN = ("000", "002", "006", "008", "010", "014")

CARD = """# phase

A base bundle of CytoCascade: whole cells in phase contrast. It generates spread and spindle-shaped T98G glioblastoma
cells on a clean background, and is the starting point of `cytocascade fit` for images whose cells are dark and bright
at once.

| | |
|---|---|
| fitted on | 6 images of Usiigaci's training set ({images} of the development copy), {cells} whole cells |
| never seen | all other images of this set: use those to test |
| pixel | spacing unknown (10x objective); statistics are in pixels |
| crop | 64 x 64 pixels, sampled twice as finely; every cell is magnified until it fills it |
| started from | `nuclei` |
| steps | {steps}, batches of 32 cells |
| licence | images under the MIT License, see below; weights under the project's licence |

The images are part of the repository oist/Usiigaci, Copyright (c) 2018 Okinawa Institute of Science & Technology
Graduate University, MIT License.

Generated cells are new samples of the learned distribution, not measurements: do not report biology from them.

References: Tsai et al., SoftwareX 9, 230-237 (2019), doi:10.1016/j.softx.2019.02.007 (https://github.com/oist/Usiigaci);
Yilmaz et al., arXiv 2411.11515.
"""


class Shown:
    """Prints progress, one line for every percent."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, stage: str, done: int, total: int, remark: str) -> None:
        """Print a line if it is a new one."""
        if (line := f"{stage} {100 * done // max(total, 1)} %") != self.last:
            self.last = line
            print(line, remark, flush=True)


def trained_further(stage: str, bundle: Bundle, cells: SingleCells, options: argparse.Namespace) -> Denoiser:
    """Return a network of the bundle (``masks`` or ``textures``) that was trained further on the cells."""
    finished = options.work / f"{stage}.safetensors"
    if not finished.exists():
        config, show = bundle.config, Shown()
        described = for_networks(describe_cells(cells), cells.zoom, config.zoom)
        styles = [config.style] * len(cells)
        seed = 123 + config.training["steps"][stage] - FIRST
        network = refolded(getattr(bundle, stage), 2 * cells.fineness)
        if stage == "masks":
            batch_at = mask_batches(cells.distance, described[:, : len(SHAPE_NAMES)], styles, batch=32, seed=seed)
        else:
            told = with_scalars(described[:, len(SHAPE_NAMES) :], network.config.scalars)
            aligned = with_aligned_fringes(cells)
            batch_at = texture_batches(aligned, told, styles, batch=32, steps=options.more, seed=seed)
        options.work.mkdir(parents=True, exist_ok=True)
        train(
            network,
            batch_at,
            TrainingConfig(steps=options.more, batch=32, learning_rate=4e-4, warmup=50),
            seed=seed + 1,
            checkpoint=options.work / f"{stage}.safetensors.checkpoint.safetensors",
            device=options.device,
            progress=lambda done, total, loss: show(stage, done, total, f"loss {loss:.4f}"),
        )
        save_denoiser(finished, network)
    return load_denoiser(finished)


def with_more(bundle: Bundle, images: list[AnnotatedImage], options: argparse.Namespace) -> Bundle:
    """Return the bundle with networks that were trained further, calibrated anew."""
    config = bundle.config
    cells = extract_cells(
        images, crop_spacing=config.crop_spacing, modality=config.modality, zoom=config.zoom, fineness=FINE
    )
    stages = options.stages.split(",")
    networks = {stage: trained_further(stage, bundle, cells, options) for stage in stages}
    steps = {name: count + options.more * (name in stages) for name, count in config.training["steps"].items()}
    config = config.model_copy(update={"training": {**config.training, "steps": steps}, "texture_temperature": CALM})
    # What contrast and shape of a cell are depends on how finely it is sampled.
    cells_like = CellStatistics.fit(
        DESCRIPTOR_NAMES, describe_cells(cells), base=None, least_area=MIN_AREA / math.prod(config.scale)
    )
    better = replace(bundle, config=config, cells=cells_like, **networks)
    return replace(better, config=calibrate(better, images, seed=0, progress=Shown()))


def main() -> None:
    """Fit the bundle, or go on with it, and put it where the package looks for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--more", type=int, help="steps to train networks of the shipped bundle further")
    parser.add_argument("--stages", default="textures", help="which networks: masks,textures")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    images = [
        AnnotatedImage(
            tifffile.imread(options.data / SET / "images" / f"{number}.tif"),
            tifffile.imread(options.data / SET / "masks" / f"{number}.tif"),
            (1.0, 1.0),
            number,
            spacing_known=False,
        )
        for number in SEEN
    ]
    if options.more:
        bundle = with_more(load_bundle(find_bundle("phase")), images, options)
    else:
        wishes = FitOptions(steps=options.steps, learning_rate=5e-4, device=options.device)
        base = load_bundle(find_bundle("nuclei"))
        bundle = fit(images, options.work, wishes, base=base, name="phase", progress=Shown())
    training = bundle.config.training
    steps = ", ".join(f"{stage} {count}" for stage, count in training["steps"].items())
    card = CARD.format(images=", ".join(SEEN), cells=training["cells"], steps=steps)
    # The package holds no parts of the images: fits find the debris of their own.
    imaging = bundle.imaging.model_copy(update={"debris": None})
    save_bundle(replace(bundle, card=card, imaging=imaging), pretrained_folder() / "phase")


if __name__ == "__main__":
    main()
