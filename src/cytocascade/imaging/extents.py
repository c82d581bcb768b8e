"""How tall annotated cells are, from the unlabelled slices around their outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cytocascade.imaging.columns import CellColumns, trace_columns
from cytocascade.types import AnnotatedStack

MAX_OFFSET = 0.5
"""Up to this relative height an outline has at least 0.87 of the diameter of a round cell."""
FEW = 5
"""Fewer cells than this are not chosen from."""


@dataclass(frozen=True)
class AxialExtent:
    """Size of one annotated cell.

    Attributes
    ----------
    stack : str
        Name of the stack.
    label, plane : int
        The cell, and the annotated slice in which it is largest.
    axial : float
        Height of the cell, in um.
    lateral : float
        Diameter of the circle with the area of its largest outline, in um.
    thickness : float
        Median length of the columns in the middle of the cell, in um; a direct measurement, always below `axial`.
    touching : float
        Share of the columns that meet another cell above or below.
    offset : float
        How far that slice lies from the middle of the cell: 0 in the middle, 1 at its top or bottom.
    """

    stack: str
    label: int
    plane: int
    axial: float
    lateral: float
    thickness: float
    touching: float
    offset: float

    @property
    def ratio(self) -> float:
        """Axial over lateral extent."""
        return self.axial / self.lateral


def axial_extents(
    stacks: Sequence[AnnotatedStack], columns: Sequence[CellColumns] | None = None, *, max_offset: float = MAX_OFFSET
) -> list[AxialExtent]:
    """Estimate the axial and lateral extents of annotated cells.

    Along z a cell reaches from half to half of its light (full width at half maximum), which a blur that is narrower
    than the cell does not move. The columns through its middle are as long as those of an ellipsoid over the same
    outline, ``height * sqrt(1 - r^2)`` at the relative radius ``r``; their median gives the height.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
    columns : sequence of CellColumns, optional
        From `cytocascade.imaging.columns.trace_columns` of these stacks, if they are there already.
    max_offset : float
        Cells whose slice lies farther from their middle are left out: their outline is smaller than the cell. If fewer
        than `FEW` others remain, they stay.

    Returns
    -------
    list of AxialExtent
        Cells whose columns end within the stack; those that the frame cuts are left out.

    Raises
    ------
    CytoCascadeError
        A stack with fewer than three slices.
    """
    traced = trace_columns(stacks) if columns is None else columns
    extents = []
    for cell in traced:
        if not cell.complete:
            continue
        chord = float(np.median(np.sqrt(1 - (1 - cell.depth) ** 2)))
        axial = cell.thickness / chord
        area = float(cell.mask.sum()) * cell.spacing[1] * cell.spacing[2]
        extents.append(
            AxialExtent(
                stack=stacks[cell.stack].name,
                label=cell.label,
                plane=cell.plane,
                axial=axial,
                lateral=float(2 * np.sqrt(area / np.pi)),
                thickness=cell.thickness,
                touching=float(np.mean(cell.low_met | cell.high_met)),
                offset=abs(cell.plane * cell.spacing[0] - cell.height) / (axial / 2),
            )
        )
    central = [extent for extent in extents if extent.offset <= max_offset]
    return central if len(central) >= FEW else extents
