"""Images that reach beyond the few that a cascade was fitted on.

A few cells of one field do not tell how dense, how crowded and how bright other fields are; a segmenter that is to work
there has to see more (Tremblay et al., *Training deep networks with synthetic data: bridging the reality gap by domain
randomization*, CVPR workshops 2018). How far new images reach is one number, 0 (as fitted) to 1.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import qmc

from cytocascade.population import PopulationOverrides
from cytocascade.seeding import numpy_generator

DENSEST, SPARSEST = 3.0, 0.5
"""Largest and smallest factor on the density, at variety 1."""

CROWDED = 1.0
"""Share of the images whose cells are gathered, at variety 1."""

MOST_TOUCHING = 0.7
"""Largest share of touching cells that is drawn."""

MOST_NEAR, MOST_NEAR_PHASE = 0.5, 1.0
"""Largest share of the cells that touch no other but have one close by, of those that do not touch; and that in phase
contrast."""

MOST_PRESSED = 0.8
"""Largest share of the gathered cells that are pressed against another: part of them is hidden by it, and they share a
long border. Label images cannot tell how cells overlap, so none of this is fitted."""

SMALLEST_ISLAND, LARGEST_ISLAND = 2.5, 12.0
"""Mean number of cells of a group in phase contrast, at its extremes: spread cells form islands, in which some touch
and others are close by, and a few annotated cells do not tell how large these become."""

LEAST_PRESSED_PHASE, MOST_PRESSED_PHASE = 0.5, 1.0
MOST_HIDDEN_PHASE = 0.03
"""In phase contrast, the share of the gathered cells that are pressed against another, at its extremes, and the largest
part of them that is hidden: spread and spindle-shaped cells meet along a short stretch, a third of a cell's diameter
long (in T98G half of the contacts are 9 to 26 pixels long, there is one for every four to eight cells)."""

DARKEST_SEAM, BRIGHTEST_SEAM = -0.25, 0.15
"""Light along the border of pressed cells, relative to that beside it, at its extremes."""

NARROWEST_SEAM, WIDEST_SEAM = 0.02, 0.06
"""Standard deviation of that border, in diameters of the usual cell, at its extremes."""

GAIN_SPREAD = 0.5
"""Standard deviation of the logarithm of the light of all cells of an image, at variety 1."""

MORE_SPOTTED = 0.06
"""Share of the cells that have dark spots beside those that have them as fitted, at variety 1: what is rare in real
cells is made common enough to be learned from a few images."""

SMALLEST, LARGEST = 0.6, 1.0 / 0.6
"""Factor on the lengths of all cells of an image in phase contrast, at its extremes, at variety 1: how far cells spread
depends on culture and substrate, so their usual size differs from image to image (in half of the images of T98G they
are 0.6 times as long as in the other half)."""

_BITS = 30
"""Of the numbers that images are drawn from: after 2**30 images they repeat."""


class ImageVariety(BaseModel):
    """In what one image differs from the fitted ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    density: float = 1.0
    """Factor on the number of cells."""
    touching: float | None = None
    """Share of cells that touch another; none: as fitted."""
    near: float | None = None
    """Share of the cells with another close by among those that touch none; none: as fitted."""
    island: float | None = None
    """Mean number of cells of a group in phase contrast; none: as fitted."""
    overlap: float | None = None
    """Share of the gathered cells that are pressed against another; none: as fitted."""
    seam: float | None = None
    """Relative light along the borders of pressed cells, which then do not shine through each other; none: they do."""
    seam_width: float | None = None
    """Standard deviation of these borders, in diameters of the usual cell."""
    alike: float = 1.0
    """Factor on how alike in brightness neighbours are."""
    gain: float = 1.0
    """Factor on the light of all cells, while background and camera stay."""
    spotted: float = 0.0
    """Share of the cells that have dark spots beside those that have them as fitted."""
    cell_size: float = 1.0
    """Factor on the lengths of all cells and on their distances."""
    reach: float = 0.0
    """How far cells differ from the fitted ones, see `CellStatistics.draw`."""

    @classmethod
    def drawn(cls, variety: float, seed: int, index: int) -> ImageVariety:
        """Draw what one image is like.

        Images one after the other are points of a scrambled Sobol sequence (Owen, *Scrambling Sobol' and
        Niederreiter-Xing points*, Journal of Complexity 14, 1998): a few of them cover what is wished already, sparse
        and dense, dim and bright, where independent draws may well leave out a part.

        Parameters
        ----------
        variety : float, [0, 1]
            How far images reach; with 0 nothing is drawn and nothing differs.
        seed : int
            Seed of the data set.
        index : int
            Position of the image in it.
        """
        if variety == 0:
            return cls()
        density, crowded, touching, light, pressed, seam, width, near, alike = _point(9, seed, index)
        (size,) = _point(1, seed, index, "cell size")
        (island,) = _point(1, seed, index, "island")
        gathered = crowded < CROWDED * variety
        return cls(
            density=_factor(SPARSEST, DENSEST, variety, density),
            touching=round(MOST_TOUCHING * touching, 4) if gathered else None,
            near=round(MOST_NEAR * near, 4) if gathered else None,
            island=round(SMALLEST_ISLAND * (LARGEST_ISLAND / SMALLEST_ISLAND) ** island, 2) if gathered else None,
            overlap=round(MOST_PRESSED * pressed, 4) if gathered else None,
            seam=round(DARKEST_SEAM + (BRIGHTEST_SEAM - DARKEST_SEAM) * seam, 4) if gathered else None,
            seam_width=round(NARROWEST_SEAM + (WIDEST_SEAM - NARROWEST_SEAM) * width, 4) if gathered else None,
            alike=round(1 - variety * alike, 4),
            gain=round(math.exp(variety * GAIN_SPREAD * _normal(light)), 4),
            spotted=round(MORE_SPOTTED * variety, 4),
            cell_size=_factor(SMALLEST, LARGEST, variety, size),
            reach=variety,
        )

    def on(self, population: PopulationOverrides, modality: str = "fluorescence") -> PopulationOverrides:
        """Return what is wished of the arrangement of cells seen in a `modality`; explicit wishes stay."""
        update: dict[str, float] = {}
        phase = modality == "phase"
        if population.count is None:
            update["density"] = self.density
        if self.touching is not None and population.touching_rate is None and population.p_cluster is None:
            update["touching_rate"] = self.touching
            near = (self.near or 0.0) * (MOST_NEAR_PHASE / MOST_NEAR if phase else 1.0)
            update["p_cluster"] = round(self.touching + (1 - self.touching) * near, 4)
            if phase and self.island is not None:
                update["island_size"] = self.island
        if self.overlap is not None and population.overlap_rate is None:
            update["overlap_rate"] = self.overlap
            if phase:
                beyond = (MOST_PRESSED_PHASE - LEAST_PRESSED_PHASE) * self.overlap / MOST_PRESSED
                update["overlap_rate"] = round(LEAST_PRESSED_PHASE + beyond, 4)
                if "max_overlap" not in population.model_fields_set:
                    update["max_overlap"] = MOST_HIDDEN_PHASE
        return population.model_copy(update=update)


def _point(axes: int, seed: int, index: int, *keys: str) -> list[float]:
    """Return a point of a sequence that fills the unit cube evenly, scrambled by `seed` and `keys`."""
    sequence = qmc.Sobol(axes, scramble=True, bits=_BITS, rng=numpy_generator(seed, "variety", *keys))
    if place := index % 2**_BITS:
        sequence.fast_forward(place)
    return [float(value) for value in sequence.random(1)[0]]


def _factor(smallest: float, largest: float, variety: float, uniform: float) -> float:
    """Return a factor between two extremes, as likely to double as to halve; the less variety, the nearer to 1."""
    low, high = (variety * math.log(end) for end in (smallest, largest))
    return round(math.exp(low + (high - low) * uniform), 4)


def _normal(uniform: float) -> float:
    """Return a nearly normal score, within two deviations, of a uniform number."""
    return float(np.clip(math.sqrt(math.pi / 8) * math.log((uniform + 1e-9) / (1 - uniform + 1e-9)), -2, 2))
