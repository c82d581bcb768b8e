"""Population: where the cells of a field go, learned from real label images."""

from cytocascade.population.labels import paint_labels, visible_part
from cytocascade.population.params import PlacementParams, PopulationOverrides
from cytocascade.population.placement import PlacedCell, Placement, place_cells
from cytocascade.population.plan import draw_placement
from cytocascade.population.statistics import ImageArrangement, PopulationStatistics, fit_population

__all__ = [
    "ImageArrangement",
    "PlacedCell",
    "Placement",
    "PlacementParams",
    "PopulationOverrides",
    "PopulationStatistics",
    "draw_placement",
    "fit_population",
    "paint_labels",
    "place_cells",
    "visible_part",
]
