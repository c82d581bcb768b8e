"""A small annotated data set from a shipped bundle, and one picture of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage as ndi

from cytocascade.cascade import Cascade
from cytocascade.export.manifest import MANIFEST_NAME
from cytocascade.generation_options import GenerationOptions
from cytocascade.images import read_image, read_mask
from cytocascade.pictures import (
    CAPTION,
    FAINT,
    GAP,
    INK,
    MARGIN,
    PAPER,
    label_colours,
    label_overlay,
    to_bytes,
    to_grey,
)
from cytocascade.storage import write_atomically
from cytocascade.types import AnnotatedImage, Array, FloatArray
from cytocascade.volume_pictures import volume_sheet

FORMATS = ("folder", "cellpose")
"""Formats of the demo's data set."""

SHEET_NAME = "contact_sheet.png"
"""File name of the picture."""

VOLUME_SHAPE = (28, 176, 176)
"""Voxels of the demo's volume."""


@dataclass(frozen=True)
class DemoResult:
    """What `run_demo` made.

    Attributes
    ----------
    dataset : Path
        Folder of the data set, with one sub-folder per format of `FORMATS`.
    sheet : Path
        The contact sheet, a PNG.
    images, cells : int
        How many of each there are.
    volume, volume_sheet : Path, optional
        Folder of the volume, and its picture.
    """

    dataset: Path
    sheet: Path
    images: int
    cells: int
    volume: Path | None = None
    volume_sheet: Path | None = None


def run_demo(
    out: Path,
    *,
    cascade: Cascade | None = None,
    count: int = 4,
    size: tuple[int, int] = (256, 256),
    seed: int = 1,
    workers: int = 2,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DemoResult:
    """Generate a small data set and draw its contact sheet.

    Parameters
    ----------
    out : Path
        Folder of the data set.
    cascade : Cascade, optional
        By default the shipped bundle ``nuclei``.
    count : int
        Number of images.
    size : tuple of int
        Pixels of each, (Y, X).
    seed : int
        Seed of everything random.
    workers : int
        Threads; without influence on the result.
    overwrite : bool
        Whether a data set that is there with other settings is replaced.
    progress : callable, optional
        Called with (images done, in all).

    Raises
    ------
    CytoCascadeError
        If `out` holds a data set with other settings and `overwrite` is false.
    """
    cascade = cascade or Cascade.from_pretrained("nuclei")
    options = GenerationOptions(size=size)
    cascade.write(
        count, out, formats=FORMATS, seed=seed, options=options, workers=workers, overwrite=overwrite, progress=progress
    )
    # Drawn from the files, as a user's tool would read them, not from memory.
    samples = [_read(out / FORMATS[0], path.name) for path in sorted((out / FORMATS[0] / "images").glob("*.tif"))]
    sheet = contact_sheet(samples, title=f"bundle {cascade.bundle.config.name}, seed {seed}")
    path = out / SHEET_NAME
    write_atomically(path, lambda temporary: Image.fromarray(sheet).save(temporary, format="PNG", optimize=True))
    cells = sum(int((np.unique(sample.labels) > 0).sum()) for sample in samples)
    return DemoResult(out, path, len(samples), cells)


def run_volume_demo(
    result: DemoResult,
    *,
    cascade: Cascade | None = None,
    shape: tuple[int, int, int] = VOLUME_SHAPE,
    seed: int = 1,
    workers: int = 2,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DemoResult:
    """Generate one small volume in the folder of a demo, and draw its planes and the surfaces of its cells.

    Parameters
    ----------
    result : DemoResult
        From `run_demo`.
    cascade : Cascade, optional
        By default the shipped bundle ``nuclei3d``.
    shape : tuple of int
        Voxels, (Z, Y, X).
    seed, workers, overwrite, progress
        As for `run_demo`.

    Returns
    -------
    DemoResult
        With the volume.
    """
    cascade = cascade or Cascade.from_pretrained("nuclei3d")
    folder = result.dataset / "volume"
    options = GenerationOptions(size=shape)
    cascade.write(1, folder, seed=seed, options=options, workers=workers, overwrite=overwrite, progress=progress)
    volume = _read(folder, "000000.tif")
    title = f"Generated volume   bundle {cascade.bundle.config.name}, seed {seed}"
    sheet = volume_sheet(volume.image, volume.labels, volume.spacing, title=title)
    path = result.dataset / "volume.png"
    write_atomically(path, lambda temporary: Image.fromarray(sheet).save(temporary, format="PNG", optimize=True))
    return replace(result, volume=folder, volume_sheet=path)


def contact_sheet(
    samples: Sequence[AnnotatedImage], *, title: str = "", tile: int = 256, columns: int = 4, close_ups: int = 8
) -> Array:
    """Draw images, the same images with their labels in colour, and single cells enlarged.

    Parameters
    ----------
    samples : sequence of AnnotatedImage
        2D images; the first `columns` are shown.
    title : str
        Goes into the first caption.
    tile : int
        Side of an image on the sheet, in pixels.
    columns, close_ups : int
        Number of images, and of enlarged cells.

    Returns
    -------
    ndarray, (H, W, 3) uint8
    """
    shown = list(samples[:columns])
    greys = [to_grey(sample.image) for sample in shown]
    plain = [_fitted(_rgb(grey), tile) for grey in greys]
    coloured = [_fitted(label_overlay(grey, sample.labels), tile) for grey, sample in zip(greys, shown)]
    width = len(shown) * (tile + GAP) - GAP
    wanted = max(1, min(close_ups, 2 * len(shown)))
    side = (width + GAP) // wanted - GAP
    chosen = choose_cells(shown, greys, wanted)
    half = max((_extent(sample.labels, label) for _, sample, label in chosen), default=0) // 2 + 5
    cells = [close_up(grey, sample.labels, label, half, side) for grey, sample, label in chosen]
    rows = [
        (f"Generated images   {title}".rstrip(), plain),
        ("Their instance labels", coloured),
        ("Single cells at one scale, outlined as labelled", cells),
    ]
    rows = [(caption, tiles) for caption, tiles in rows if tiles]
    height = sum(CAPTION + max(one.shape[0] for one in tiles) + GAP for _, tiles in rows) - GAP
    canvas = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN - GAP), PAPER)
    pen = ImageDraw.Draw(canvas)
    y = MARGIN - GAP
    for number, (caption, tiles) in enumerate(rows):
        pen.text((MARGIN, y + 4), caption, fill=INK if number == 0 else FAINT, font=ImageFont.load_default(15))
        y += CAPTION
        for column, picture in enumerate(tiles):
            canvas.paste(Image.fromarray(picture), (MARGIN + column * (picture.shape[1] + GAP), y))
        y += max(one.shape[0] for one in tiles) + GAP
    return np.asarray(canvas)


