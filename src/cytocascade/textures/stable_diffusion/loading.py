"""Networks of Stable Diffusion from a folder of diffusers or a single file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors import SafetensorError
from torch import Tensor

from cytocascade.diffusion.foreign_weights import refuse_pickle
from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import derive_seed
from cytocascade.textures.stable_diffusion import single_file
from cytocascade.textures.stable_diffusion.checkpoints import (
    component_folder,
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


@dataclass(frozen=True)
class Prompt:
    """What the text encoder makes of the empty prompt.

    Attributes
    ----------
    tokens : Tensor, (L, D) float32
        Embedding of every token, for the cross-attention.
    pooled : Tensor, (P,) float32, or None
        Embedding of the whole prompt (SDXL).
    """

    tokens: Tensor
    pooled: Tensor | None = None


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
    with _damage_told(folder):
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
    with _damage_told(path):
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


def empty_prompt(base: Path) -> Prompt:
    """Return what the text encoder of a base makes of the empty prompt; the encoder is freed.

    Raises
    ------
    CytoCascadeError
        If ``cytocascade[sd]`` is not installed, or the base has no text encoder.
    """
    transformers = _transformers()
    with _without_bars(transformers):
        encoders = _encoders(base, transformers)
    with torch.inference_mode():
        given = [encoder(torch.tensor([tokens]), output_hidden_states=True) for encoder, tokens in encoders]
    if len(given) == 1:
        return Prompt(given[0].last_hidden_state[0].float().clone())
    # SDXL takes both encoders' last layer but one, and the second's embedding of the whole.
    tokens = torch.cat([each.hidden_states[-2][0] for each in given], dim=-1)
    return Prompt(tokens.float().clone(), given[1].text_embeds[0].float().clone())


def _encoders(base: Path, transformers: Any) -> list[tuple[Any, list[int]]]:
    """Return the text encoders, and the tokens of the empty prompt for each."""
    if base.is_file():
        return _encoders_of_file(base, transformers)
    ends = [end for end in ("", "_2") if end == "" or (base / f"text_encoder{end}").is_dir()]
    return [_encoder_of_folder(base, end, transformers) for end in ends]


@contextmanager
def _without_bars(transformers: Any) -> Iterator[None]:
    """Keep transformers from showing bars of its own."""
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise CytoCascadeError(
            "the text encoder of Stable Diffusion needs the package transformers",
            hint="pip install 'cytocascade[sd]'",
        ) from error
    return transformers


def _encoder_of_folder(base: Path, end: str, transformers: Any) -> tuple[Any, list[int]]:
    folder = component_folder(base, f"text_encoder{end}")
    _, variant = weight_files(folder)
    kind = transformers.CLIPTextModelWithProjection if end else transformers.CLIPTextModel
    with _damage_told(folder):
        encoder = kind.from_pretrained(folder, use_safetensors=True, variant=variant, local_files_only=True)
        places = base / f"tokenizer{end}"
        if not (places / "vocab.json").is_file() and not (places / "tokenizer.json").is_file():
            return encoder.float().eval(), _no_words(encoder.config)
        tokenizer = transformers.CLIPTokenizer.from_pretrained(places, local_files_only=True)
        tokens = tokenizer("", padding="max_length", max_length=encoder.config.max_position_embeddings, truncation=True)
    return encoder.float().eval(), list(tokens["input_ids"])


def _encoders_of_file(path: Path, transformers: Any) -> list[tuple[Any, list[int]]]:
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    state = single_file.read_single_file(path)
    kinds = [transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection]
    is_xl = f"{single_file.XL_OPEN_CLIP}token_embedding.weight" in state
    encoders = []
    with _damage_told(path):
        configs = single_file.xl_text_configs(state) if is_xl else [single_file.text_config(state)]
        for kind, config in zip(kinds, configs):
            with single_file.written_configs(text=config) as folder:
                encoder = create_diffusers_clip_model_from_ldm(
                    kind, checkpoint=state, subfolder="text", config=folder, local_files_only=True
                )
            encoders.append((encoder.float().eval(), _no_words(encoder.config)))
    return encoders


def _no_words(config: Any) -> list[int]:
    """Return the tokens of the empty prompt: begin, end, and padding up to the longest prompt."""
    begin, end = config.vocab_size - 2, config.vocab_size - 1
    # OpenCLIP (SD 2) fills up with token 0, CLIP (SD 1) with the end; the configs' own entries are not reliable.
    padding = 0 if config.hidden_act == "gelu" else end
    return [begin, end] + [padding] * (config.max_position_embeddings - 2)


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
    with _damage_told(place):
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


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except CytoCascadeError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, StopIteration) as error:
        raise CytoCascadeError(
            f"these weights cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            path=path,
            hint="Download them again, with their .json files; Stable Diffusion 1.5, 2.1 and XL are supported.",
        ) from error
