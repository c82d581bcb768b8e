"""Pictures of the segmentation experiment: training images of every arm, and what every arm finds."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from skimage.metrics import contingency_table
from skimage.segmentation import find_boundaries

from cytocascade.benefit.arms import without_amount
from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.drawings import OUTLINE
from cytocascade.evaluation.instances import instance_scores, metric_of_totals, pooled_terms
from cytocascade.pictures import to_bytes, to_grey
from cytocascade.types import AnnotatedImage, Array, FloatArray

SIDE = 384
"""Pixels of the longer side of a picture."""

CELLS_ACROSS = 9
"""Cell diameters along the side of the part that is shown."""

FOUND, MISSED, INVENTED, MERGED, TRUTH = (64, 196, 255), (255, 92, 56), (255, 225, 60), (255, 96, 220), (255, 255, 255)
"""Colours (RGB) of outlines: cells found, missed, invented, joined; the reference."""


@dataclass(frozen=True)
class TestPicture:
    """One test image with what the arms found in it."""

    __test__ = False  # whatever its name tells pytest

    annotated: AnnotatedImage
    """The image and its reference labels."""
    predicted: Mapping[str, Array]
    """Labels found, per arm; of the shape of the image."""
    kind: str = ""
    """Why it is shown: as `Benefit.telling_images` says."""


@dataclass(frozen=True)
class ReportPictures:
    """What the page shows beside the figures. Images and volumes alike; either may be empty."""

    training: Mapping[str, Sequence[AnnotatedImage]] = field(default_factory=dict)
    """Examples per arm of what makes it special: the real images, or those added to them."""
    tests: Sequence[TestPicture] = ()
    """Test images, best those of `Benefit.telling_images`."""


@dataclass(frozen=True)
class Mistakes:
    """Labels of the cells that were not found right, as the measures of the Cell Tracking Challenge count them."""

    missed: Array
    """Reference cells of which no found cell covers more than half."""
    invented: Array
    """Found cells that cover more than half of no reference cell."""
    merged: Array
    """Found cells that cover more than half of several reference cells."""


def mistakes(reference: Array, predicted: Array) -> Mistakes:
    """Return the cells that were missed, invented or joined; labels of one shape, 0 is background."""
    table = contingency_table(reference, predicted).tocsr()
    sizes = np.bincount(reference.ravel(), minlength=table.shape[0])
    covers = table.multiply(2).tocoo()
    good = (covers.data > sizes[covers.row]) & (covers.row > 0) & (covers.col > 0)
    covered = np.bincount(covers.col[good], minlength=table.shape[1])
    cells, found = np.unique(reference[reference > 0]), np.unique(predicted[predicted > 0])
    return Mistakes(
        missed=np.setdiff1d(cells, covers.row[good]),
        invented=found[covered[found] == 0],
        merged=found[covered[found] > 1],
    )


def image_score(test: TestPicture, arm: str) -> float:
    """Return SEG of what an arm found in an image."""
    terms = pooled_terms([instance_scores(test.annotated.labels, test.predicted[arm])])
    return float(metric_of_totals("SEG", terms)[0])


def shown_side(pictures: ReportPictures) -> int:
    """Return the side in pixels of the part that is shown of every image: the same scale in all pictures."""
    everything = [one for images in pictures.training.values() for one in images]
    everything += [test.annotated for test in pictures.tests]
    diameters = [
        2 * np.sqrt(area / np.pi) for one in everything for area in _areas(shown_plane(one.labels, one.labels))
    ]
    return max(64, round(CELLS_ACROSS * float(np.median(diameters)))) if diameters else SIDE // 2


def shown_plane(array: Array, labels: Array) -> Array:
    """Return an image as it is; of a volume the plane that cuts most cells, the middle one of several."""
    if array.ndim == 2:
        return array
    counts = np.array([len(np.unique(plane)) for plane in labels])
    best = np.flatnonzero(counts == counts.max())
    return np.asarray(array[best[np.argmin(np.abs(best - (len(counts) - 1) / 2))]])


def training_pictures(image: AnnotatedImage, side: int) -> dict[str, bytes]:
    """Return the part of a training image with most cells as PNGs: ``plain`` and ``outlined``."""
    labels = shown_plane(image.labels, image.labels)
    area = _square((labels > 0).astype(np.float32), side)
    base = _enlarged(to_grey(shown_plane(image.image, image.labels))[area])
    outlined = base.copy()
    outlined[_edges(_resized(labels[area], base.shape[:2]))] = OUTLINE
    return {"plain": _png(base), "outlined": _png(outlined)}


def segmented_pictures(test: TestPicture, side: int) -> dict[str, bytes]:
    """Return the part of a test image where arms differ most, as PNGs.

    Returns
    -------
    dict of str to bytes
        ``image``, ``reference`` (outlined), and one per arm with the cells found, missed, invented and joined.

    Raises
    ------
    CytoCascadeError
        If labels are not of the shape of the image.
    """
    image, reference = test.annotated.image, test.annotated.labels
    for arm, labels in test.predicted.items():
        if labels.shape != reference.shape:
            raise CytoCascadeError(
                f"What '{arm}' found in '{test.annotated.name}' has the shape {labels.shape}, the image "
                f"{reference.shape}.",
                hint="Give labels of the image's own shape.",
            )
    wrong = {arm: mistakes(reference, labels) for arm, labels in test.predicted.items()}
    truth = shown_plane(reference, reference)
    planes = {arm: shown_plane(labels, reference) for arm, labels in test.predicted.items()}
    area = _square(_disagreement(truth, planes, wrong), side)
    base = _enlarged(to_grey(shown_plane(image, reference))[area])
    size = base.shape[:2]
    pictures = {"image": _png(base), "reference": _png(_outlined(base, _resized(truth[area], size), TRUTH))}
    for arm, labels in planes.items():
        pictures[arm] = _png(_marked(base, _resized(truth[area], size), _resized(labels[area], size), wrong[arm]))
    return pictures


def _png(pixels: Array) -> bytes:
    """Return pixels, (Y, X, 3), as a PNG in `_palette`: a third of the size, and no eye sees it."""
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette().ravel().tolist())
    stream = io.BytesIO()
    indexed = Image.fromarray(np.ascontiguousarray(pixels)).quantize(palette=palette, dither=Image.Dither.NONE)
    indexed.save(stream, format="PNG")
    return stream.getvalue()


def _palette() -> Array:
    """Return all colours of the pictures, (256, 3) uint8: greys, tinted greys, outlines."""
    greys = np.linspace(0, 255, 130)[:, None].repeat(3, axis=1)
    tinted = [
        _tinted(np.linspace(0, 255, 40)[:, None].repeat(3, axis=1), colour) for colour in (MISSED, MERGED, INVENTED)
    ]
    colours = np.concatenate([greys, *tinted, [FOUND, MISSED, INVENTED, MERGED, TRUTH, OUTLINE]])
    return np.asarray(np.round(colours), dtype=np.uint8)


def _tinted(pixels: Array, colour: tuple[int, int, int]) -> Array:
    return 0.68 * pixels + 0.32 * np.array(colour, dtype=np.float32)


def _areas(labels: Array) -> list[int]:
    sizes = np.bincount(labels.ravel())[1:]
    return [int(size) for size in sizes[sizes > 0]]


def _disagreement(truth: Array, planes: Mapping[str, Array], wrong: Mapping[str, Mistakes]) -> FloatArray:
    """Return where real alone and real + synthetic (or else any two arms) are not equally right."""
    synthetic = [arm for arm in planes if without_amount(arm) == "real+synthetic"][-1:]
    pair = [arm for arm in ("real", *synthetic) if arm in planes]
    arms = pair if len(pair) == 2 else list(planes)
    marks = np.zeros((max(1, len(arms)), *truth.shape), dtype=np.float32)
    for mark, arm in zip(marks, arms):
        mark[np.isin(truth, wrong[arm].missed) & (truth > 0)] = 1
        mark[np.isin(planes[arm], np.union1d(wrong[arm].invented, wrong[arm].merged)) & (planes[arm] > 0)] = 1
        mark[(mark == 0) & ((planes[arm] > 0) != (truth > 0))] = 0.5
    # The last term decides where arms agree: for a part with cells.
    return np.asarray(np.ptp(marks, axis=0) + 0.02 * (truth > 0), dtype=np.float32)


def _square(weight: FloatArray, side: int) -> tuple[slice, slice]:
    """Return the square of at most `side` pixels with the largest sum of weights; of several the first."""
    height, width = (min(side, size) for size in weight.shape)
    total = np.pad(weight.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(int(np.argmax(np.round(sums, 6))), sums.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def _enlarged(grey: FloatArray) -> Array:
    """Return a part of an image, [0, 1], at the size of the pictures, (H, W, 3) uint8."""
    zoom = SIDE / max(grey.shape)
    size = (max(1, round(grey.shape[1] * zoom)), max(1, round(grey.shape[0] * zoom)))
    large = Image.fromarray(np.ascontiguousarray(grey, dtype=np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.repeat(to_bytes(np.asarray(large))[..., None], 3, axis=2)


def _resized(labels: Array, size: tuple[int, ...]) -> Array:
    """Return labels at another size, by the nearest pixel."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, labels.shape))
    return np.asarray(labels[rows[:, None], columns[None]])


