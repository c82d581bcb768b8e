"""What a segmenter is to this package: something that is trained on annotated images and then labels new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import ConfigDict, Field

from cytocascade.recorded import LeftOutUnset, Recorded
from cytocascade.types import AnnotatedImage, Array

Progress = Callable[[int, int, float], None]
"""Called with (steps done, steps in all, running loss)."""


class SegmenterOptions(Recorded):
    """How a segmenter is trained and applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(300, ge=1)
    """Optimiser steps."""
    batch: int = Field(8, ge=1)
    """Crops per step."""
    crop: int = Field(112, ge=32)
    """Side of a crop, in pixels of the rescaled images."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak learning rate of AdamW."""
    diameter: float = Field(30.0, ge=8)
    """Pixels that the cells' mean diameter is rescaled to."""
    cell_diameter: float | None = Field(None, gt=0)
    """Mean diameter of the cells, in pixels of the images; measured on the training labels if not given."""
    slice_step: int = Field(4, ge=1)
    """Volumes: pixels of the isotropic slices from one training slice to the next."""
    precision: str = Field("auto", pattern="^(auto|fp32|bf16)$")
    """Of the network's arithmetic; ``auto``: bf16 where the machine computes in it, otherwise fp32. With ``bf16``
    processors that do not compute in it emulate it, as fast as fp32: runs of different machines can be compared."""
    flow_threshold: Annotated[float, LeftOutUnset()] = Field(0.4, ge=0, allow_inf_nan=False)
    """Images: cells are dropped whose predicted flows differ by more (mean squared error) from those of their shape; 0
    keeps all. Cellpose's default is made for networks that were trained much longer."""
    device: str = "cpu"
    """Torch device."""


@dataclass(frozen=True)
class TrainingSource:
    """Images that a share of the training crops is taken from.

    Attributes
    ----------
    images : sequence of AnnotatedImage
        2D images, or volumes; all sources of a training have the same number of axes.
    share : float, (0, 1]
        Share of the crops that are cut out of these images; every image is as likely as the others.
    """

    images: Sequence[AnnotatedImage]
    share: float


class Segmenter(Protocol):
    """A trained segmenter."""

    def segment(self, image: Array, spacing: Sequence[float] | None = None) -> Array:
        """Return the instance labels of an image.

        Parameters
        ----------
        image : ndarray, (Y, X) or (Z, Y, X)
            Intensities in any dtype.
        spacing : sequence of float, optional
            Micrometres per pixel along each axis. For volumes the ratio of z to x tells the anisotropy; 1 if not given.

        Returns
        -------
        ndarray of uint16 or uint32, same shape
            0 is background, 1..n the cells.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the segmenter to a new folder, without pickle."""
        ...


class Method(Protocol):
    """A kind of segmenter."""

    name: str
    """As in ``--segmenter``."""

    def version(self) -> str:
        """Return the version of the software that does the work."""
        ...

    def precision(self, options: SegmenterOptions) -> str:
        """Return ``fp32`` or ``bf16``: what `SegmenterOptions.precision` comes to on this machine."""
        ...

    def train(
        self,
        sources: Sequence[TrainingSource],
        options: SegmenterOptions,
        *,
        seed: int,
        cache: Path | None = None,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
        monitor: Callable[[int, Segmenter], None] | None = None,
        monitor_every: int = 50,
    ) -> Segmenter:
        """Train a segmenter from random weights.

        Parameters
        ----------
        sources : sequence of TrainingSource
            Images, and how often each kind of them is used.
        options : SegmenterOptions
            Steps, crop, learning rate, device.
        seed : int
            Seed of the weights, the choice of images, and the augmentation.
        cache : Path, optional
            Folder where what is computed once per label image is kept.
        checkpoint : Path, optional
            File that an interrupted training goes on from; the result is that of an uninterrupted one.
        progress : callable, optional
            Called after every step.
        monitor : callable, optional
            Called with the steps done and the segmenter so far, every `monitor_every` steps and at the end. The state
            in `checkpoint` is kept after the call, so that a training that goes on has left none out.
        monitor_every : int
            See `monitor`.
        """
        ...

    def load(self, folder: Path, *, device: str = "cpu") -> Segmenter:
        """Return what `Segmenter.save` wrote.

        Raises
        ------
        CytoCascadeError
            If the folder holds no such segmenter.
        """
        ...
