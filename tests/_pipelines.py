"""Tiny pipelines of diffusers that make masks without any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

PIPELINES = {"DDPMPipeline": (DDPMPipeline, DDPMScheduler), "DDIMPipeline": (DDIMPipeline, DDIMScheduler)}


def ellipse(size: int) -> torch.Tensor:
    """Return a picture of a mask, (size, size) in [-1, 1], with an eccentricity of about 0.6."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return torch.as_tensor(np.clip(0.3 * size - np.hypot(1.25 * y, x), -1, 1), dtype=torch.float32)


@torch.no_grad()
def mask_unet(size: int = 32, channels: int = 1, *, variation: float = 0.01) -> UNet2DModel:
    """Return a network that predicts an ellipse whatever it sees; `variation` is how much its input bends it.

    Its weights are random, but for the last layer, which is solved for: at the padded border convolutions find out
    where they are.
    """
    levels = int(np.log2(size)) - 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=size,
            in_channels=channels,
            out_channels=channels,
            layers_per_block=1,
            block_out_channels=(32, *[16] * (levels - 1)),
            down_block_types=("DownBlock2D",) * levels,
            up_block_types=("UpBlock2D",) * levels,
            norm_num_groups=4,
            add_attention=False,
        ).eval()
        for module in unet.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.bias.uniform_(-1, 1)
    unet.conv_in.weight.mul_(variation)
    unet.time_embedding.linear_2.weight.zero_()
    seen: list[torch.Tensor] = []
    hook = unet.conv_out.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    unet(torch.randn((8, channels, size, size), generator=torch.Generator().manual_seed(0)), 0)
    hook.remove()
    features = torch.nn.functional.unfold(seen[0], 3, padding=1).transpose(1, 2).flatten(0, 1)
    features = features.double()
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    wanted = ellipse(size).flatten().repeat(8).double()
    ridge = 1e-8 * len(features) * torch.eye(features.shape[1])
    solved = torch.linalg.solve(features.T @ features + ridge, features.T @ wanted)
    unet.conv_out.weight.copy_(solved[:-1].reshape(1, -1, 3, 3).expand(channels, -1, -1, -1))
    unet.conv_out.bias.fill_(float(solved[-1]))
    return unet


def save_mask_pipeline(
    folder: Path, name: str = "DDPMPipeline", *, size: int = 32, channels: int = 1, variation: float = 0.01
) -> Path:
    """Write a pipeline as diffusers' own ``save_pretrained`` does."""
    pipeline, scheduler = PIPELINES[name]
    unet = mask_unet(size, channels, variation=variation)
    pipeline(unet, scheduler(prediction_type="sample")).save_pretrained(folder)
    return folder
