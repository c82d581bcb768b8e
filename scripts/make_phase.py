"""Make the shipped bundle `phase`: whole cells in phase contrast, fitted on images of usiigaci-t98g-phase (MIT).

    python scripts/make_phase.py --data ../shared/data --work runs/phase --steps 2400

It starts from the shipped bundle `nuclei`, can be interrupted, and goes on by the same command. The split is fixed
here: the images SEEN were learned from, all others of the set never were, so that they can serve as validation and
test images for a cascade that is fitted from this base (`benchmarks/benefit.py` tests on those of odd number).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import tifffile

from cytocascade.bundle import find_bundle, load_bundle, pretrained_folder, save_bundle
from cytocascade.fitting import FitOptions, fit
from cytocascade.types import AnnotatedImage

SET = "usiigaci-t98g-phase"
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
| crop | 64 x 64 pixels; every cell is magnified until it fills it |
| started from | `nuclei` |
| steps | {steps}, batches of 32 cells |
| licence | images under the MIT License, see below; weights under the project's licence |

The images are part of the repository oist/Usiigaci, Copyright (c) 2018 Okinawa Institute of Science & Technology
Graduate University, MIT License.

Generated cells are new samples of the learned distribution, not measurements: do not report biology from them.

References: Tsai et al., SoftwareX 9, 230-237 (2019), doi:10.1016/j.softx.2019.02.007 (https://github.com/oist/Usiigaci);
Yilmaz et al., arXiv 2411.11515.
"""


def main() -> None:
    """Fit the bundle, or go on with it, and put it where the package looks for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2400)
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
    last = ""

    def progress(stage: str, done: int, total: int, remark: str) -> None:
        nonlocal last
        if (line := f"{stage} {100 * done // max(total, 1)} %") != last:
            last = line
            print(line, remark, flush=True)

    wishes = FitOptions(steps=options.steps, learning_rate=5e-4, device=options.device)
    bundle = fit(images, options.work, wishes, base=load_bundle(find_bundle("nuclei")), name="phase", progress=progress)
    training = bundle.config.training
    steps = ", ".join(f"{stage} {count}" for stage, count in training["steps"].items())
    card = CARD.format(images=", ".join(SEEN), cells=training["cells"], steps=steps)
    # The package holds no parts of the images: fits find the debris of their own.
    imaging = bundle.imaging.model_copy(update={"debris": None})
    save_bundle(replace(bundle, card=card, imaging=imaging), pretrained_folder() / "phase")


if __name__ == "__main__":
    main()
