"""What a 3D bundle knows beyond its slices: ``volume.json``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from cytocascade.imaging.microscope import Microscope
from cytocascade.population.arrangement import VolumeArrangement
from cytocascade.shapes.statistics import Kind, ShapeStatistics
from cytocascade.textures.axial_noise import AxialNoise


class VolumeStatistics(BaseModel):
    """Everything about volumes that single slices do not tell."""

    model_config = ConfigDict(extra="forbid")

    arrangement: VolumeArrangement
    """Where cells lie in the volume."""
    microscope: Microscope
    """Blur along z, fading with depth, background from slice to slice."""
    shapes: ShapeStatistics
    """How tall cells are for their width, as volumes are generated with."""
    priors: list[ShapeStatistics] = Field(min_length=1)
    """The same of the real shapes that the multi-view network was trained on, per kind of cell."""
    texture_noise: AxialNoise
    """How alike the textures of neighbouring slices are."""
    grain_noise: float = Field(0.0, ge=0, le=1)
    """Share of the fine structure that textures lack which is different in every slice."""
    area_factor: float = Field(1.0, gt=0)
    """Area of a cell's projection along z over that of its annotated outlines, which are slices."""
    stacks: int = Field(0, ge=0)
    """Number of real stacks these were measured in; 0 if all are defaults."""

    def prior(self, kind: Kind) -> ShapeStatistics:
        """Return the prior of a kind of cell; that of another one if the network was trained on that alone."""
        return next((prior for prior in self.priors if prior.kind == kind), self.priors[0])
