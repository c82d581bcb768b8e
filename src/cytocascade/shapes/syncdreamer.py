"""SyncDreamer's conventions: its cameras, its world, and the pictures of sixteen views that it writes.

After Liu et al., arXiv 2309.03453, and the code that they released. Their cameras are the ring of `cameras`, as
pinholes: 256 x 256 pixels, focal length 280 pixels, principal point in the middle, 1.5 units from the origin. The
world's z points upwards, camera 0 stands over x, and objects are scaled to a longest side of 1 around the origin.
Meshes are in the same world. ``generate.py`` writes the views side by side, 4096 x 256 pixels; 4 x 4 views, row by row,
and folders of sixteen numbered files are in use too. The background is white.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage as ndi
from torch import Tensor

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.cameras import VIEWS, pixel_centres
from cytocascade.shapes.canonical import FILL
from cytocascade.shapes.closing import single_body
from cytocascade.shapes.distances import redistance
from cytocascade.shapes.views import TRUNCATION
from cytocascade.types import Array, BoolArray, FloatArray

VIEW_SIDE = 256
"""Pixels of a view along u and v, as SyncDreamer writes them."""

FOCAL = 280.0
"""Focal length in pixels of such a view."""

CAMERA_DISTANCE = 1.5
"""Units from the cameras to the origin."""

HALF_FIELD = CAMERA_DISTANCE * 0.5 * VIEW_SIDE / FOCAL
"""Units from the middle of a view to its border, at the origin's depth."""

CANONICAL_DISTANCE = CAMERA_DISTANCE / HALF_FIELD
"""The same in canonical units, where the canonical cube fills the views: what NeuS and the multi-view network take."""

LEAST_SIDE = 128
"""Fewest pixels of a view along u and v: smaller ones are something else."""

BACKGROUND = 0.05
"""How far from white the background may be, of 1."""

_GRID = 4
_LEAST_SEEN = 1e-3
_EDGE = 2


@dataclass(frozen=True)
class SyncDreamerViews:
    """Sixteen views of one object.

    Attributes
    ----------
    coverage : ndarray, (16, S, S) float32
        Share of each pixel that the object covers, in [0, 1].
    grey : ndarray, (16, S, S) float32
        Brightness in [0, 1]; 1 is the white background.
    """

    coverage: FloatArray
    grey: FloatArray


def read_views(path: Path) -> SyncDreamerViews:
    """Read the views of one object.

    Parameters
    ----------
    path : Path
        A picture of 16 x 1 or 4 x 4 views, camera 0 first; or a folder of sixteen pictures, in the order of their
        names. A transparent background counts as white.

    Raises
    ------
    CytoCascadeError
        If the file is missing, no picture, of another size, or a view is empty, cut by its border, or not on white.
    """
    pixels = _read_folder(path) if path.is_dir() else _split(_read_picture(path), path)
    coverage = np.stack([_coverage(one, number, path) for number, one in enumerate(pixels)])
    grey = pixels[..., :3].mean(axis=-1) * pixels[..., 3] + 1 - pixels[..., 3]
    return SyncDreamerViews(coverage, grey.astype(np.float32))


def is_view_folder(path: Path) -> bool:
    """Return whether a folder holds the views of one object: sixteen pictures with numbers for names, nothing else."""
    return path.is_dir() and len(files := _pictures(path)) == VIEWS and all(file.stem.isdigit() for file in files)


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() == ".png" and not file.name.startswith("."))


def _read_folder(folder: Path) -> FloatArray:
    files = _pictures(folder)
    if len(files) != VIEWS:
        raise CytoCascadeError(
            f"the folder holds {len(files)} pictures, not {VIEWS} views", path=folder, hint="Give 000.png to 015.png."
        )
    pixels = [_read_picture(file) for file in files]
    if any(one.shape != pixels[0].shape or one.shape[0] != one.shape[1] for one in pixels):
        raise CytoCascadeError("the views are not squares of one size", path=folder, hint="Give views of 256 x 256.")
    return np.stack(pixels)


def _read_picture(path: Path) -> FloatArray:
    """Return colours and opacity, (H, W, 4) in [0, 1]."""
    if not path.is_file():
        raise CytoCascadeError("there is no such file", path=path)
    try:
        with Image.open(path) as picture:
            deep = picture.mode[0] in "IF"
            pixels = None if deep else np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
    except Exception as error:  # Pillow raises whatever its parsers meet.
        raise CytoCascadeError(f"cannot be read as a picture ({error})", path=path) from error
    if pixels is None:
        raise CytoCascadeError("the picture has more than 8 bits", path=path, hint="Give SyncDreamer's own PNG.")
    return pixels


