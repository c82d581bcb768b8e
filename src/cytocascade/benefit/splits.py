"""Which images are learned from, and which are tested on.

The images are first parted into a pool to learn from and test images. A quarter of the pool is set aside for
validation; the budget is taken from the rest. So the budget is the same whether a run is for tuning or for the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage as ndi

from cytocascade.benefit.options import Budget
from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import numpy_generator
from cytocascade.types import AnnotatedImage, Array, label_dtype

ENOUGH = 1.2
"""An image with up to so many times the wished cells is taken whole."""


@dataclass(frozen=True)
class Split:
    """Which images do what.

    Attributes
    ----------
    budget : tuple of AnnotatedImage
        All that the cascade and the segmenters with few real images learn from.
    pool : tuple of AnnotatedImage
        Every image that may be learned from, without `validation`.
    validation, test : tuple of AnnotatedImage
        Images to tune on, and to test on.
    """

    budget: tuple[AnnotatedImage, ...]
    pool: tuple[AnnotatedImage, ...]
    validation: tuple[AnnotatedImage, ...]
    test: tuple[AnnotatedImage, ...]


def split_images(
    images: Sequence[AnnotatedImage],
    budget: Budget,
    *,
    ordered: bool,
    test_fraction: float,
    seed: int,
    validate: bool,
) -> Split:
    """Part annotated images into those to learn from and those to test on.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        2D images or volumes, completely annotated, in the order of their names.
    budget : Budget
        How much is learned from.
    ordered : bool
        Whether the last images are tested on, as in videos; else they are spread evenly.
    test_fraction : float, (0, 1)
        Share of the images that is tested on.
    seed : int
        Seed of the window's place.
    validate : bool
        Whether validation images are left out of `Split.pool`.

    Raises
    ------
    CytoCascadeError
        If there are too few images or cells.
    """
    count = len(images)
    tests = min(count - 1, max(1, round(count * test_fraction)))
    if count < 2:
        raise CytoCascadeError(
            "one image alone cannot be learned from and tested on", hint="Give at least 2 annotated images."
        )
    tested = set(range(count - tests, count) if ordered else _spread(count, tests))
    pool = [images[i] for i in range(count) if i not in tested]
    set_aside = set(_spread(len(pool), len(pool) // 4)) if len(pool) >= 4 else set()
    learnable = [image for i, image in enumerate(pool) if i not in set_aside]
    validation = tuple(image for i, image in enumerate(pool) if i in set_aside)
    if validate and not validation:
        raise CytoCascadeError(
            f"{len(pool)} images to learn from are too few to set some aside for validation",
            hint="Give more images, or score on the test images.",
        )
    return Split(
        budget=tuple(_taken(learnable, budget, seed)),
        pool=tuple(learnable if validate else pool),
        validation=validation,
        test=tuple(image for i, image in enumerate(images) if i in tested),
    )


def _spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` of `count` positions, evenly spread."""
    return [int((k + 0.5) * count / wanted) for k in range(wanted)]


def _taken(images: Sequence[AnnotatedImage], budget: Budget, seed: int) -> list[AnnotatedImage]:
    if budget.images is not None:
        if budget.images > len(images):
            raise CytoCascadeError(
                f"the budget is {budget.images} images, but only {len(images)} can be learned from",
                hint="Give a smaller --budget or --test-fraction, or more images.",
            )
        return [images[i] for i in _spread(len(images), budget.images)]
    wanted = budget.cells or 1
    # From the image of ordinary density outwards, so that no odd one stands for all.
    order = sorted(images, key=lambda image: cell_count(image.labels))
    middle = len(order) // 2
    chosen: list[AnnotatedImage] = []
    for image in (order[i] for i in sorted(range(len(order)), key=lambda i: abs(i - middle))):
        missing = wanted - sum(cell_count(one.labels) for one in chosen)
        if missing <= 0 or (chosen and missing < 0.15 * wanted):
            return chosen
        chosen.append(image if cell_count(image.labels) <= ENOUGH * missing else window(image, missing, seed=seed))
    if sum(cell_count(one.labels) for one in chosen) < 0.7 * wanted:
        raise CytoCascadeError(
            f"the budget is {wanted} cells, but the images that can be learned from hold fewer",
            hint="Give a smaller --budget or --test-fraction, or more images.",
        )
    return chosen


def cell_count(labels: Array) -> int:
    """Return how many cells a label image has."""
    return int(np.count_nonzero(np.bincount(labels.ravel())[1:]))


def window(image: AnnotatedImage, cells: int, *, seed: int, tries: int = 200) -> AnnotatedImage:
    """Cut a window of about so many cells out of an image; volumes keep their whole depth.

    Its sides follow from the image's density. Of `tries` places drawn at random, those are left whose cells (by their
    centres) are nearest to the wished number, and of these that with the most cells not cut by the window's border.

    Parameters
    ----------
    image : AnnotatedImage
        2D image or volume.
    cells : int
        Wished number.
    seed : int
        Seed of the places.

    Returns
    -------
    AnnotatedImage
        Relabelled; its name says where it lies: ``name[top:bottom,left:right]``.
    """
    labels = image.labels
    height, width = labels.shape[-2:]
    share = min(1.0, cells / max(1, cell_count(labels)))
    boxes = [box[-2:] for box in ndi.find_objects(labels) if box is not None]
    middles = np.array([[(side.start + side.stop) / 2 for side in box] for box in boxes])
    starts = np.array([[side.start for side in box] for box in boxes])
    stops = np.array([[side.stop for side in box] for box in boxes])
    generator = numpy_generator(seed, "window", image.name)
    best: tuple[int, int] | None = None
    place = (0, 0, height, width)
    for _ in range(tries):
        side = np.sqrt(share * height * width * generator.uniform(0.8, 1.25))
        rows, columns = int(min(height, side)), int(min(width, side))
        top, left = (int(generator.integers(0, all_ - part + 1)) for all_, part in ((height, rows), (width, columns)))
        low, high = np.array([top, left]), np.array([top + rows, left + columns])
        inside = int(((middles >= low) & (middles < high)).all(axis=1).sum())
        whole = int(((starts >= low) & (stops <= high)).all(axis=1).sum())
        rank = (-abs(inside - cells), whole)
        if best is None or rank > best:
            best, place = rank, (top, left, rows, columns)
    top, left, rows, columns = place
    part = (..., slice(top, top + rows), slice(left, left + columns))
    return replace(
        image,
        image=np.ascontiguousarray(image.image[part]),
        labels=_renumbered(labels[part]),
        name=f"{image.name}[{top}:{top + rows},{left}:{left + columns}]",
    )


def _renumbered(labels: Array) -> Array:
    values, inverse = np.unique(labels, return_inverse=True)
    numbers = np.arange(len(values)) + (0 if values[0] == 0 else 1)
    return numbers[inverse].reshape(labels.shape).astype(label_dtype(len(values)))
