"""Options about textures by Stable Diffusion, for the commands that fit and those that generate."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytocascade.arguments import checked_model
from cytocascade.errors import CytoCascadeError

if TYPE_CHECKING:
    from cytocascade.textures.stable_diffusion.runtime import Runtime

_PANEL = "Stable Diffusion"

SdBase = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_PANEL,
        help="Its weights: hub id, folder of diffusers, .safetensors file, or a folder in which they lie. Default: "
        "$CYTOCASCADE_SD_BASE.",
    ),
]
SdDevice = Annotated[str, typer.Option(rich_help_panel=_PANEL, help="auto, cpu or cuda.")]
SdCompile = Annotated[
    bool, typer.Option("--sd-compile", rich_help_panel=_PANEL, help="Compile it: faster after some minutes.")
]
SdLcmLora = Annotated[
    str | None,
    typer.Option(rich_help_panel=_PANEL, help="LCM-LoRA for --texture-sampler lcm: file, folder or hub id."),
]

_FIELDS = {
    "sd_controlnet": "controlnet",
    "sd_mode": "mode",
    "sd_train": "train",
    "sd_hint": "hint",
    "sd_steps": "steps",
    "sd_batch": "batch",
    "sd_accumulation": "accumulation",
    "sd_learning_rate": "learning_rate",
    "sd_lora_rank": "lora_rank",
    "sd_ema": "ema",
    "sd_precision": "precision",
    "sd_checkpointing": "checkpointing",
    "sd_processes": "processes",
    "sd_prediction": "prediction",
    "sd_latent_size": "latent_size",
}


def _fit_options(
    texture_backend: Annotated[str, typer.Option(help="compact, or stable-diffusion: wants a GPU.")] = "compact",
    sd_base: SdBase = None,
    sd_preset: Annotated[str | None, typer.Option(help="default, or paper: as arXiv 2411.11515 was trained.")] = None,
    sd_controlnet: Annotated[str | None, typer.Option(help="ControlNet to start from, instead of a new one.")] = None,
    sd_mode: Annotated[str | None, typer.Option(help="latent (512 pixels, by the VAE) or pixel (without).")] = None,
    sd_train: Annotated[str | None, typer.Option(help="controlnet, lora, decoder or all.")] = None,
    sd_hint: Annotated[str | None, typer.Option(help="What the ControlNet sees: wishes, or mask.")] = None,
    sd_steps: Annotated[int | None, typer.Option(min=1, help="Its optimiser steps, if not those of the fit.")] = None,
    sd_batch: Annotated[int | None, typer.Option(min=1, help="Cells at once, per device.")] = None,
    sd_accumulation: Annotated[int | None, typer.Option(min=1, help="Batches per optimiser step.")] = None,
    sd_learning_rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    sd_lora_rank: Annotated[int | None, typer.Option(min=1, help="Rank of LoRA.")] = None,
    sd_ema: Annotated[float | None, typer.Option(help="Decay of the averaged weights; 0 for none.")] = None,
    sd_precision: Annotated[str | None, typer.Option(help="auto, no, bf16 or fp16.")] = None,
    sd_checkpointing: Annotated[
        bool | None, typer.Option("--sd-checkpointing", help="Less memory, but slower.")
    ] = None,
    sd_processes: Annotated[int | None, typer.Option(min=1, help="GPUs to train on.")] = None,
    sd_prediction: Annotated[str | None, typer.Option(help="Of SD 2 single files: epsilon or v_prediction.")] = None,
    sd_latent_size: Annotated[int | None, typer.Option(help="Side of the latent; 64, or 128 for SDXL.")] = None,
    sd_sampler: Annotated[str | None, typer.Option(help="paper, ddim, dpm++ or lcm; dpm++@10: in 10 steps.")] = None,
) -> Any:
    """Return what is asked of Stable Diffusion, `StableDiffusionOptions`, or None."""
    import os

    from cytocascade.textures.stable_diffusion.checkpoints import ENVIRONMENT
    from cytocascade.textures.stable_diffusion.config import StableDiffusionOptions
    from cytocascade.textures.stable_diffusion.presets import fit_preset, parsed_sampling

    given = {name: value for name, value in locals().items() if name.startswith("sd_") and value is not None}
    if texture_backend == "compact":
        if given:
            option = "--" + next(iter(given)).replace("_", "-")
            raise CytoCascadeError(f"{option} is for Stable Diffusion", hint="Add --texture-backend stable-diffusion.")
        return None
    if texture_backend != "stable-diffusion":
        raise CytoCascadeError(
            f"there is no texture backend {texture_backend!r}", hint="Give compact or stable-diffusion."
        )
    base = sd_base or os.environ.get(ENVIRONMENT)
    if base is None:
        raise CytoCascadeError(
            "Stable Diffusion needs its weights",
            hint="Say --sd-base with a hub id (stable-diffusion-v1-5/stable-diffusion-v1-5), a folder of diffusers or "
            f"a .safetensors file, or set {ENVIRONMENT}.",
        )
    wishes: dict[str, Any] = fit_preset(sd_preset or "default") | {"base": base}
    wishes |= {field: given[option] for option, field in _FIELDS.items() if option in given}
    if sd_sampler is not None:
        wishes["sampling"] = parsed_sampling(sd_sampler)
    return checked_model(StableDiffusionOptions, option_prefix="sd-", **wishes)


def with_stable_diffusion(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `_fit_options`, and pass it what they say as its argument `stable_diffusion`."""
    own = inspect.signature(command, eval_str=True)
    more = inspect.signature(_fit_options, eval_str=True)
    added = {name: _in_panel(parameter) for name, parameter in more.parameters.items()}

    @functools.wraps(command)
    def called(**values: Any) -> Any:
        asked = {name: values.pop(name) for name in added if name in values}
        return command(**values, stable_diffusion=_fit_options(**asked))

    kept = [parameter for name, parameter in own.parameters.items() if name != "stable_diffusion"]
    parameters = [*kept, *added.values()]
    # Typer reads both.
    called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def _in_panel(parameter: inspect.Parameter) -> inspect.Parameter:
    for mark in parameter.annotation.__metadata__:
        mark.rich_help_panel = _PANEL
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)


def runtime_of(base: str | None, device: str, compiled: bool, lcm_lora: str | None) -> Runtime:
    """Return where and how to paint, as the options of a command that generates say."""
    from cytocascade.cli.fitting import checked_device
    from cytocascade.textures.stable_diffusion.runtime import Runtime

    return Runtime(base, device if device == "auto" else checked_device(device), compiled, lcm_lora)
