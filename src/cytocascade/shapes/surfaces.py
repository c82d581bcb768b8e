"""From the masks of cells to their surfaces, by one of three priors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.multiview import MultiViewDenoiser
from cytocascade.shapes.neus import NeusSettings
from cytocascade.shapes.priors import ellipsoid_surface, hull_surfaces, learned_surfaces
from cytocascade.shapes.sampling import VIEW_STEPS, frame_masks, sample_views
from cytocascade.shapes.statistics import Kind
from cytocascade.types import CellSurface, FloatArray

ShapePrior = Literal["multiview", "hull", "ellipsoid"]

SHAPE_PRIORS: tuple[ShapePrior, ...] = get_args(ShapePrior)
"""``multiview``: diffusion of views, then NeuS. ``hull``: the visual hull of the same views. ``ellipsoid``: the mask
inflated."""


def make_surfaces(
    prior: ShapePrior,
    model: MultiViewDenoiser | None,
    distance: FloatArray,
    crop_spacing: float | Sequence[float],
    ratios: FloatArray,
    seeds: Sequence[int],
    *,
    kind: Kind = "nucleus",
    size_known: bool = True,
    steps: int = VIEW_STEPS,
    workers: int = 1,
) -> list[CellSurface]:
    """Return a surface for every mask.

    Parameters
    ----------
    prior : {"multiview", "hull", "ellipsoid"}
        How.
    model : MultiViewDenoiser or None
        Trained multi-view diffusion; not needed for ``ellipsoid``.
    distance : ndarray, (n, S, S) float32
        Signed distances of the masks, in canonical pixels, positive inside: the cells seen along z.
    crop_spacing : float, or one per mask
        Micrometres per canonical pixel.
    ratios : ndarray, (n,) float32
        Axial ratios.
    seeds : sequence of int
        One per cell.
    kind : {"nucleus", "cell"}
        What the cells are.
    size_known : bool
        Whether `crop_spacing` is true micrometres.
    steps : int
        Network evaluations per cell.
    workers : int
        Threads; without influence on the result.

    Returns
    -------
    list of CellSurface
        In micrometres; their origin is the middle of the masks' crop.
    """
    if prior == "ellipsoid":
        spacings = np.broadcast_to(crop_spacing, len(distance)).astype(float)
        return [
            ellipsoid_surface(one, float(spacing), axial_ratio=float(ratio))
            for one, spacing, ratio in zip(distance, spacings, ratios, strict=True)
        ]
    if model is None:
        raise CytoCascadeError(
            f"the shape prior {prior!r} needs the multi-view network of a 3D bundle",
            hint="Take --bundle nuclei3d, or --shape-prior ellipsoid.",
        )
    framed = frame_masks(distance, crop_spacing, ratios)
    views = sample_views(model, framed, seeds, kind=kind, size_known=size_known, steps=steps, workers=workers)
    if prior == "hull":
        return hull_surfaces(views, framed.mask, framed.frames, camera_distance=model.camera_distance)
    settings = NeusSettings(camera_distance=model.camera_distance)
    return learned_surfaces(views, framed.mask, framed.frames, settings=settings, workers=workers)
