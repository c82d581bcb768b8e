"""The empty prompt: what text encoders make of it is all that is needed of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion import single_file
from cytocascade.textures.stable_diffusion.checkpoints import component_folder, damage_told, weight_files


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
    with damage_told(folder):
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
    with damage_told(path):
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
