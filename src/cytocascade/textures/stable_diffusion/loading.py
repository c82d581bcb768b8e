"""Networks of Stable Diffusion from a folder of diffusers or a single file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from cytocascade.diffusion.foreign_weights import refuse_pickle
from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import derive_seed
from cytocascade.textures.stable_diffusion import single_file
from cytocascade.textures.stable_diffusion.checkpoints import (
    component_folder,
    damage_told,
    find_on_hub,
    weight_files,
)
from cytocascade.textures.stable_diffusion.config import Mode, Prediction

_SCHEDULE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "steps_offset",
    "set_alpha_to_one",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True)
class Networks:
    """The parts of Stable Diffusion that textures need, on the CPU, in single precision.

    Attributes
    ----------
    unet : UNet2DConditionModel
        The denoising network.
    vae : AutoencoderKL or None
        Between pictures and latents; None in pixel mode.
    schedule : dict
        Noise schedule, as the fields of a diffusers scheduler.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL | None
    schedule: dict[str, Any]


def load_networks(base: Path, mode: Mode, *, prediction: Prediction = "auto") -> Networks:
    """Read UNet, VAE (in latent mode) and schedule of a base.

    Parameters
    ----------
    base : Path
        Folder of diffusers or ``.safetensors`` file, from `checkpoints.find_base`.
    mode : {"latent", "pixel"}
        Whether the VAE is needed.
    prediction : {"auto", "epsilon", "v_prediction"}
        What the base predicts, where it does not tell.

    Raises
    ------
    CytoCascadeError
        If a part is missing or damaged.
    """
    networks = _from_file(base, mode, prediction) if base.is_file() else _from_folder(base, mode, prediction)
    for part in (networks.unet, networks.vae):
        if part is not None:
            _in_own_memory(part)
    if networks.unet.config.in_channels != networks.unet.config.out_channels:
        raise CytoCascadeError(
            f"this UNet takes {networks.unet.config.in_channels} channels, and gives back fewer",
            path=base,
            hint="Take a base for text to image, not one for inpainting or depth.",
        )
    return networks


def _from_folder(base: Path, mode: Mode, prediction: Prediction) -> Networks:
    unet = _component(base, "unet", UNet2DConditionModel)
    vae = _component(base, "vae", AutoencoderKL) if mode == "latent" else None
    schedule = _folder_schedule(base)
    if prediction != "auto":
        schedule["prediction_type"] = prediction
    return Networks(unet, vae, schedule)


def _in_own_memory(part: torch.nn.Module) -> None:
    """Copy weights out of the mapped file: where they lie in it decides the last bits of what is computed."""
    for value in part.parameters():
        value.data = value.data.clone(memory_format=torch.contiguous_format)


def _component(base: Path, name: str, kind: Any) -> Any:
    folder = component_folder(base, name)
    _, variant = weight_files(folder)
    with damage_told(folder):
        return kind.from_pretrained(
            folder, use_safetensors=True, variant=variant, torch_dtype=torch.float32, local_files_only=True
        ).eval()


def _folder_schedule(base: Path) -> dict[str, Any]:
    file = base / "scheduler" / "scheduler_config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CytoCascadeError(
            "the noise schedule is missing", path=file, hint="Download the whole repository, with its .json files."
        ) from error
    return {**single_file.SCHEDULE, **{name: config[name] for name in _SCHEDULE if config.get(name) is not None}}


def _from_file(path: Path, mode: Mode, prediction: Prediction) -> Networks:
    with damage_told(path):
        state = single_file.read_single_file(path)
        with single_file.written_configs(
            unet=single_file.unet_config(state), **({"vae": single_file.vae_config(state)} if mode == "latent" else {})
        ) as folder:
            unet = UNet2DConditionModel.from_single_file(state, config=folder, subfolder="unet", local_files_only=True)
            vae = None
            if mode == "latent":
                vae = AutoencoderKL.from_single_file(state, config=folder, subfolder="vae", local_files_only=True)
        schedule = single_file.schedule_of(state, prediction, path)
    return Networks(unet.float().eval(), None if vae is None else vae.float().eval(), schedule)


def load_controlnet(source: str | None, unet: UNet2DConditionModel, *, seed: int, download: bool) -> ControlNetModel:
    """Return the ControlNet to start from: a copy of the UNet's downward half, or a trained one.

    Parameters
    ----------
    source : str or None
        Hub id, folder of diffusers, or ``.safetensors`` file (of diffusers, or of lllyasviel).
    unet : UNet2DConditionModel
        The UNet it belongs to.
    seed : int
        Seed of the weights that the UNet does not have.
    download : bool
        Whether it may be fetched from the hub.

    Raises
    ------
    CytoCascadeError
        If it is missing, damaged, or belongs to another UNet.
    """
    fresh = new_controlnet(unet, seed=seed)
    if source is None:
        return fresh
    place = Path(source)
    if not place.exists():
        found_place = find_on_hub(source, download=download)
        if found_place is None:
            raise CytoCascadeError(
                f"there is no ControlNet {source!r}",
                hint="Give a hub id, a folder of diffusers, or a file.",
            )
        place = found_place
    refuse_pickle(place)
    with damage_told(place):
        if place.is_file():
            with single_file.written_configs(controlnet=controlnet_config(fresh)) as folder:
                found = ControlNetModel.from_single_file(
                    str(place), config=folder, subfolder="controlnet", local_files_only=True
                )
        else:
            _, variant = weight_files(place)
            found = ControlNetModel.from_pretrained(place, use_safetensors=True, variant=variant, local_files_only=True)
    if found.config.cross_attention_dim != unet.config.cross_attention_dim:
        raise CytoCascadeError(
            "this ControlNet was made for another Stable Diffusion",
            path=place,
            hint="Both must be of the same generation: 1.5, 2.1 or XL.",
        )
    _in_own_memory(found)
    return found.float().eval()


def new_controlnet(unet: UNet2DConditionModel, *, seed: int) -> ControlNetModel:
    """Return a ControlNet that copies the UNet's downward half and does nothing yet (Zhang et al. 2023)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "controlnet"))
        made = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    for name in ("conv_in", "time_embedding", "add_embedding", "down_blocks", "mid_block"):
        part = getattr(made, name, None)
        if part is not None:
            # LCM's UNet embeds the guidance too, which a ControlNet does without.
            part.load_state_dict(getattr(unet, name).state_dict(), strict=name != "time_embedding")
    return made.eval()


def controlnet_config(controlnet: ControlNetModel) -> dict[str, Any]:
    """Return the config of a ControlNet as JSON values."""
    plain: dict[str, Any] = json.loads(controlnet.to_json_string())
    return {name: value for name, value in plain.items() if name not in ("_diffusers_version", "_name_or_path")}
