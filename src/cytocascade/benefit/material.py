"""The images that are added to the real ones: made once per source, kept on disk, the same for every segmenter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cytocascade.benefit.copy_paste import CopyPaste
from cytocascade.benefit.options import Source
from cytocascade.benefit.simulator import Simulator, fit_simulator, simulate
from cytocascade.bundle import Bundle, load_bundle
from cytocascade.cascade import Cascade
from cytocascade.export.tiff import write_tiff
from cytocascade.generation_options import GenerationOptions
from cytocascade.images import read_image, read_mask
from cytocascade.seeding import derive_seed
from cytocascade.types import AnnotatedImage

IMAGES, MASKS = "images", "masks"


@dataclass
class Maker:
    """Makes image number i of a source; the same whoever asks, and in whatever order.

    Attributes
    ----------
    budget : sequence of AnnotatedImage
        The real images that may be learned from.
    bundle_folder : Path
        The cascade that was fitted on them.
    seed : int
        Seed of all added images.
    variety : float, [0, 1]
        Of generated and simulated images; see `cytocascade.variety`.
    """

    budget: Sequence[AnnotatedImage]
    bundle_folder: Path
    seed: int
    variety: float = 0.0

    @cached_property
    def bundle(self) -> Bundle:
        """The fitted cascade."""
        return load_bundle(self.bundle_folder)

    @cached_property
    def paster(self) -> CopyPaste:
        """The cells and backgrounds of the budget, cut out."""
        return CopyPaste(self.budget)

    @cached_property
    def simulator(self) -> Simulator:
        """The simulator with the statistics of the same images."""
        return fit_simulator(self.bundle, self.budget, seed=derive_seed(self.seed, "simulator fit"))

    def make(self, source: Source, index: int) -> AnnotatedImage:
        """Return one image, as large as one of the real ones."""
        real = self.budget[index % len(self.budget)]
        if source == "copypaste":
            return self.paster.make(index, seed=derive_seed(self.seed, source), shape=real.image.shape)
        # Simulator and cascade fill the same fields: which of the two is the better must not depend on which draws the
        # denser, brighter ones.
        seed = derive_seed(self.seed, "fields")
        wishes = GenerationOptions(size=real.image.shape, variety=self.variety)
        if source == "simulator":
            return simulate(self.simulator, index, seed=seed, options=wishes)
        sample = Cascade(self.bundle).sample(index, seed=seed, options=wishes, workers=1)
        return AnnotatedImage(
            image=sample.image,
            labels=sample.labels,
            spacing=real.spacing,
            name=f"{source} {index}",
            spacing_known=real.spacing_known,
        )


def wanted_images(amount: float, budget: int, most: int) -> int:
    """Return how many images are made for `amount` times the area of `budget` images."""
    return min(most, max(1, math.ceil(amount * budget - 1e-9)))


def image_files(folder: Path, index: int) -> tuple[Path, Path]:
    """Return where image and mask number `index` lie."""
    return folder / IMAGES / f"{index:06d}.tif", folder / MASKS / f"{index:06d}.tif"


def make_and_keep(maker: Maker, source: Source, index: int, folder: Path) -> None:
    """Make one image, unless its files are there."""
    image, mask = image_files(folder, index)
    if mask.exists():
        return
    made = maker.make(source, index)
    write_tiff(image, made.image, made.spacing, made.spacing_known)
    write_tiff(mask, made.labels, made.spacing, made.spacing_known)


def kept_images(folder: Path, count: int, like: AnnotatedImage) -> list[AnnotatedImage]:
    """Read the first `count` images of a folder that `make_and_keep` filled."""
    found = []
    for index in range(count):
        image, mask = image_files(folder, index)
        found.append(
            AnnotatedImage(
                image=read_image(image)[0],
                labels=read_mask(mask),
                spacing=like.spacing,
                name=f"{folder.name} {index}",
                spacing_known=like.spacing_known,
            )
        )
    return found
