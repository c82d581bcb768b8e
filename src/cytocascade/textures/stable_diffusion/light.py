"""The light of cells as Stable Diffusion sees it, and the hint that its ControlNet is shown."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cytocascade.images.cells import CROP_SIZE, Modality
from cytocascade.textures.model import from_network, to_network
from cytocascade.textures.stable_diffusion.config import Hint

GREYS: dict[Modality, tuple[float, float]] = {"fluorescence": (-0.75, 3.25), "phase": (-3.0, 3.5)}
"""Relative signal that is black and white in latent mode. 1 is the mean of a cell, 0 the background; what is brighter
or darker is cut off."""


def to_picture(signal: Tensor, modality: Modality, size: int) -> Tensor:
    """Return relative signal, (B, 1, 64, 64), as grey pictures for the VAE, (B, 3, size, size) in [-1, 1]."""
    low, high = GREYS[modality]
    grey = (2.0 * (signal - low) / (high - low) - 1.0).clamp(-1.0, 1.0)
    large = functional.interpolate(grey, (size, size), mode="bicubic", align_corners=False).clamp(-1.0, 1.0)
    return large.expand(-1, 3, -1, -1)


def from_picture(picture: Tensor, modality: Modality) -> Tensor:
    """Return the relative signal, (B, 1, 64, 64), of what the VAE decoded, (B, 3, size, size).

    The mean over the colours takes away any tint; the mean over the pixels inverts the enlargement.
    """
    low, high = GREYS[modality]
    grey = functional.adaptive_avg_pool2d(picture.mean(dim=1, keepdim=True), CROP_SIZE)
    return (grey.clamp(-1.0, 1.0) + 1.0) / 2.0 * (high - low) + low


def to_channels(signal: Tensor, modality: Modality, channels: int) -> Tensor:
    """Return relative signal, (B, 1, 64, 64), repeated to the latent channels: pixel mode."""
    return to_network(signal, modality).expand(-1, channels, -1, -1)


def from_channels(sample: Tensor, modality: Modality) -> Tensor:
    """Return the relative signal, (B, 1, 64, 64), of a sample in pixel mode: the mean of its channels."""
    return from_network(sample.mean(dim=1, keepdim=True), modality)


def hint_picture(condition: Tensor, texture: Tensor, size: int, kind: Hint) -> Tensor:
    """Return what the ControlNet is shown.

    Parameters
    ----------
    condition : Tensor, (B, 1, 64, 64)
        Signed distance over 8 canonical pixels, in [-1, 1], positive inside (`textures.model.condition_image`).
    texture : Tensor, (B, 2)
        `TEXTURE_NAMES`, brightness and contrast.
    size : int
        Side of the hint: eight times that of the latent.
    kind : {"wishes", "mask"}
        ``mask``: the mask with the grey value of the cell's mean intensity, three times, as in arXiv 2411.11515.
        ``wishes``: that, the mask with a grey value for the contrast, and the signed distance.

    Returns
    -------
    Tensor, (B, 3, size, size), in [0, 1]
        Grey values are logistic functions of brightness and contrast: 0.5 for an ordinary cell, and never saturated. As
        brightness is the logarithm of a cell's level, its grey value is level / (level + usual level).
    """
    large = functional.interpolate(condition, (size, size), mode="bilinear", align_corners=False)
    mask = (8.0 * large + 0.5).clamp(0.0, 1.0)
    grey = torch.sigmoid(texture)[:, :, None, None]
    if kind == "mask":
        return (mask * grey[:, :1]).expand(-1, 3, -1, -1)
    return torch.cat([mask * grey[:, :1], mask * grey[:, 1:2], (large + 1.0) / 2.0], dim=1)
