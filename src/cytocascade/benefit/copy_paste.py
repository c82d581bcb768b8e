"""Copy-paste: the real cells on real background, arranged anew (Ghiasi et al., CVPR 2021; Dwibedi et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage as ndi
from skimage.segmentation import relabel_sequential

from cytocascade.benefit.clippings import (
    Clipping,
    Move,
    Sheet,
    completed,
    cut_cells,
    edge_falloff,
    emptied,
    moved,
    prepare_sheet,
    trimmed,
)
from cytocascade.errors import CytoCascadeError
from cytocascade.images.background import unlabelled_foreground
from cytocascade.images.cells import Modality, detect_modality
from cytocascade.imaging.output import fit_output, quantise
from cytocascade.imaging.texture import smooth_inside
from cytocascade.population import PlacedCell, visible_part
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.types import AnnotatedImage, Array, BoolArray, FloatArray, label_dtype

MORE_CELLS = 2.0
"""Most cells of an image, relative to the real image it starts from."""

REARRANGED = (0.75, 1.5)
"""Cells of an image whose own cells were removed, relative to the real image."""

MOST_ZOOM, MOST_GAIN = 0.15, 0.2
"""How far lengths and light of pasted cells are changed."""

LEAST_EXPOSED, ENOUGH = 0.75, 15
"""Cells in contact with others are left out where there are enough cells that are free all around."""

TRIALS = 300
"""Places that are tried for one cell before it is given up."""

LEAST_SEEN = 0.4
"""Part of a cell that lies within the frame at least."""

MOST_SLIDE = 3.0
"""How far a cell is slid to touch another one, relative to its size."""

_SMOOTH = 1.0
_OCCUPIED = -1


def copy_paste(
    images: Sequence[AnnotatedImage], index: int, *, seed: int, shape: tuple[int, ...] | None = None
) -> AnnotatedImage:
    """Make one copy-paste image; for several, prepare the images once with `CopyPaste`.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        The budget's real images, or volumes.
    index, seed : int
        Position in the data set, and its seed: with the images they determine the result.
    shape : tuple of int, optional
        Pixels of the result; by default those of the real image that it starts from.
    """
    return CopyPaste(images).make(index, seed=seed, shape=shape)


class CopyPaste:
    """Real images, prepared for copy-paste.

    Images of even index start from a real image with all its cells, and real cells are added on its free background.
    Those of odd index start from a real image whose cells were removed, and cells are laid down anew.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        2D images, or volumes; all of one kind and dtype.

    Raises
    ------
    CytoCascadeError
        If there are no images, or none has a labelled cell.
    """

    def __init__(self, images: Sequence[AnnotatedImage]) -> None:
        if not images or not any(image.labels.any() for image in images):
            raise CytoCascadeError(
                "copy-paste needs at least one annotated cell", hint="Give images with labelled cells."
            )
        self.modality: Modality = detect_modality(images) if images[0].image.ndim == 2 else "fluorescence"
        self.output = fit_output([image.image for image in images])
        self.sheets = [prepare_sheet(image) for image in images]
        self.cells = self._clippings()
        self.contact = float(np.mean([touching_share(image.labels) for image in images if image.labels.any()]))

    def _clippings(self) -> list[Clipping]:
        """Return whole cells, those that are free all around if there are enough; cut ones if there are no others."""
        cells = [cell for sheet in self.sheets for cell in cut_cells(sheet)]
        if not cells:
            cells = [cell for sheet in self.sheets for cell in cut_cells(sheet, cut_ones=True)]
        lonely = [cell for cell in cells if cell.exposed >= LEAST_EXPOSED]
        cells = lonely if len(lonely) >= max(ENOUGH, len(cells) // 2) else cells
        if self.modality == "phase":
            return cells
        falloff = edge_falloff(cells)
        return [completed(cell, falloff) for cell in cells]

    def make(self, index: int, *, seed: int, shape: tuple[int, ...] | None = None) -> AnnotatedImage:
        """Return image `index` of the data set `seed`; see `copy_paste`."""
        return self.render(self.draw(index, seed=seed, shape=shape))

    def draw(self, index: int, *, seed: int, shape: tuple[int, ...] | None = None) -> dict[str, Any]:
        """Draw everything random about an image; the result holds JSON values only.

        Raises
        ------
        CytoCascadeError
            If no real image is as large as `shape`.
        """
        generator = numpy_generator(seed, "copy-paste", index)
        base = int(generator.choice(self._large_enough(shape)))
        sheet, wanted = self.sheets[base], shape or self.sheets[base].source.image.shape
        kept = index % 2 == 0
        own = len(np.unique(sheet.source.labels[sheet.source.labels > 0]))
        share = float(np.prod(wanted)) / sheet.source.image.size
        low, high = (1.0, MORE_CELLS) if kept else REARRANGED
        count = max(1, round(max(own, 1) * share * float(generator.uniform(low, high))))
        upside_down = bool(sheet.source.image.ndim == 3 and generator.random() < 0.5)
        return {
            "index": index,
            "base": base,
            "kept": kept,
            "shape": [int(side) for side in wanted],
            "corner": [float(value) for value in generator.random(len(wanted))],
            "base_move": self._draw_symmetry(sheet, generator, upside_down),
            "count": count,
            # Some find no place, so there are more of them than are needed.
            "cells": [self._draw_cell(generator, upside_down) for _ in range(count + count // 2 + 3)],
            "place_seed": derive_seed(seed, "copy-paste", index, "places"),
        }

    def _large_enough(self, shape: tuple[int, ...] | None) -> list[int]:
        sizes = [sheet.source.image.shape for sheet in self.sheets]
        usable = [
            number
            for number, size in enumerate(sizes)
            if shape is None or (len(size) == len(shape) and all(a >= b for a, b in zip(size, shape)))
        ]
        if not usable:
            raise CytoCascadeError(
                f"no real image is as large as {'x'.join(map(str, shape or ()))}",
                hint="Copy-paste shows real background: wish at most the size of the real images.",
            )
        return usable

    @staticmethod
    def _draw_symmetry(sheet: Sheet, generator: np.random.Generator, upside_down: bool) -> dict[str, Any]:
        (rows, columns), (y, x) = sheet.source.image.shape[-2:], sheet.source.spacing[-2:]
        # A quarter turn must change neither the frame nor the pixels.
        turn = int(generator.integers(4)) if rows == columns and y == x else 2 * int(generator.integers(2))
        mirrored = bool(generator.random() < 0.5)
        return {"angle": 90.0 * turn, "mirrored": mirrored, "upside_down": upside_down, "zoom": 1.0, "gain": 1.0}

    def _draw_cell(self, generator: np.random.Generator, upside_down: bool) -> dict[str, Any]:
        exact = bool(generator.random() < 0.5)
        angle = 90.0 * int(generator.integers(4)) if exact else float(generator.uniform(0, 360))
        zoom = 1.0 if exact else float(generator.uniform(1 - MOST_ZOOM, 1 + MOST_ZOOM))
        return {
            "cell": int(generator.integers(len(self.cells))),
            "angle": angle,
            "mirrored": bool(generator.random() < 0.5),
            "upside_down": upside_down,
            "zoom": zoom,
            "gain": float(generator.uniform(1 - MOST_GAIN, 1 + MOST_GAIN)),
            "touching": bool(generator.random() < self.contact),
        }

    def render(self, params: dict[str, Any]) -> AnnotatedImage:
        """Return the image that `draw` drew: the same params give the same bytes."""
        sheet = self.sheets[params["base"]]
        generator = numpy_generator(params["place_seed"])
        canvas, background, labels = self._start(sheet, params, generator)
        occupied = labels.copy()
        if sheet.source.sparse and params["kept"]:
            hidden = unlabelled_foreground(canvas, np.maximum(labels, 0))
            occupied[hidden & (labels == 0)] = _OCCUPIED
        present = int(labels.max(initial=0))
        planes = sheet.source.image.shape[0]
        for drawn in params["cells"]:
            if present >= params["count"]:
                break
            move = Move(**{name: drawn[name] for name in ("angle", "mirrored", "upside_down", "zoom", "gain")})
            cell = self.cells[drawn["cell"]]
            laid = trimmed(moved(cell, move))
            plane = planes - cell.plane - len(cell.light) if move.upside_down else cell.plane
            corner = find_place(laid.depth > 0, occupied, generator, plane=plane, touching=drawn["touching"])
            if corner is None:
                continue
            present += 1
            lay_down(laid, corner, present, canvas, background, labels, occupied, rim=sheet.rim, modality=self.modality)
        final, _, _ = relabel_sequential(labels)
        return AnnotatedImage(
            image=quantise(canvas, self.output),
            labels=final.astype(label_dtype(int(final.max(initial=0)))),
            spacing=sheet.source.spacing,
            name=f"copy-paste-{params['index']:04d}",
            spacing_known=sheet.source.spacing_known,
            sparse=sheet.source.sparse and params["kept"],
        )

    @staticmethod
    def _start(
        sheet: Sheet, params: dict[str, Any], generator: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, Array]:
        """Return the image to paste on, its background and its labels (int32), turned and cropped as drawn."""
        image, kept, move = sheet.source, params["kept"], Move(**params["base_move"])
        canvas = np.asarray(image.image, dtype=np.float32) if kept else emptied(sheet, generator)
        labels = image.labels.astype(np.int32) if kept else np.zeros(image.labels.shape, dtype=np.int32)

        def seen(part: Array) -> Array:
            turned = part[..., ::-1] if move.mirrored else part
            turned = turned[::-1] if move.upside_down else turned
            turned = np.rot90(turned, round(move.angle / 90) % 4, axes=(-2, -1))
            window = []
            for share, whole, side in zip(params["corner"], turned.shape, params["shape"]):
                first = int(share * (whole - side + 1))
                window.append(slice(first, first + side))
            return turned[tuple(window)].copy()

        return seen(canvas), seen(sheet.background), relabel_sequential(seen(labels))[0].astype(np.int32)


def touching_share(labels: Array) -> float:
    """Return the share of the cells that are at most two pixels away from another one."""
    near: set[int] = set()
    for axis in range(labels.ndim - 2, labels.ndim):
        for step in (1, 2, 3):
            a, b = np.swapaxes(labels, 0, axis)[:-step], np.swapaxes(labels, 0, axis)[step:]
            meet = (a != b) & (a > 0) & (b > 0)
            near |= set(np.unique(a[meet]).tolist()) | set(np.unique(b[meet]).tolist())
    count = len(np.unique(labels[labels > 0]))
    return len(near) / count if count else 0.0


def find_place(
    mask: BoolArray, occupied: Array, generator: np.random.Generator, *, plane: int = 0, touching: bool = False
) -> tuple[int, ...] | None:
    """Return the corner of a free place for a mask, or None.

    Parameters
    ----------
    mask : ndarray of bool
        The cell in its box.
    occupied : ndarray of int
        0 where a cell may lie.
    generator : numpy.random.Generator
        Draws the places that are tried.
    plane : int
        First plane, in volumes, about which the cell is laid: cells keep the height that they had.
    touching : bool
        Whether it is then slid towards the nearest cell until it touches it.
    """
    whole = int(mask.sum())
    if not whole:
        return None
    middle = np.array(ndi.center_of_mass(mask))
    for _ in range(TRIALS):
        corner = np.rint(generator.random(mask.ndim) * occupied.shape - middle).astype(int)
        if mask.ndim == 3:
            jitter = max(1, len(occupied) // 10)
            corner[0] = int(
                np.clip(plane + generator.integers(-jitter, jitter + 1), 0, max(len(occupied) - len(mask), 0))
            )
        if _free(mask, occupied, corner, whole):
            return _slid(mask, occupied, corner, whole) if touching else tuple(int(a) for a in corner)
    return None


def _free(mask: BoolArray, occupied: Array, corner: Array, whole: int) -> bool:
    window, part = visible_part(_placed(corner), mask, occupied.shape)
    seen = mask[part]
    return int(seen.sum()) >= LEAST_SEEN * whole and not bool((occupied[window][seen] != 0).any())


def _placed(corner: Sequence[int] | Array) -> PlacedCell:
    place = tuple(int(a) for a in corner)
    return PlacedCell(index=0, corner=place, placement="alone", gap=None, measured_gap=None)


def _slid(mask: BoolArray, occupied: Array, corner: Array, whole: int) -> tuple[int, ...]:
    """Move a mask in the plane towards the nearest cell, pixel by pixel, as far as it is free."""
    middle = corner + np.array(ndi.center_of_mass(mask))
    reach = MOST_SLIDE * max(mask.shape[-2:])
    box = tuple(
        slice(max(int(m - reach), 0), max(int(m + reach) + 1, 0)) if axis >= mask.ndim - 2 else slice(None)
        for axis, m in enumerate(middle)
    )
    cells = occupied[box] > 0
    flat = cells.any(axis=0) if mask.ndim == 3 else cells
    where = np.argwhere(flat) + [side.start for side in box[-2:]]
    if not len(where):
        return tuple(int(a) for a in corner)
    offset = where - middle[-2:]
    away = np.hypot(*offset.T)
    direction = offset[int(np.argmin(away))] / max(float(away.min()), 1.0)
    best = corner
    for step in range(1, int(reach)):
        tried = corner.copy()
        tried[-2:] += np.rint(step * direction).astype(int)
        if not _free(mask, occupied, tried, whole):
            break
        best = tried
    return tuple(int(a) for a in best)


def lay_down(
    cell: Clipping,
    corner: Sequence[int],
    label: int,
    canvas: FloatArray,
    background: FloatArray,
    labels: Array,
    occupied: Array,
    *,
    rim: float,
    modality: Modality,
) -> None:
    """Paste one cell, in place.

    Fluorescence adds: the cell's light comes on top of the background and of the light that other cells throw there,
    fading out over the rim; noise is taken from the cell inside its outline, from the canvas outside, and mixed by the
    roots of their shares in between, so that it is as strong everywhere. Phase contrast replaces: the cell and its
    halo are feathered into the canvas.

    Parameters
    ----------
    cell : Clipping
        The cell as it is to lie.
    corner : sequence of int
        Where its box begins; it may reach over the frame.
    label : int
        Its label.
    canvas, background : ndarray of float32
        Image so far and its local background.
    labels, occupied : ndarray of int
        Labels so far, and the same with pixels that must stay free of cells.
    rim : float
        How far light reaches outside the outline, in pixels.
    modality : {"fluorescence", "phase"}
        How light and background are joined.
    """
    window, part = visible_part(_placed(corner), np.broadcast_to(True, cell.depth.shape), canvas.shape)
    depth, light, view = cell.depth[part], cell.light[part], canvas[window]
    vacant = labels[window] == 0
    ramp = np.clip(1 + depth / rim, 0, 1)
    weight = np.where(depth > 0, 1.0, ramp * ramp * (3 - 2 * ramp) * cell.own[part]).astype(np.float32)
    if modality == "phase":
        share = weight * vacant
        view += share * (background[window] + light - view)
    else:
        fine = [0.0] * (light.ndim - 2) + [_SMOOTH, _SMOOTH]
        calm = np.where(depth > 0, light, ndi.gaussian_filter(light, fine))
        around, known = _calm(view, vacant)
        mixed = np.where(vacant & known, weight, 0.0)
        noise = np.sqrt(1 - mixed) * (view - around) + np.sqrt(mixed) * (light - calm)
        # On other cells only light is added.
        view[:] = np.where(vacant & known, around + noise, view) + weight * calm
    here = (depth > 0) & vacant
    labels[window][here] = label
    occupied[window][here] = label


def _calm(values: FloatArray, vacant: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Return the values without their noise, averaged over what is no cell, and where that is known."""
    if values.ndim == 3:
        planes = [_calm(plane, free) for plane, free in zip(values, vacant)]
        return np.stack([plane for plane, _ in planes]), np.stack([known for _, known in planes])
    smooth, share = smooth_inside(values, vacant, _SMOOTH)
    return smooth, share > 0.05