def _edges(labels: Array, *, thick: bool = True) -> Array:
    """Return the outlines inside the cells, 2 px wide if `thick`; neighbours keep theirs apart."""
    edge = find_boundaries(labels, mode="inner")
    if thick:
        edge |= find_boundaries(np.where(edge, 0, labels), mode="inner")
    return np.asarray(edge)


def _outlined(base: Array, labels: Array, colour: tuple[int, int, int]) -> Array:
    painted = base.copy()
    painted[_edges(labels)] = colour
    return painted


def _marked(base: Array, truth: Array, labels: Array, wrong: Mistakes) -> Array:
    """Return the cells found, with mistakes tinted; a thin white line is the reference."""
    painted = base.astype(np.float32)
    painted[_edges(truth, thick=False)] = TRUTH
    kinds = (
        (truth, wrong.missed, MISSED),
        (labels, np.setdiff1d(np.unique(labels[labels > 0]), np.union1d(wrong.invented, wrong.merged)), FOUND),
        (labels, wrong.merged, MERGED),
        (labels, wrong.invented, INVENTED),
    )
    for shown, chosen, colour in kinds:
        cells = np.where(np.isin(shown, chosen), shown, 0)
        if colour != FOUND:
            inside = cells > 0
            painted[inside] = _tinted(painted[inside], colour)
        painted[_edges(cells)] = colour
    return np.asarray(np.round(painted), dtype=np.uint8)
