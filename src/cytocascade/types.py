"""The values that travel between the stages of the cascade.

Axes are always (Y, X) or (Z, Y, X). Spacings are micrometres per pixel in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class AnnotatedImage:
    """One image with its instance labels.

    Attributes
    ----------
    image : ndarray, (Y, X) or (Z, Y, X)
        Intensities in the dtype of the file (uint8, uint16 or float32).
    labels : ndarray of uint16 or uint32, same shape
        0 is background (or unknown, if `sparse`), every other value one cell.
    spacing : tuple of float
        Micrometres per pixel along each axis; 1.0 where unknown.
    name : str
        Name of the image, without folder and suffix.
    spacing_known : bool
        Whether `spacing` was read or given, not assumed.
    sparse : bool
        Whether cells may be visible that carry no label.
    """

    image: Array
    labels: Array
    spacing: tuple[float, ...]
    name: str
    spacing_known: bool = False
    sparse: bool = False


@dataclass(frozen=True)
class GeneratedSample:
    """One synthetic image with its labels and everything that was drawn to make it.

    Attributes
    ----------
    image : ndarray, (Y, X) or (Z, Y, X)
        Intensities in the dtype and range of the data that the cascade was fitted on.
    labels : ndarray of uint16 or uint32, same shape
        0 is background, 1..n the cells.
    spacing : tuple of float
        Micrometres per pixel along each axis.
    index : int
        Position of the sample in its data set.
    seed : int
        Seed of the data set; with `index` it determines the sample.
    params : dict
        Every drawn image-level parameter (JSON values only).
    cells : list of dict
        One entry per label: ``label``, ``placement`` ("alone", "clustered"), drawn parameters and
        measured ``features`` (JSON values only).
    spacing_known : bool
        Whether `spacing` goes back to a known physical size.
    """

    image: Array
    labels: Array
    spacing: tuple[float, ...]
    index: int
    seed: int
    params: dict[str, Any] = field(default_factory=dict)
    cells: list[dict[str, Any]] = field(default_factory=list)
    spacing_known: bool = False


@dataclass(frozen=True)
class AnnotatedStack:
    """A stack of which all or a few slices are annotated.

    Attributes
    ----------
    image : ndarray, (Z, Y, X)
        Intensities in the dtype of the file (uint8, uint16 or float32).
    labels : ndarray of uint16 or uint32, (Z, Y, X)
        Instance labels; 0 is background in annotated slices, and says nothing in the others.
    annotated : tuple of int
        Indices of the annotated slices, ascending.
    spacing : tuple of float
        Micrometres per voxel along (z, y, x).
    name : str
        Name of the stack, without folder and suffix.
    spacing_known : bool
        Whether `spacing` was read or given, not assumed.
    sparse : bool
        Whether cells may be visible in annotated slices that carry no label.
    """

    image: Array
    labels: Array
    annotated: tuple[int, ...]
    spacing: tuple[float, float, float]
    name: str
    spacing_known: bool = False
    sparse: bool = False


@dataclass(frozen=True)
class CellSurface:
    """One cell as a closed surface: the zero set of a signed distance.

    Attributes
    ----------
    distance : ndarray, (D, D, D) float32
        Signed distance to the surface in micrometres, positive inside, at the nodes of an isotropic grid with
        axes (Z, Y, X); negative all around.
    step : float
        Micrometres between neighbouring nodes.
    centre : tuple of float
        Where the cell's origin is, in nodes along (z, y, x): the middle of the canonical crop of its mask, at
        the height where the cell is as tall above as below. By default the middle of the grid.
    """

    distance: FloatArray
    step: float
    centre: tuple[float, float, float] | None = None

    @property
    def origin(self) -> tuple[float, float, float]:
        """Return the cell's origin in nodes along (z, y, x)."""
        if self.centre is not None:
            return self.centre
        z, y, x = ((side - 1) / 2 for side in self.distance.shape)
        return z, y, x


def label_dtype(count: int) -> type[np.uint16] | type[np.uint32]:
    """Return uint16 if labels up to `count` fit into it, else uint32."""
    return np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32
