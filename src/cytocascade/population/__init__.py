"""Population: where the cells of a field go, learned from real label images."""

from cytocascade.population.arrangement import VolumeArrangement, fit_arrangement
from cytocascade.population.labels import paint_labels, visible_part
from cytocascade.population.params import PlacementParams, PopulationOverrides
from cytocascade.population.placement import PlacedCell, Placement, place_cells
from cytocascade.population.plan import draw_placement
from cytocascade.population.statistics import ImageArrangement, PopulationStatistics, fit_population
from cytocascade.population.volume import place_volume
from cytocascade.population.volume_params import VolumeOverrides, VolumeParams
from cytocascade.population.volume_plan import draw_volume_placement

__all__ = [
    "ImageArrangement",
    "PlacedCell",
    "Placement",
    "PlacementParams",
    "PopulationOverrides",
    "PopulationStatistics",
    "VolumeArrangement",
    "VolumeOverrides",
    "VolumeParams",
    "draw_placement",
    "draw_volume_placement",
    "fit_arrangement",
    "fit_population",
    "paint_labels",
    "place_cells",
    "place_volume",
    "visible_part",
]
