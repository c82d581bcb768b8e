"""Training a pipeline of diffusers on the annotated cells, by the one training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import diffusers
import torch
from diffusers import UNet2DModel
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from cytocascade.diffusion.network import Network
from cytocascade.diffusion.sampling import Condition
from cytocascade.diffusion.schedule import training_schedule
from cytocascade.diffusion.training import Batch
from cytocascade.images.augment import apply_warp, draw_warp
from cytocascade.images.cells import CROP_SIZE
from cytocascade.masks.mask_images import to_picture
from cytocascade.masks.pipeline_files import MaskPipeline
from cytocascade.masks.representation import FIELD_SIZE
from cytocascade.seeding import torch_generator
from cytocascade.types import FloatArray


class MaskUNetConfig(BaseModel):
    """Shape of the `UNet2DModel` that is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(FIELD_SIZE, ge=16)
    """Height and width of the pictures."""
    channels: int = 1
    """1 for grey pictures, 3 for RGB."""
    widths: tuple[int, ...] = (32, 64, 128)
    """Channels of its levels."""
    layers: int = Field(1, ge=1)
    """Residual blocks per level."""
    groups: int = Field(8, ge=1)
    """Groups of the group normalisation."""


class PipelineNetwork(Network):
    """The network of a pipeline as the training loop sees it: it predicts v, whatever the condition.

    Parameters
    ----------
    unet : UNet2DModel
        The network itself, which is trained in place.
    """

    config = MaskUNetConfig()

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Predict v of (B, channels, size, size); there is no condition that could be `dropped`."""
        return self.unet(sample, timestep).sample  # type: ignore[no-any-return]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one picture, (channels, size, size)."""
        size = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), size, size

    def for_convolutions(self) -> Self:
        """Arrange the weights channels-last, which convolutions are fastest with, and return the network."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self


def new_network(config: MaskUNetConfig, seed: int) -> PipelineNetwork:
    """Return an untrained network; the seed determines its weights."""
    last = len(config.widths) - 1
    down, up = ["DownBlock2D"] * (last + 1), ["UpBlock2D"] * (last + 1)
    down[last], up[0] = "AttnDownBlock2D", "AttnUpBlock2D"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DModel(
            sample_size=config.size,
            in_channels=config.channels,
            out_channels=config.channels,
            block_out_channels=config.widths,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            layers_per_block=config.layers,
            norm_num_groups=config.groups,
            attention_head_dim=min(32, config.widths[last]),
        )
    return PipelineNetwork(unet)


def trained_schedule() -> dict[str, Any]:
    """Return the config of the scheduler that a pipeline trained here comes with."""
    settings = {name: value for name, value in training_schedule().config.items() if not name.startswith("_")}
    # Pictures of masks lie in [-1, 1]; sampling may make use of it.
    settings["clip_sample"] = True
    return {**settings, "_class_name": "DDPMScheduler", "_diffusers_version": diffusers.__version__}


def trained_here(pipeline: MaskPipeline) -> bool:
    """Return whether the training can go on from a pipeline, because it predicts the same under the same noise."""
    ours = trained_schedule()
    return all(pipeline.schedule.get(name) == ours[name] for name in ("prediction_type", "beta_schedule"))


def as_pipeline(network: PipelineNetwork) -> MaskPipeline:
    """Return the pipeline of a trained network."""
    return MaskPipeline("DDPMPipeline", network.unet.eval(), trained_schedule())


def picture_batches(distance: FloatArray, network: PipelineNetwork, *, batch: int, seed: int) -> Callable[[int], Batch]:
    """Return the training batches as a function of the step: turned, mirrored, slightly bent and scaled cells.

    Parameters
    ----------
    distance : ndarray, (n, S, S) float32
        Signed distances of real cells, with the margin of `SingleCells`.
    network : PipelineNetwork
        Says how large pictures are, and how many channels they have.
    batch : int
        Cells per batch.
    seed : int
        Seed of choice and deformation.
    """
    crops = torch.as_tensor(distance[:, None])
    channels, size, _ = network.sample_shape

    def batch_at(step: int) -> Batch:
        generator = torch_generator(seed, "pictures", step)
        chosen = torch.randint(0, len(crops), (batch,), generator=generator)
        warp = draw_warp(batch, generator, zoom=0.05, bend=0.5)
        # A magnified cell is as much farther from its outline.
        turned = apply_warp(crops[chosen], warp, CROP_SIZE) * warp.zoom[:, None, None, None]
        picture = to_picture(turned, size).expand(-1, channels, -1, -1).contiguous()
        return Batch(picture, torch.ones_like(picture), Condition())

    return batch_at
