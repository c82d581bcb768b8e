"""A Stable Diffusion of a few channels, as folders of diffusers and as the single files that most people share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

WIDTHS = (32, 64)
TOKENS = 2 * 256 + 2
LENGTH = 8
TEXT = 64


def make_base(
    folder: Path,
    *,
    prediction: str = "epsilon",
    seed: int = 0,
    xl: bool = False,
    linear: bool = False,
    time_cond_proj_dim: int | None = None,
) -> Path:
    """Write a tiny base as a folder of diffusers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        more: dict[str, Any] = {}
        if xl:
            more = {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 6 * 8 + 16,
            }
        unet = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=WIDTHS,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=2 * TEXT if xl else TEXT,
            attention_head_dim=[1, 1] if linear else 8,
            use_linear_projection=linear,
            time_cond_proj_dim=time_cond_proj_dim,
            **more,
        )
        vae = AutoencoderKL(
            block_out_channels=WIDTHS,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            latent_channels=4,
            sample_size=128,
        )
        text = CLIPTextModel(_text_config())
        second = CLIPTextModelWithProjection(_text_config(projection_dim=16, hidden_act="gelu")) if xl else None
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    text.save_pretrained(folder / "text_encoder")
    if second is not None:
        second.save_pretrained(folder / "text_encoder_2")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    ).save_pretrained(folder / "scheduler")
    _write_tokenizer(folder / "tokenizer")
    return folder


def make_controlnet(folder: Path, *, seed: int = 7) -> Path:
    """Write a tiny ControlNet for `make_base`, which already does something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        controlnet = ControlNetModel(
            block_out_channels=WIDTHS,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            layers_per_block=1,
            cross_attention_dim=TEXT,
            attention_head_dim=8,
            conditioning_embedding_out_channels=(4, 4, 4, 8),
        )
        for block in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
            nn.init.normal_(block.weight, std=0.3)
        nn.init.normal_(controlnet.controlnet_cond_embedding.conv_out.weight, std=8.0)
    controlnet.save_pretrained(folder)
    return folder


def make_lora(base: Path, folder: Path, *, seed: int) -> Path:
    """Write LoRA matrices for the UNet of `make_base`, as diffusers' training scripts do."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
    return folder


def _text_config(**changes: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        **{
            "vocab_size": TOKENS,
            "hidden_size": TEXT,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "max_position_embeddings": LENGTH,
            "bos_token_id": TOKENS - 2,
            "eos_token_id": TOKENS - 1,
            "pad_token_id": TOKENS - 1,
            **changes,
        }
    )


def _write_tokenizer(folder: Path) -> None:
    folder.mkdir()
    letters = [chr(256 + number) for number in range(256)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {"model_max_length": LENGTH, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def make_single_file(base: Path, path: Path, *, open_clip: bool = False) -> Path:
    """Write a base as the original Stable Diffusion names its tensors."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    vae = AutoencoderKL.from_pretrained(base / "vae")
    text = CLIPTextModel.from_pretrained(base / "text_encoder")
    state = _unet_tensors(unet) | _vae_tensors(vae)
    for name, value in text.state_dict().items():
        state["cond_stage_model.transformer.text_model." + name.removeprefix("text_model.")] = value
    if open_clip:
        state["cond_stage_model.model.token_embedding.weight"] = torch.zeros(4, 4)
    save_file({name: value.clone().contiguous() for name, value in state.items()}, path)
    return path


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def _unet_tensors(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    places = {
        "conv_in.": "input_blocks.0.0.",
        "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.",
        "conv_norm_out.": "out.0.",
        "conv_out.": "out.2.",
        "mid_block.resnets.0.": "middle_block.0.",
        "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.1.": "middle_block.2.",
    }
    layers = unet.config.layers_per_block
    for level in range(len(WIDTHS)):
        for layer in range(layers):
            number = 1 + level * (layers + 1) + layer
            places[f"down_blocks.{level}.resnets.{layer}."] = f"input_blocks.{number}.0."
            places[f"down_blocks.{level}.attentions.{layer}."] = f"input_blocks.{number}.1."
        places[f"down_blocks.{level}.downsamplers.0.conv."] = f"input_blocks.{(level + 1) * (layers + 1)}.0.op."
        attended = "CrossAttn" in unet.config.up_block_types[level]
        for layer in range(layers + 1):
            number = level * (layers + 1) + layer
            places[f"up_blocks.{level}.resnets.{layer}."] = f"output_blocks.{number}.0."
            places[f"up_blocks.{level}.attentions.{layer}."] = f"output_blocks.{number}.1."
        last = (level + 1) * (layers + 1) - 1
        places[f"up_blocks.{level}.upsamplers.0.conv."] = f"output_blocks.{last}.{2 if attended else 1}.conv."
    return {f"model.diffusion_model.{_moved(name, places)}": v for name, v in unet.state_dict().items()}


def _moved(name: str, places: dict[str, str]) -> str:
    start = next(place for place in places if name.startswith(place))
    rest = name.removeprefix(start)
    if "resnets" in start:
        part = rest.split(".")[0]
        rest = rest.replace(part, _RESNET[part], 1)
    return places[start] + rest


def _vae_tensors(vae: AutoencoderKL) -> dict[str, Tensor]:
    last = len(WIDTHS) - 1
    state = {}
    for name, value in vae.state_dict().items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = new.replace("mid_block.attentions.0", "mid.attn_1").replace("mid_block.resnets.0", "mid.block_1")
        new = new.replace("mid_block.resnets.1", "mid.block_2").replace("group_norm", "norm")
        for old, other in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
            if f"attn_1.{old}." in new:
                new = new.replace(old, other)
                value = value[..., None, None] if value.ndim == 2 else value
        for level in range(len(WIDTHS)):
            new = new.replace(f"down_blocks.{level}.resnets.", f"down.{level}.block.")
            new = new.replace(f"down_blocks.{level}.downsamplers.0", f"down.{level}.downsample")
            new = new.replace(f"up_blocks.{level}.resnets.", f"up.{last - level}.block.")
            new = new.replace(f"up_blocks.{level}.upsamplers.0", f"up.{last - level}.upsample")
        state[f"first_stage_model.{new}"] = value
    return state
