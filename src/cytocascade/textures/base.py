"""What every way to paint textures has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor

from cytocascade.images.cells import Modality
from cytocascade.types import FloatArray


class TexturePainter(Protocol):
    """Turns noise into the light of cells, deterministically.

    Unit mean, contrast, edges, calibration and the noise along z are no part of it: they work on the relative signal
    of any painter.
    """

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one cell's starting noise, (channels, size, size)."""
        ...

    def sampled_by(self, sampler: str) -> TexturePainter:
        """Return a painter that samples as `sampler` names; `CytoCascadeError` if it cannot."""
        ...

    def save(self, path: Path) -> None:
        """Write what was trained as safetensors, with its config in the metadata."""
        ...

    def paint(
        self,
        noise: Tensor,
        distance: FloatArray,
        texture: FloatArray,
        *,
        modality: Modality,
        style: int = 0,
        steps: int | None = None,
        guidance: float = 1.0,
        workers: int = 1,
    ) -> FloatArray:
        """Return the relative signal that becomes of `noise`, as it comes.

        Parameters
        ----------
        noise : Tensor, (n, *sample_shape)
            N(0, I).
        distance : ndarray, (n, 64, 64) float32
            Signed distances of the masks in canonical pixels, positive inside.
        texture : ndarray, (n, 2) float32
            Wished `TEXTURE_NAMES`.
        modality : {"fluorescence", "phase"}
            What the painter was trained on.
        style : int
            Data-set index, where it knows several.
        steps : int, optional
            Network evaluations per texture; by default the painter's own.
        guidance : float
            Guidance by the condition; 1 is what the painter does by default.
        workers : int
            Threads; without influence on the result.

        Returns
        -------
        ndarray, (n, 64, 64) float32
            1 is the mean of a cell's light.
        """
        ...
