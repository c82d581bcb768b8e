"""Imported shapes on their way to files: each one's size, and the row that tells where it is from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.canonical import feret_diameter
from cytocascade.shapes.imported import ImportedShape, ImportOptions, find_shapes, import_shape, shape_name
from cytocascade.volumes.shape_files import MadeShape
from cytocascade.volumes.shape_library import LARGEST, ShapeMask

Plan = Sequence[tuple[Path, ImportOptions]]
"""Files or folders of one shape each, and how each is imported."""


def plan_imports(path: Path, options: Callable[..., ImportOptions], masks: Sequence[ShapeMask] | None = None) -> Plan:
    """Return what a file or folder holds to be imported.

    Parameters
    ----------
    path : Path
        See `imported.find_shapes`.
    options : callable
        Returns how shapes are imported. With masks it is called with ``area``, for every shape.
    masks : sequence of ShapeMask, optional
        The masks that the shapes were made from, see `mask_areas`.

    Raises
    ------
    CytoCascadeError
        If there is nothing to import, or a shape has no mask.
    """
    paths = find_shapes(path)
    if masks is None:
        one = options()
        return [(path, one) for path in paths]
    return [(path, options(area=area)) for path, area in zip(paths, mask_areas(paths, masks))]


def import_shapes(plan: Plan, voxel: tuple[float, float, float] | None = None) -> Iterator[MadeShape]:
    """Import shapes, one after the other.

    Parameters
    ----------
    plan : Plan
        From `plan_imports`.
    voxel : tuple of float, optional
        Micrometres per voxel of the volumes, (z, y, x); by default cubes, of which 52 are as long as the cell seen
        along z.

    Yields
    ------
    MadeShape
    """
    for path, wished in plan:
        shape = import_shape(path, wished)
        side = _extent(shape) / LARGEST
        yield MadeShape(shape.name, shape.surface, voxel or (side, side, side), _notes(path, shape))


def _extent(shape: ImportedShape) -> float:
    seen = (shape.surface.distance > 0).any(axis=0)
    return feret_diameter(np.argwhere(seen)) * shape.surface.step


def _notes(path: Path, shape: ImportedShape) -> dict[str, str]:
    return {
        "source": path.name,
        "micrometres_per_unit": f"{shape.unit:.6g}",
        "repairs": "; ".join(shape.repairs),
        "view_agreement": "" if shape.agreement is None else f"{shape.agreement:.4f}",
    }


def mask_areas(paths: Sequence[Path], masks: Sequence[ShapeMask]) -> list[float]:
    """Return the areas of the masks that shapes were made from, in square micrometres.

    Parameters
    ----------
    paths : sequence of Path
        From `imported.find_shapes`.
    masks : sequence of ShapeMask
        From `shape_library.read_shape_masks`. The mask of the shape ``x_0003`` is label 3 of ``x.tif``, that of ``x``
        the only cell of ``x.tif``.

    Raises
    ------
    CytoCascadeError
        If a shape has no mask.
    """
    areas = {mask.name: _area(mask) for mask in masks}
    images = [mask.name.rpartition("_")[0] for mask in masks]
    areas |= {image: areas[mask.name] for image, mask in zip(images, masks) if images.count(image) == 1}
    lone = next((path for path in paths if shape_name(path) not in areas), None)
    if lone is not None:
        raise CytoCascadeError(
            "no mask belongs to this shape",
            path=lone,
            hint=f"Name it as its cell ({', '.join(sorted(areas)[:3])}), or give --diameter instead of --masks.",
        )
    return [areas[shape_name(path)] for path in paths]


def _area(mask: ShapeMask) -> float:
    # Pixels at the outline count in part.
    return float(np.clip(mask.distance + 0.5, 0, 1).sum(dtype=np.float64)) * mask.spacing**2
