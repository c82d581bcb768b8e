"""UNet and ControlNet as one network, and which of its weights are trained and kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import derive_seed
from cytocascade.textures.stable_diffusion.config import Trained

_ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
_UPWARD = ("up_blocks.", "conv_norm_out.", "conv_out.")


class ControlledUNet(nn.Module):
    """A UNet that a ControlNet steers (Zhang et al. 2023).

    Parameters
    ----------
    unet : UNet2DConditionModel
        Denoising network.
    controlnet : ControlNetModel
        Sees the hint, and adds to the UNet's features.
    """

    def __init__(self, unet: UNet2DConditionModel, controlnet: ControlNetModel) -> None:
        super().__init__()
        self.unet = unet
        self.controlnet = controlnet

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        hint: Tensor | None,
        tokens: Tensor,
        pooled: Tensor | None = None,
        *,
        strength: float = 1.0,
        decay: float = 1.0,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """Predict noise or v, whatever the base does.

        Parameters
        ----------
        sample : Tensor, (B, channels, size, size)
            Noisy sample.
        timestep : Tensor, (B,) or ()
            Diffusion timestep.
        hint : Tensor, (B, 3, 8 size, 8 size), or None
            What the ControlNet is shown; None leaves it out.
        tokens : Tensor, (L, D)
            Embedding of the prompt.
        pooled : Tensor, (P,), optional
            Embedding of the whole prompt (SDXL).
        strength, decay : float
            See `config.Sampling`.
        guidance : Tensor, (B, E), optional
            Embedding of the guidance (LCM).
        """
        count = len(sample)
        prompt = tokens.expand(count, -1, -1)
        added = None if pooled is None else _added(pooled, sample)
        more: dict[str, Any] = {}
        if hint is not None:
            down, middle = self.controlnet(
                sample, timestep, prompt, controlnet_cond=hint, added_cond_kwargs=added, return_dict=False
            )
            # From the middle outwards, so that shallow layers follow the hint the least.
            down = [each * (strength * decay ** (len(down) - number)) for number, each in enumerate(down)]
            more = {
                "down_block_additional_residuals": down,
                "mid_block_additional_residual": strength * middle,
            }
        predicted: Tensor = self.unet(
            sample, timestep, prompt, timestep_cond=guidance, added_cond_kwargs=added, return_dict=False, **more
        )[0]
        return predicted

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield name and value of the weights that are trained."""
        return ((name, value) for name, value in self.named_parameters() if value.requires_grad)


def _added(pooled: Tensor, sample: Tensor) -> dict[str, Tensor]:
    """Return what SDXL is told beside the prompt: its pooled embedding; size, cut and wished size of the picture."""
    side = float(8 * sample.shape[-1])
    about = torch.tensor([side, side, 0.0, 0.0, side, side], dtype=pooled.dtype, device=sample.device)
    return {"text_embeds": pooled.expand(len(sample), -1), "time_ids": about.expand(len(sample), -1)}


def choose_trained(networks: ControlledUNet, trained: Trained, *, lora_rank: int, seed: int) -> None:
    """Decide which weights are trained, and add the LoRA matrices if there are any.

    Raises
    ------
    CytoCascadeError
        If LoRA is wished and ``cytocascade[sd]`` is not installed.
    """
    networks.controlnet.requires_grad_(True)
    networks.unet.requires_grad_(trained == "all")
    if trained == "decoder":
        for name, value in networks.unet.named_parameters():
            value.requires_grad_(name.startswith(_UPWARD))
    if trained == "lora":
        add_lora(networks.unet, lora_rank, seed=seed)


def add_lora(unet: UNet2DConditionModel, rank: int, *, seed: int) -> None:
    """Add LoRA matrices (Hu et al. 2022) to the attention of a UNet, which change nothing yet."""
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise CytoCascadeError("LoRA needs the package peft", hint="pip install 'cytocascade[sd]'") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "lora"))
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=_ATTENTION, init_lora_weights="gaussian"))


def merge_lora(unet: UNet2DConditionModel) -> None:
    """Add the LoRA matrices into the weights, so that they cost no time."""
    for module in unet.modules():
        if hasattr(module, "lora_A") and hasattr(module, "merge"):
            module.merge()


def kept_weights(networks: ControlledUNet) -> dict[str, Tensor]:
    """Return what a bundle keeps: the trained weights, by name."""
    return {name: value.detach() for name, value in networks.trained()}


def put_back(networks: ControlledUNet, weights: dict[str, Tensor]) -> None:
    """Set the weights that `kept_weights` gave.

    Raises
    ------
    ValueError
        If they are those of other networks.
    """
    known = dict(networks.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            if name not in known or known[name].shape != value.shape:
                raise ValueError(f"{name} does not fit")
            known[name].copy_(value)