def choose_cells(
    samples: Sequence[AnnotatedImage], greys: Sequence[FloatArray], count: int
) -> list[tuple[FloatArray, AnnotatedImage, int]]:
    """Return `count` whole cells of all sizes: evenly spaced in the order of their areas."""
    found = []
    for grey, sample in zip(greys, samples):
        for label, box in enumerate(ndi.find_objects(np.asarray(sample.labels)), start=1):
            if box is None or any(axis.start == 0 or axis.stop == n for axis, n in zip(box, sample.labels.shape)):
                continue
            found.append((int((sample.labels[box] == label).sum()), sample.name, label, grey, sample))
    found.sort(key=lambda entry: entry[:3])
    # The smallest and largest tenth may be odd ones; the rest is what a typical cell looks like.
    spread = np.linspace(0.1, 0.95, count if found else 0) * (len(found) - 1) + 0.5
    rows = sorted({int(value) for value in spread})
    return [(found[row][3], found[row][4], found[row][2]) for row in rows]


def close_up(grey: FloatArray, labels: Array, label: int, half: int, side: int) -> Array:
    """Return one cell enlarged, with the outline of its label.

    Parameters
    ----------
    grey, labels : ndarray, (Y, X)
        The image in [0, 1] and its labels.
    label : int
        The cell.
    half : int
        Half the width of what is shown around the cell, in pixels of the image.
    side : int
        Width of the result.

    Returns
    -------
    ndarray, (side, side, 3) uint8
    """
    mask = labels == label
    centre = [(axis.start + axis.stop) // 2 for axis in ndi.find_objects(mask.astype(np.uint8))[0]]
    window = tuple(slice(c, c + 2 * half) for c in centre)  # padding moves everything by `half`
    picture = _enlarged(np.pad(grey, half, mode="reflect")[window], side)[..., None]
    soft = _enlarged(ndi.gaussian_filter(np.pad(mask, half)[window].astype(np.float32), 0.6), side)
    slope = np.maximum(np.hypot(*np.gradient(soft)), 1e-3)
    line = np.clip(1.4 - np.abs(soft - 0.5) / slope, 0, 1)[..., None]
    return to_bytes((1 - line) * picture + line * label_colours(np.asarray(label)))


def describe_demo(result: DemoResult) -> str:
    """Return where to look, as plain text."""
    lines = [
        f"{result.images} images with {result.cells} annotated cells: {result.dataset}",
        f"  {'contact sheet':<16}{result.sheet}",
        *(f"  {name:<16}{result.dataset / name}" for name in FORMATS),
        f"  {'data card':<16}{result.dataset / 'README.md'}",
        f"  {'manifest':<16}{result.dataset / MANIFEST_NAME}",
        *(
            [f"One volume: {result.volume}", f"  {'its planes':<16}{result.volume_sheet}"]
            if result.volume is not None
            else []
        ),
        f"One of them again, byte for byte: cytocascade replay '{result.dataset / MANIFEST_NAME}#0' --out replayed",
    ]
    return "\n".join(lines)


def _read(folder: Path, name: str) -> AnnotatedImage:
    """Read one sample; unlike `read_dataset` this does not mind if there are too few cells to learn from."""
    image, spacing = read_image(folder / "images" / name)
    return AnnotatedImage(image, read_mask(folder / "masks" / name), spacing or (1.0,) * image.ndim, name)


def _rgb(grey: FloatArray) -> Array:
    return to_bytes(np.repeat(grey[..., None], 3, axis=2))


def _extent(labels: Array, label: int) -> int:
    box = ndi.find_objects((labels == label).astype(np.uint8))[0]
    return int(max(axis.stop - axis.start for axis in box))


def _enlarged(values: FloatArray, side: int) -> FloatArray:
    picture = Image.fromarray(np.asarray(values, dtype=np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(picture, dtype=np.float32), 0, 1)


def _fitted(picture: Array, tile: int) -> Array:
    """Cut the middle square out and bring it to `tile` pixels."""
    side = min(picture.shape[:2])
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    square = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(square if side == tile else square.resize((tile, tile), Image.Resampling.LANCZOS))
