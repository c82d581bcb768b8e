"""Placing bodies one by one anywhere in a volume.

As in an image (`placement`), distance maps take the place of a cross-correlation of the whole volume per cell.
What differs: the fine map exists only near cells (`SparseField`); it sees less far, and its coarse companion has
larger blocks, because both grow with the third power; candidates are first looked at with a part of their
surface (`VolumeSearch`).
"""

from __future__ import annotations

import numpy as np

from cytocascade.population.candidates import CellShape
from cytocascade.population.occupancy import OccupiedField
from cytocascade.population.placement import Placer
from cytocascade.population.sparse_field import SparseField
from cytocascade.population.volume_params import VolumeParams
from cytocascade.population.volume_search import VolumeSearch


class BodyPlacer(Placer):
    """A `Placer` for volumes."""

    candidates = 32

    def __init__(self, shapes: list[CellShape], shape: tuple[int, int, int], params: VolumeParams) -> None:
        self.volume = params
        super().__init__(shapes, shape, params.cells)

    def _field(self) -> OccupiedField:
        diameter, pixel = self.params.median_diameter, min(self.params.spacing)
        return SparseField(
            self.shape,
            tuple(int(size) for size in self.margin),
            self.params.spacing,
            reach=max(0.5 * diameter, 1.5 * self.params.cluster_gap + 3 * pixel, 6 * pixel),
            far=3 * diameter,
            block=tuple(max(1, round(diameter / 4 / step)) for step in self.params.spacing),
        )

    def _search(self) -> VolumeSearch:
        return VolumeSearch(self.field, np.random.default_rng(self.params.seed), cut_z=self.volume.cut_z)
