"""How a mask is shown to the network: a truncated signed distance at half the crop's resolution.

`benchmarks/mask_representation.py` compares it with the alternatives.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from cytocascade.images.cells import CROP_SIZE
from cytocascade.types import FloatArray

FIELD_SIZE = CROP_SIZE // 2
"""Height and width of the field that is diffused, where crops are not sampled more finely."""

TRUNCATION = 8.0
"""Distance from the outline, in canonical pixels, beyond which the field is constant."""


def to_field(distance: Tensor) -> Tensor:
    """Return the field, (B, 1, S / 2, S / 2) in [-1, 1], of signed distances (B, 1, S, S) in canonical pixels."""
    return functional.avg_pool2d((distance / TRUNCATION).clamp(-1, 1), 2)


def from_field(field: Tensor) -> FloatArray:
    """Return signed distances, (B, S, S) float32 in canonical pixels, of fields (B, 1, S / 2, S / 2); S at least 64."""
    side = max(CROP_SIZE, 2 * field.shape[-1])
    smooth = functional.interpolate(field, size=(side, side), mode="bicubic", align_corners=False)
    return np.asarray(smooth[:, 0].clamp(-1, 1).numpy() * TRUNCATION, dtype=np.float32)
