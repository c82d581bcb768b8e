"""Make the shipped bundle `nuclei3d`: the fit that the documentation shows, with the shapes of `train_shapes.py`.

    python scripts/make_nuclei3d.py --data ../shared/data --weights runs/shapes/shapes.safetensors --work runs/nuclei3d

At most 10 annotated slices of WINDOWS of 3d-cultured-nuclei (MIT) are seen; all other windows are left for evaluation
(`benchmarks/evidence_3d.py`). Masks and textures start from the shipped bundle `nuclei` (CC0). The shapes of that set
(Series008) are not among those that the multi-view network was trained on.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from train_shapes import TRAINING

from cytocascade.bundle import Bundle, find_bundle, load_bundle, pretrained_folder, save_bundle
from cytocascade.diffusion.checkpoints import load_network
from cytocascade.fitting import FitOptions
from cytocascade.images import read_stacks
from cytocascade.imaging.microscope import Microscope
from cytocascade.imaging.psf import ConePsf
from cytocascade.population.arrangement import VolumeArrangement
from cytocascade.shapes.canonical import feret_diameter
from cytocascade.shapes.descriptors import describe_voxels
from cytocascade.shapes.multiview import MultiViewConfig, MultiViewDenoiser
from cytocascade.shapes.statistics import Kind, ShapeStatistics
from cytocascade.textures.axial_noise import DEFAULT_LENGTH, AxialNoise
from cytocascade.volumes.fitting import fit_volumes
from cytocascade.volumes.statistics import VolumeStatistics

SET = "3d-cultured-nuclei"
WINDOWS = ("000", "001")
SLICES = 10
STRETCHED = ("BBBC050 8-cell",)
"""Sources whose z-step is approximate, so that heights tell nothing."""


DATA_CARD = """
## Data

- Slices: ten annotated slices of windows 000 and 001 of Series008, confocal stacks of cultured cells; A.
  Devulapally, V. Parekh, C. G. Pazhayidam, S. Balakrishnan (IIT Goa), GitHub
  iitgoa-ml/3d-cells-nuclei-segmentation, MIT License. The other windows were not seen.
- Masks and textures start from the bundle `nuclei` (BBBC039 and BBBC038, CC0).
- Shapes (trained on): nuclei and cells of the same repository except Series008 and Series006 (MIT), organoids of
  scMultipleX (Friedrich Miescher Institute, BSD-3-Clause), embryos of QCANet / BBBC050 (MIT copy), ovules of
  plant-seg / GoNuclear 1135 (MIT copy). Kept apart for validation: Series008, cells3d, GoNuclear 1137.

The weights may be used and shared under Apache-2.0, with these sources named.
"""
"""What the card says of the data."""


def prior(shapes: Path, kind: Kind) -> ShapeStatistics:
    """Return the axial ratios of the training shapes of a kind."""
    data = np.load(shapes)
    extents, ratios = [], []
    for source in (name for name in TRAINING if name not in STRETCHED):
        chosen = np.flatnonzero((data["source"] == source) & (data["kind"] == kind))
        for number in chosen:
            mask, step = data["voxels"][number].astype(bool), float(data["voxel_um"][number])
            ratio = describe_voxels(mask, (step, step, step))["axial_ratio"]
            extents.append(round(feret_diameter(np.argwhere(mask.any(axis=0))) * step, 4))
            ratios.append(round(ratio, 5))
    return ShapeStatistics(kind=kind, extents=extents, ratios=ratios)


def base(weights: Path, shapes: Path) -> Bundle:
    """Return the 2D base with the shapes, as something to start a fit for volumes from."""
    flat = load_bundle(find_bundle("nuclei"))
    priors = [prior(shapes, "nucleus"), prior(shapes, "cell")]
    volume = VolumeStatistics(
        arrangement=VolumeArrangement(kind="layer", reason="not fitted"),
        microscope=Microscope(psf=ConePsf(axial=0.6)),
        shapes=priors[0],
        priors=priors,
        texture_noise=AxialNoise(length=DEFAULT_LENGTH),
    )
    return replace(flat, shapes=load_network(weights, MultiViewConfig, MultiViewDenoiser), volume=volume)


def main() -> None:
    """Fit, and put the bundle where it is shipped from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--shapes-only", action="store_true", help="put other shapes into a bundle that is there")
    parser.add_argument("--ship", action="store_true", help="copy the bundle into the package")
    arguments = parser.parse_args()
    stacks = arguments.work / "stacks"
    for part in ("images", "masks"):
        (stacks / part).mkdir(parents=True, exist_ok=True)
        for window in WINDOWS:
            shutil.copy(arguments.data / SET / part / f"{window}.tif", stacks / part / f"{window}.tif")
    start = base(arguments.weights, arguments.data / "3d-shapes" / "shapes.npz")
    out = arguments.work / "nuclei3d"
    if arguments.shapes_only:
        # Nothing else of the bundle depends on the shapes.
        bundle = load_bundle(out)
        _, volume = bundle.volume_parts()
        assert start.volume is not None
        volume = volume.model_copy(update={"priors": start.volume.priors})
        save_bundle(replace(bundle, shapes=start.shapes, volume=volume), out)
    else:
        fit(stacks, start, out, arguments.steps)
    bundle = load_bundle(out)
    if DATA_CARD not in bundle.card:
        save_bundle(replace(bundle, card=bundle.card + DATA_CARD), out)
    if arguments.ship:
        shipped = pretrained_folder() / "nuclei3d"
        shutil.rmtree(shipped, ignore_errors=True)
        shutil.copytree(out, shipped)


def fit(stacks: Path, start: Bundle, out: Path, steps: int) -> None:
    """Fit the bundle, telling what is done."""
    shown: set[tuple[str, int]] = set()

    def report(stage: str, done: int, total: int, remark: str) -> None:
        if (stage, done) not in shown and (done % 25 == 0 or done == total):
            shown.add((stage, done))
            print(stage, f"{done}/{total}", remark, flush=True)

    options = FitOptions(budget=None, steps=steps)
    fit_volumes(read_stacks(stacks, slices=SLICES), out, options, base=start, overwrite=True, progress=report)


if __name__ == "__main__":
    main()
