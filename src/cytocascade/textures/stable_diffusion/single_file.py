"""Single files of Stable Diffusion, as most checkpoints are shared: what their networks look like, and reading them."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion.config import Prediction

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
XL_CLIP, XL_OPEN_CLIP = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "rescale_betas_zero_snr": False,
}
"""Noise schedule of Stable Diffusion 1, 2 and XL (Rombach et al. 2022)."""

_HEAD = 64


def read_single_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a single file, or raise `CytoCascadeError` if it is damaged or holds no UNet."""
    try:
        state: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise CytoCascadeError(f"no readable safetensors ({error})", path=path, hint="Download it again.") from error
    if f"{UNET}input_blocks.0.0.weight" not in state:
        raise CytoCascadeError(
            "this file holds no UNet of Stable Diffusion",
            path=path,
            hint="Give a whole checkpoint (its tensors are called model.diffusion_model...), or a folder of diffusers.",
        )
    return state


@contextmanager
def written_configs(**configs: dict[str, Any]) -> Iterator[str]:
    """Yield a folder with one config per component, as diffusers and transformers read them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, config in configs.items():
            place = Path(folder) / name
            place.mkdir()
            (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
        yield folder


def unet_config(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return the config of the UNet, told by the shapes of its weights.

    Widths, depths, attention and text width are in the shapes. Heads are not: there are 8 where the attention's
    projections are convolutions (SD 1), else heads are 64 wide (SD 2, SDXL).
    """
    widths, depths, layers = _levels(state)
    linear = next(value.ndim == 2 for name, value in state.items() if name.endswith(".proj_in.weight"))
    attended = [depth > 0 for depth in depths]
    config: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": 64,
        "in_channels": state[f"{UNET}input_blocks.0.0.weight"].shape[1],
        "out_channels": state[f"{UNET}out.2.weight"].shape[0],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if cross else "DownBlock2D" for cross in attended],
        "up_block_types": ["CrossAttnUpBlock2D" if cross else "UpBlock2D" for cross in reversed(attended)],
        "cross_attention_dim": next(v.shape[1] for k, v in state.items() if k.endswith(".attn2.to_k.weight")),
        "attention_head_dim": [max(1, width // _HEAD) for width in widths] if linear else 8,
        "use_linear_projection": linear,
        "transformer_layers_per_block": [max(1, depth) for depth in depths],
    }
    if f"{UNET}label_emb.0.0.weight" in state:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": state[f"{UNET}label_emb.0.0.weight"].shape[1],
        }
    return config


def _levels(state: dict[str, Tensor]) -> tuple[list[int], list[int], int]:
    """Return width and transformer depth of every level, and the residual blocks per level."""
    widths, depths, layers, number = [0], [0], 0, 1
    while any(name.startswith(f"{UNET}input_blocks.{number}.") for name in state):
        block = f"{UNET}input_blocks.{number}."
        if f"{block}0.op.weight" in state:
            widths.append(0)
            depths.append(0)
        else:
            widths[-1] = state[f"{block}0.out_layers.3.weight"].shape[0]
            found = {match[1] for name in state if (match := re.match(rf"{block}1\.transformer_blocks\.(\d+)\.", name))}
            depths[-1] = len(found)
            layers += len(widths) == 1
        number += 1
    return widths, depths, layers


def vae_config(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return the config of the VAE, told by the shapes of its weights."""
    encoder = f"{VAE}encoder."
    widths: list[int] = []
    blocks = 0
    while f"{encoder}down.{len(widths)}.block.0.conv2.weight" in state:
        widths.append(state[f"{encoder}down.{len(widths)}.block.0.conv2.weight"].shape[0])
    while f"{encoder}down.0.block.{blocks}.conv2.weight" in state:
        blocks += 1
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": 512,
        "in_channels": state[f"{encoder}conv_in.weight"].shape[1],
        "out_channels": state[f"{VAE}decoder.conv_out.weight"].shape[0],
        "block_out_channels": widths,
        "layers_per_block": blocks,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "latent_channels": state[f"{VAE}post_quant_conv.weight"].shape[1],
        "scaling_factor": 0.13025 if f"{UNET}label_emb.0.0.weight" in state else 0.18215,
    }


def text_config(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return the config of the text encoder of SD 1 or 2 (transformers), told by the shapes of its weights."""
    if f"{CLIP}embeddings.token_embedding.weight" in state:
        return _clip(state, CLIP)
    if f"{OPEN_CLIP}token_embedding.weight" in state:
        # Stable Diffusion 2 takes the last layer but one.
        return _open_clip(state, OPEN_CLIP, leave_out=1)
    raise CytoCascadeError("the file holds no text encoder", hint="Give the whole checkpoint, or a folder.")


def xl_text_configs(state: dict[str, Tensor]) -> list[dict[str, Any]]:
    """Return the configs of both text encoders of SDXL."""
    second = _open_clip(state, XL_OPEN_CLIP, leave_out=0)
    second["projection_dim"] = state[f"{XL_OPEN_CLIP}text_projection"].shape[1]
    return [_clip(state, XL_CLIP), second]


def _clip(state: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    tokens, width = state[f"{prefix}embeddings.token_embedding.weight"].shape
    layers = {int(m[1]) for k in state if (m := re.match(rf"{re.escape(prefix)}encoder\.layers\.(\d+)\.", k))}
    return {
        **_text(tokens, width, len(layers), state[f"{prefix}embeddings.position_embedding.weight"].shape[0]),
        "intermediate_size": state[f"{prefix}encoder.layers.0.mlp.fc1.weight"].shape[0],
        "hidden_act": "quick_gelu",
        "pad_token_id": tokens - 1,
    }


def _open_clip(state: dict[str, Tensor], prefix: str, *, leave_out: int) -> dict[str, Any]:
    tokens, width = state[f"{prefix}token_embedding.weight"].shape
    layers = {int(m[1]) for k in state if (m := re.match(rf"{re.escape(prefix)}transformer\.resblocks\.(\d+)\.", k))}
    return {
        **_text(tokens, width, len(layers) - leave_out, state[f"{prefix}positional_embedding"].shape[0]),
        "intermediate_size": state[f"{prefix}transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "hidden_act": "gelu",
        # OpenCLIP fills up with token 0, not with the end.
        "pad_token_id": 0,
    }


def _text(tokens: int, width: int, layers: int, length: int) -> dict[str, Any]:
    return {
        "model_type": "clip_text_model",
        "vocab_size": tokens,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // _HEAD),
        "max_position_embeddings": length,
        "bos_token_id": tokens - 2,
        "eos_token_id": tokens - 1,
    }


def schedule_of(state: dict[str, Tensor], prediction: Prediction, path: Path) -> dict[str, Any]:
    """Return the noise schedule of a single file.

    Raises
    ------
    CytoCascadeError
        If the file is one of Stable Diffusion 2, whose prediction is not in the file, and was not given.
    """
    if prediction == "auto":
        if f"{OPEN_CLIP}token_embedding.weight" in state:
            raise CytoCascadeError(
                "a single file of Stable Diffusion 2 does not tell what it predicts",
                path=path,
                hint="Give --sd-prediction v_prediction (768 pixels) or epsilon (the 512-base ones).",
            )
        prediction = "epsilon"
    return {**SCHEDULE, "prediction_type": prediction}
