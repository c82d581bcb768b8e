"""A base and what was trained, put together again."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor

from cytocascade.diffusion.foreign_weights import refuse_pickle
from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion.checkpoints import find_on_hub
from cytocascade.textures.stable_diffusion.config import StableDiffusionConfig
from cytocascade.textures.stable_diffusion.loading import load_networks
from cytocascade.textures.stable_diffusion.networks import ControlledUNet, add_lora, merge_lora, put_back


def rebuilt(
    base: Path, config: StableDiffusionConfig, weights: dict[str, Tensor], lcm_lora: str | None = None
) -> tuple[ControlledUNet, AutoencoderKL | None]:
    """Return the fitted networks, on the CPU, and the VAE.

    Parameters
    ----------
    base : Path
        The base that the bundle was fitted with.
    config : StableDiffusionConfig
        Of the bundle.
    weights : dict of str to Tensor
        What was trained.
    lcm_lora : str, optional
        LoRA for few steps, added into the UNet.

    Raises
    ------
    CytoCascadeError
        If the base is damaged or does not fit, or ``cytocascade[sd]`` is needed and not there.
    """
    # The prediction is in the recorded schedule, so nothing needs to be told about it here.
    parts = load_networks(base, config.mode, prediction=config.schedule["prediction_type"])
    controlnet = ControlNetModel.from_config(config.controlnet)
    networks = ControlledUNet(parts.unet, controlnet)
    if config.lora_rank:
        add_lora(parts.unet, config.lora_rank, seed=0)
    try:
        put_back(networks, weights)
    except ValueError as error:
        raise CytoCascadeError(
            f"what was trained does not fit this base ({error})", path=base, hint="Give the base of the fit."
        ) from error
    if config.lora_rank:
        merge_lora(parts.unet)
    if lcm_lora is not None:
        _add_lcm(parts.unet, lcm_lora)
    return networks.eval(), parts.vae


def _add_lcm(unet: UNet2DConditionModel, source: str) -> None:
    """Add an LCM-LoRA into the weights of a UNet."""
    from diffusers import StableDiffusionPipeline

    place = Path(source)
    if not place.exists():
        found = find_on_hub(source, download=True)
        if found is None:
            raise CytoCascadeError(
                f"there is no LCM-LoRA {source!r}", hint="Give a .safetensors file, a folder, or a hub id."
            )
        place = found
    refuse_pickle(place)
    try:
        state, alphas = StableDiffusionPipeline.lora_state_dict(
            str(place), use_safetensors=True, local_files_only=True, unet_config=unet.config
        )
        with torch.random.fork_rng(devices=[]):
            unet.load_lora_adapter(state, prefix="unet", network_alphas=alphas, adapter_name="lcm")
    except ImportError as error:
        raise CytoCascadeError("LoRA needs the package peft", hint="pip install 'cytocascade[sd]'") from error
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise CytoCascadeError(
            f"this LCM-LoRA does not fit the base ({str(error).splitlines()[0]})",
            path=place,
            hint="It must be of the same generation: 1.5, 2.1 or XL.",
        ) from error
    merge_lora(unet)
