"""What a stack shows beyond its slices: blur along z, fading with depth, background from slice to slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.columns import CellColumns, trace_columns
from cytocascade.imaging.defocus import fit_spread
from cytocascade.imaging.depth import Attenuation, fit_attenuation
from cytocascade.imaging.edge_spread import fit_axial_psf, measure_edge_spread
from cytocascade.imaging.level_profile import level_profiles
from cytocascade.imaging.psf import Psf
from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.types import AnnotatedStack, Array


class Microscope(BaseModel):
    """The part of a microscope that single slices do not tell."""

    model_config = ConfigDict(extra="forbid")

    psf: Psf
    """What still blurs cells whose textures were learned from slices: along z, and sideways out of focus."""
    attenuation: Attenuation = Attenuation()
    """Fading of the cells' light with depth."""
    level_heights: list[float] = Field(default_factory=list)
    """Heights of the level profiles, in um above the mean height of the cells' light; increasing."""
    level_profiles: list[list[float]] = Field(default_factory=list)
    """One per real stack: background relative to its annotated slices, in units of its median cell's mean light."""
    edges: int = 0
    """Number of tops and bottoms of real cells that the PSF was fitted to; 0 if it was given."""

    def level_at(self, heights: Array, profile: int) -> Array:
        """Return the level (in cells' light) at `heights` above the light's mean height, after a stack's profile."""
        if not self.level_profiles:
            return np.zeros(len(heights))
        return np.asarray(np.interp(heights, self.level_heights, self.level_profiles[profile]))


def fit_microscope(
    stacks: Sequence[AnnotatedStack],
    statistics: ImagingStatistics | None = None,
    *,
    psf: Psf | None = None,
    columns: Sequence[CellColumns] | None = None,
) -> Microscope:
    """Fit the microscope to stacks with a few annotated slices.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
        Raw stacks; the slices that are not annotated are what is learned from.
    statistics : ImagingStatistics, optional
        Fitted on the annotated slices.
    psf : GaussianPsf, ConePsf or MeasuredPsf, optional
        A known PSF; it is then not fitted.
    columns : sequence of CellColumns, optional
        From `cytocascade.imaging.columns.trace_columns` of these stacks, if they are there already.

    Returns
    -------
    Microscope

    Raises
    ------
    CytoCascadeError
        Without `psf`: a stack with fewer than three slices, or too few cells whose top or bottom is seen.
    """
    if columns is None:
        columns = trace_columns(stacks) if psf is None else _traced_where_possible(stacks)
    edges = 0
    if psf is None:
        edge = measure_edge_spread(columns)
        if edge is None:
            raise CytoCascadeError(
                f"{len(columns)} annotated cells show too few tops and bottoms to measure the blur along z",
                hint="Annotate slices through the middle of more cells, or state the PSF.",
            )
        along_z, edges = fit_axial_psf(edge), edge.edges
        psf = along_z.model_copy(update={"spread": fit_spread(stacks, columns, along_z)})
    groups = []
    for number in range(len(stacks)):
        cells = [cell for cell in columns if cell.stack == number and cell.complete]
        groups.append((np.array([cell.height for cell in cells]), np.array([cell.plateau for cell in cells])))
    heights, profiles = level_profiles(stacks, columns, statistics)
    return Microscope(
        psf=psf,
        attenuation=fit_attenuation(groups),
        level_heights=heights,
        level_profiles=profiles,
        edges=edges,
    )


def _traced_where_possible(stacks: Sequence[AnnotatedStack]) -> list[CellColumns]:
    thick = all(stack.image.shape[0] >= 3 for stack in stacks)
    return trace_columns(stacks) if thick else []
