"""The one denoising network that serves every diffusion stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Self, cast

import torch
from diffusers import UNet2DModel
from pydantic import ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from cytocascade.diffusion.network import Network
from cytocascade.recorded import LeftOutUnset, Recorded


class DenoiserConfig(Recorded):
    """Shape of a `Denoiser`."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(64, ge=8)
    """Height and width of the samples in pixels; a multiple of ``fold * 2 ** (len(widths) - 1)``."""
    channels: int = Field(1, ge=1)
    """Channels of the sample that is denoised."""
    condition_channels: int = Field(0, ge=0)
    """Channels of the condition image (same size), for example a signed distance map."""
    scalars: int = Field(0, ge=0)
    """Length of the condition vector, for example brightness and contrast of the cell."""
    styles: int = Field(1, ge=1)
    """Number of learned data-set embeddings."""
    stem_width: int = Field(16, ge=4)
    """Channels at full resolution."""
    widths: tuple[int, ...] = (64, 96, 160)
    """Channels of the U-Net's levels; the first works at the sample's resolution over `fold`."""
    layers: int = Field(2, ge=1)
    """Residual blocks per level."""
    groups: int = Field(8, ge=1)
    """Groups of the group normalisation."""
    attention: bool = True
    """Whether the lowest level attends over all its positions."""
    fold: Annotated[int, LeftOutUnset()] = Field(2, ge=2, multiple_of=2)
    """Pixels, along each axis, that the U-Net sees as one. Where it is more than 2, samples are as much
    larger, and so is the noise (see `diffusion.schedule`): to the U-Net all is as it was."""


class Denoiser(Network):
    """Predict v (Salimans & Ho 2022) of a noisy sample.

    A diffusers `UNet2DModel` runs at half resolution (or less, `DenoiserConfig.fold`) between a convolutional stem and
    head. The head sees the full-resolution features of the stem again, and upsamples smoothly: folding pixels into
    channels without that leaves a checkerboard.

    Parameters
    ----------
    config : DenoiserConfig
        Shape of the network.
    """

    config: DenoiserConfig

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width, first = config.stem_width, config.widths[0]
        last = len(config.widths) - 1
        self.stem = nn.Sequential(
            nn.Conv2d(config.channels + config.condition_channels, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.fold = nn.Conv2d(width, first, 2 * config.fold, config.fold, padding=config.fold // 2)
        down = ["DownBlock2D"] * len(config.widths)
        up = ["UpBlock2D"] * len(config.widths)
        if config.attention:
            down[last], up[0] = "AttnDownBlock2D", "AttnUpBlock2D"
        self.unet = UNet2DModel(
            sample_size=config.size // config.fold,
            in_channels=first,
            out_channels=first,
            block_out_channels=config.widths,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            layers_per_block=config.layers,
            norm_num_groups=config.groups,
            attention_head_dim=32,
            add_attention=config.attention,
            class_embed_type="identity",
        )
        embedding = 4 * first
        self.style = nn.Embedding(config.styles, embedding)
        nn.init.normal_(self.style.weight, std=0.02)
        self.vector = nn.Sequential(
            nn.Linear(config.scalars + 1, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.unfold = nn.Sequential(
            nn.Upsample(scale_factor=config.fold, mode="bilinear", align_corners=False),
            nn.Conv2d(first, width, 3, padding=1),
        )
        self.head = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, config.channels, 3, padding=1),
        )

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        image: Tensor | None = None,
        scalars: Tensor | None = None,
        style: Tensor | None = None,
        dropped: Tensor | None = None,
        couple: Callable[[Tensor, int], Tensor] | None = None,
    ) -> Tensor:
        """Predict v.

        Parameters
        ----------
        sample : Tensor, (B, channels, size, size)
            Noisy sample.
        timestep : Tensor, (B,) or ()
            Diffusion timestep.
        image : Tensor, (B, condition_channels, size, size), optional
            Condition image.
        scalars : Tensor, (B, scalars), optional
            Condition vector.
        style : Tensor of int, (B,), optional
            Data-set index; 0 where not given.
        dropped : Tensor of bool, (B,), optional
            Where true, vector and style are withheld (classifier-free guidance).
        couple : callable, optional
            Changes the features, (B, widths[0], size / fold, size / fold), before (0) and after (1) the U-Net:
            where samples that belong together are made to agree.

        Returns
        -------
        Tensor, (B, channels, size, size)
        """
        batch = sample.shape[0]
        full = self.stem(sample if image is None else torch.cat([sample, image], dim=1))
        if scalars is None:
            scalars = sample.new_zeros((batch, self.config.scalars))
        if style is None:
            style = torch.zeros(batch, dtype=torch.long, device=sample.device)
        present = sample.new_ones((batch, 1))
        if dropped is not None:
            present = present * (~dropped[:, None])
        embedding = self.vector(torch.cat([scalars * present, present], dim=1)) + self.style(style) * present
        folded = self.fold(full)
        half = self.unet(folded if couple is None else couple(folded, 0), timestep, class_labels=embedding).sample
        if couple is not None:
            half = couple(half, 1)
        return cast(Tensor, self.head(torch.cat([self.unfold(half), full], dim=1)))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (channels, size, size)."""
        return self.config.channels, self.config.size, self.config.size

    @property
    def noise_shift(self) -> float:
        """Factor on the noise, relative to the sample, that makes up for what the mean of `fold` pixels loses."""
        return self.config.fold / 2

    def for_convolutions(self) -> Self:
        """Arrange the weights channels-last, which convolutions are fastest with, and return the network."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self


def refolded(model: Denoiser, fold: int) -> Denoiser:
    """Return a network that sees as one other pixels than `model` does, for samples of another resolution.

    Its U-Net is that of `model`. What folds pixels sees the means of finer ones, or the sums over what were finer ones,
    so that training goes on from what is known, and has only the detail to learn.

    Parameters
    ----------
    model : Denoiser
        Trained network.
    fold : int
        `DenoiserConfig.fold` of the result, a multiple or a fraction of that of `model`; samples are as much larger or
        smaller.
    """
    about = model.config
    made = Denoiser(about.model_copy(update={"size": about.size * fold // about.fold, "fold": fold}))
    weights = model.state_dict()
    kernel = weights["fold.weight"]
    if fold > about.fold:
        factor = fold // about.fold
        kernel = kernel.repeat_interleave(factor, 2).repeat_interleave(factor, 3) / factor**2
    elif fold < about.fold:
        side = about.fold // fold
        kernel = functional.avg_pool2d(kernel, side) * side**2
    made.load_state_dict({**weights, "fold.weight": kernel})
    return made.for_convolutions().eval()