def _split(pixels: FloatArray, path: Path) -> FloatArray:
    """Return the views of a picture, (16, S, S, 4)."""
    height, width = pixels.shape[:2]
    rows = _GRID if width == height else 1
    side = height // rows
    if side * rows != height or side * (VIEWS // rows) != width or side < LEAST_SIDE:
        raise CytoCascadeError(
            f"a picture of {width} x {height} pixels is no grid of {VIEWS} views",
            path=path,
            hint=f"SyncDreamer writes {VIEWS * VIEW_SIDE} x {VIEW_SIDE}; {_GRID} x {_GRID} views have "
            f"{_GRID * VIEW_SIDE} x {_GRID * VIEW_SIDE}, and a view at least {LEAST_SIDE} pixels a side.",
        )
    split = pixels.reshape(rows, side, VIEWS // rows, side, 4).swapaxes(1, 2)
    return split.reshape(VIEWS, side, side, 4)


def _coverage(pixels: FloatArray, number: int, path: Path) -> FloatArray:
    """Return which share of every pixel of a view the object covers, (S, S)."""
    opacity = pixels[..., 3]
    if opacity.min() < 1:
        strength, seen = opacity, opacity > 0.5
    else:
        strength = 1 - pixels[..., :3].min(axis=-1)
        seen = strength > BACKGROUND
        if _border(seen).mean() > 0.5:
            raise CytoCascadeError(f"the background of view {number} is not white", path=path, hint=_WHITE)
    if seen.mean() < _LEAST_SEEN:
        raise CytoCascadeError(f"view {number} is empty", path=path, hint="Every view must show the cell.")
    body = single_body(seen)
    if _border(body).any():
        raise CytoCascadeError(f"the cell is cut by the border of view {number}", path=path, hint=_CUT)
    # The object is as strong at its edge as beside it; what is weaker there is covered in part.
    around = ndi.binary_dilation(body)
    strength = strength - np.median(strength[~around])
    beside = np.maximum(ndi.maximum_filter(strength * body, 2 * _EDGE + 1), 1e-6)
    inner = ndi.binary_erosion(body, iterations=_EDGE)
    return np.where(inner, 1.0, np.where(around, np.clip(strength / beside, 0, 1), 0.0)).astype(np.float32)


_WHITE = "Give SyncDreamer's own PNG, or one with a transparent background."
_CUT = "Run SyncDreamer with a smaller --crop_size, for example 180."


def _border(mask: BoolArray) -> BoolArray:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def to_canonical(views: SyncDreamerViews, size: int) -> tuple[Tensor, float]:
    """Return views as NeuS takes them, in the smallest cube around the origin that holds the object.

    Parameters
    ----------
    views : SyncDreamerViews
    size : int
        Pixels of the result along u and v.

    Returns
    -------
    views : Tensor, (1, 16, 3, size, size) float32
        Silhouette fields (see `views.render_views`); depths are not known, and 0. Cameras are
        ``CAMERA_DISTANCE / half`` canonical units from the origin.
    half : float
        Units of SyncDreamer's world per canonical unit.
    """
    side = views.coverage.shape[-1]
    reach = max(np.abs(_offsets(np.flatnonzero(_profile(views.coverage, axis)), side)).max() for axis in (1, 2))
    crop = min(1.0, float(reach + 1 / side) / FILL)
    where = (pixel_centres(size).numpy() * crop + 1) * (side / 2) - 0.5
    points = np.stack(np.meshgrid(where, where, indexing="ij"))
    fields = np.zeros((VIEWS, 3, size, size), dtype=np.float32)
    for field, one in zip(fields, views.coverage):
        distance = redistance(one - 0.5, 2.0 / side / crop)
        field[0] = ndi.map_coordinates(distance, points, order=1, mode="nearest").clip(-TRUNCATION, TRUNCATION)
    return torch.from_numpy(fields)[None], HALF_FIELD * crop


def _profile(coverage: FloatArray, axis: int) -> BoolArray:
    return np.asarray((coverage > 0.5).any(axis=(0, axis)))


def _offsets(index: Array, side: int) -> Array:
    return np.asarray((index + 0.5) * (2 / side) - 1)
