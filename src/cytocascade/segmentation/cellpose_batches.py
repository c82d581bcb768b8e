"""Training batches for Cellpose: crops of the sources' images, turned, flipped and scaled, with their targets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.segmentation.base import SegmenterOptions, TrainingSource
from cytocascade.segmentation.cellpose_network import CHANNELS, cellpose_module, numpy_seeded
from cytocascade.segmentation.flows import FlowCache
from cytocascade.segmentation.training_images import TrainingImage, training_images
from cytocascade.types import FloatArray

SCALE_RANGE = 0.5
"""Crops are scaled by 0.75 to 1.25, as in Cellpose's own training."""


@dataclass(frozen=True)
class Pool:
    """The images of one source, ready for cutting.

    Attributes
    ----------
    images : list of TrainingImage
        2D images, or slices of volumes.
    share : float
        See `cytocascade.segmentation.base.TrainingSource`.
    """

    images: list[TrainingImage]
    share: float

    @classmethod
    def of(cls, source: TrainingSource, options: SegmenterOptions) -> Pool:
        """Prepare the images of a source."""
        return cls(training_images(source.images, options.slice_step), source.share)


def make_batch(
    pools: Sequence[Pool], options: SegmenterOptions, cell_diameter: float, flows: FlowCache, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return the crops of one step.

    Parameters
    ----------
    pools : sequence of Pool
        Where crops are taken from. The shares hold within every batch as nearly as whole crops allow, and exactly on
        average.
    options : SegmenterOptions
        Size and number of crops.
    cell_diameter : float
        Mean diameter of the cells, in pixels of the images.
    flows : FlowCache
        Makes the targets.
    seed : int
        Everything random is drawn from it.

    Returns
    -------
    images : ndarray of float32, (batch, 2, crop, crop)
        The second channel is empty.
    targets : ndarray of float32, (batch, 3, crop, crop)
        Cells (0 to 1), and the flow along y and x.
    """
    transforms = cellpose_module("transforms")
    chosen = _choose(pools, options.batch, seed)
    side = options.crop
    images = np.zeros((options.batch, CHANNELS, side, side), dtype=np.float32)
    targets = np.zeros((options.batch, 3, side, side), dtype=np.float32)
    with numpy_seeded(derive_seed(seed, "augmentation")):
        for number, one in enumerate(chosen):
            # One by one: the targets of a whole large image are held for one crop at a time.
            image, target, _ = transforms.random_rotate_and_resize(
                [one.image[None].astype(np.float32)],
                Y=[flows.targets(one.labels)],
                rescale=np.array([cell_diameter / options.diameter]),
                scale_range=SCALE_RANGE,
                xy=(side, side),
            )
            images[number, 0] = image[0, 0]
            targets[number] = target[0, 1:]
    return images, targets


def content_key(pools: Sequence[Pool]) -> str:
    """Return the SHA-256 (hex) of all images, labels and shares."""
    digest = hashlib.sha256()
    for pool in pools:
        digest.update(f"{pool.share!r} {len(pool.images)}".encode())
        for one in pool.images:
            for array in (one.image, one.labels):
                digest.update(f"{array.shape} {array.dtype.str}".encode())
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _choose(pools: Sequence[Pool], count: int, seed: int) -> list[TrainingImage]:
    generator = numpy_generator(seed, "choice")
    shares = np.array([pool.share for pool in pools], dtype=np.float64)
    bounds = np.cumsum(shares / shares.sum())
    places = (np.arange(count) + generator.random()) / count
    chosen = []
    for place in places:
        pool = pools[min(int(np.searchsorted(bounds, place, side="right")), len(pools) - 1)]
        chosen.append(pool.images[int(generator.integers(len(pool.images)))])
    return chosen
