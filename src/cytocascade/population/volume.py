"""Placing cells in a volume: as a layer, in a ball, or everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from cytocascade.population.ball import BallPlacer
from cytocascade.population.bodies import BodyPlacer
from cytocascade.population.candidates import check_masks, measure_masks
from cytocascade.population.layer import place_layer
from cytocascade.population.placement import Placement
from cytocascade.population.volume_params import VolumeParams
from cytocascade.types import BoolArray


def place_volume(masks: Sequence[BoolArray], shape: tuple[int, int, int], params: VolumeParams) -> Placement:
    """Place cells in a volume as drawn; pure, the same arguments give the same positions.

    Parameters
    ----------
    masks : sequence of ndarray of bool, (z, y, x)
        At least ``params.count`` cells in tight boxes on the volume's voxels; surplus ones are not used.
    shape : tuple of int
        Voxels of the volume, (Z, Y, X).
    params : VolumeParams
        From `draw_volume_placement`, for this shape.

    Returns
    -------
    Placement
        No two cells share a voxel. ``placement`` of a cell of a layer tells how it is seen along z:
        ``"overlapping"`` cells overlap in that view, and one has ridden up on the other. `paint_labels` paints the
        labels.

    Raises
    ------
    CytoCascadeError
        If there are fewer masks than cells to place, or an empty or loose mask.
    """
    if params.layer is not None:
        check_masks(masks, params.count, 3)
        return place_layer(masks, shape, params)
    shapes = measure_masks(masks, params.count, params.spacing)
    if not shapes:
        return Placement([], 0)
    if params.ball is not None:
        return BallPlacer(shapes, shape, params, params.ball).run()
    return BodyPlacer(shapes, shape, params).run()
