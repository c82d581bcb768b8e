"""What 2D images tell about a volume: sections stand in for bodies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cytocascade.population.statistics import CLUSTER_FRACTION, ImageArrangement, PopulationStatistics

_MEDIAN_SECTION = 0.75
"""Area of the median section of an ellipsoid relative to its largest, ``1 - u^2`` at ``u = 1/2``."""

_POWER = 4


def bodies_from_sections(
    statistics: PopulationStatistics, cell_height: float | None = None, density: Sequence[float] = ()
) -> PopulationStatistics:
    """Return 3D statistics that 2D ones of sections stand in for.

    A section meets the cells whose centre is within half a cell height, so ``N_V = N_A / h`` (E. R. Weibel,
    *Stereological Methods*, 1979). Centre distances shrink as those of nearest neighbours between evenly spread
    points in the plane and in space, ``0.5 N_A^(-1/2)`` and ``0.554 N_V^(-1/3)``; what lies between the centres and is
    not gap grows as bodies are larger than their sections. A cell is taken to touch no other with the fourth
    power of the chance in a section: it has twice as many neighbours, and half of the sections miss a contact. (In
    real and simulated stacks that power is 3 to 6.)

    Parameters
    ----------
    statistics : PopulationStatistics
        Of 2D images.
    cell_height : float, optional
        Extent of a cell along z in micrometres; by default its diameter in the plane.
    density : sequence of float
        Cells per cubic micrometre, if they are known.
    """
    lateral = statistics.median_diameter / math.sqrt(_MEDIAN_SECTION)
    height = cell_height or lateral
    diameter = (lateral**2 * height) ** (1 / 3)
    found = float(np.mean([image.density for image in statistics.images])) / height
    factor = float(np.mean(density)) / found if len(density) else 1.0
    larger = diameter / statistics.median_diameter
    return statistics.model_copy(
        update={
            "images": [_image(image, height, factor, larger) for image in statistics.images],
            "median_diameter": diameter,
            "mean_extent": (height, *statistics.mean_extent),
            "cluster_gap": CLUSTER_FRACTION * diameter,
            "p_cluster": 1 - (1 - statistics.p_cluster) ** _POWER,
            "touching_rate": 1 - (1 - statistics.touching_rate) ** _POWER,
        }
    )


def _image(image: ImageArrangement, height: float, factor: float, larger: float) -> ImageArrangement:
    solid = image.labelled_density / height * factor
    closer = 0.554 * solid ** (-1 / 3) / (0.5 * image.labelled_density**-0.5)
    flat, apart = np.array(image.gap), np.array(image.distance)
    body = (apart - flat) * larger
    gap = np.where(flat > 0, np.maximum(apart * closer - body, 0.0), 0.0)
    return image.model_copy(
        update={
            "frame": (height, *image.frame),
            "density": image.density / height * factor,
            "labelled_density": solid,
            "gap": np.round(gap, 4).tolist(),
            "distance": np.round(gap + body, 4).tolist(),
        }
    )
