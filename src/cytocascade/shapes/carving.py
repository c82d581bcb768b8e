"""From SyncDreamer's views to a surface: by NeuS, or as their visual hull."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.closing import close_body
from cytocascade.shapes.fusion import fuse_views
from cytocascade.shapes.neus import NeusSettings, reconstruct
from cytocascade.shapes.syncdreamer import CAMERA_DISTANCE, SyncDreamerViews, to_canonical
from cytocascade.shapes.views import render_views
from cytocascade.types import CellSurface

Carving = Literal["neus", "hull"]

CARVINGS: tuple[Carving, ...] = get_args(Carving)
"""``neus``: the smooth surface that shows the silhouettes best. ``hull``: all that no silhouette excludes."""

NODES = 64
"""Nodes of a surface's grid along each axis."""

VIEW_PIXELS = 64
"""Pixels of a view along u and v that NeuS sees."""

LEAST_AGREEMENT = 0.5
"""Intersection over union of the surface's silhouettes and the views', below which the views show no one body."""

SETTINGS = NeusSettings(content="silhouettes", nodes=40, iterations=160, rays=2048, samples=56, learning_rate=0.02)
"""How surfaces are fitted to silhouettes."""


@dataclass(frozen=True)
class CarvedViews:
    """A surface and the views that it was made from.

    Attributes
    ----------
    surface : CellSurface
        In units of SyncDreamer's world, its origin that of the world.
    agreement : float
        Intersection over union of its silhouettes with those of the views, over all sixteen.
    """

    surface: CellSurface
    agreement: float


def carve_views(
    views: SyncDreamerViews, how: Carving = "neus", *, nodes: int = NODES, settings: NeusSettings = SETTINGS
) -> CarvedViews:
    """Return the surface that sixteen views show.

    The views' pictures are used as silhouettes alone: SyncDreamer's shading is not that of a microscope.

    Parameters
    ----------
    views : SyncDreamerViews
    how : {"neus", "hull"}
        NeuS, or the visual hull (Laurentini 1994).
    nodes : int
        Nodes of the result along each axis.
    settings : NeusSettings
        How NeuS fits; its cameras are set to SyncDreamer's.

    Raises
    ------
    CytoCascadeError
        If no body lies within all views, or the surface's silhouettes are others than the views'.
    """
    seen, half = to_canonical(views, VIEW_PIXELS)
    away = CAMERA_DISTANCE / half
    step = 2.0 / (nodes - 1)
    if how == "neus":
        found = reconstruct(seen, None, grid=nodes, init="rounded", settings=replace(settings, camera_distance=away))
    else:
        hull = fuse_views(seen, nodes, content="silhouettes", camera_distance=away)
        if not bool((hull > 0).any()):
            raise CytoCascadeError("no body lies within all views", hint=_ORDER)
        found = torch.from_numpy(close_body(hull[0].numpy(), step))[None]
    shown = render_views(found, size=VIEW_PIXELS, camera_distance=away)[0, :, 0] > 0
    wanted = seen[0, :, 0] > 0
    agreement = float((shown & wanted).sum() / (shown | wanted).sum())
    if agreement < LEAST_AGREEMENT:
        raise CytoCascadeError(f"the views do not show one body (agreement {agreement:.2f} of 1)", hint=_ORDER)
    return CarvedViews(CellSurface(found[0].numpy() * half, step * half), agreement)


_ORDER = "They must stand in SyncDreamer's order: camera 0 first, then every 22.5 degrees."
