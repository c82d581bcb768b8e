"""What is trained, on what: a base, what is added to it, and the cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from diffusers import AutoencoderKL

from cytocascade.diffusion.training import Batch
from cytocascade.images.cells import Modality, SingleCells
from cytocascade.seeding import derive_seed
from cytocascade.textures.model import texture_batches
from cytocascade.textures.stable_diffusion.checkpoints import hash_base
from cytocascade.textures.stable_diffusion.config import BaseRecord, StableDiffusionConfig, StableDiffusionOptions
from cytocascade.textures.stable_diffusion.loading import controlnet_config, load_controlnet, load_networks
from cytocascade.textures.stable_diffusion.networks import ControlledUNet, choose_trained, put_back
from cytocascade.textures.stable_diffusion.painter import StableDiffusionPainter
from cytocascade.textures.stable_diffusion.prompt import Prompt, empty_prompt
from cytocascade.types import FloatArray


@dataclass(frozen=True)
class Task:
    """What is trained, on what.

    Attributes
    ----------
    networks : ControlledUNet
        Its weights to train require gradients; trained in place.
    vae : AutoencoderKL or None
        None in pixel mode.
    prompt : Prompt
        Embedding of the empty prompt.
    config : StableDiffusionConfig
        What the bundle will keep.
    modality : {"fluorescence", "phase"}
        Of the cells.
    batch_at : callable
        Gives batch number i, of `textures.model.texture_batches`; every device and every accumulated batch has its own.
    """

    networks: ControlledUNet
    vae: AutoencoderKL | None
    prompt: Prompt
    config: StableDiffusionConfig
    modality: Modality
    batch_at: Callable[[int], Batch]


def assemble(
    base: Path, options: StableDiffusionOptions, modality: Modality, *, seed: int, start: StableDiffusionPainter | None
) -> Task:
    """Return a task without cells.

    Parameters
    ----------
    base : Path
        Folder or file, from `checkpoints.find_base`.
    options : StableDiffusionOptions
        What is trained, and how.
    modality : {"fluorescence", "phase"}
        Of the cells.
    seed : int
        Seed of the weights that are new.
    start : StableDiffusionPainter, optional
        Fitted before: what it has learned on the same base is gone on from.

    Raises
    ------
    CytoCascadeError
        If the base or the ControlNet is damaged, or a package is missing.
    """
    parts = load_networks(base, options.mode, prediction=options.prediction)
    prompt = empty_prompt(base)
    networks = ControlledUNet(parts.unet, load_controlnet(options.controlnet, parts.unet, seed=seed, download=True))
    choose_trained(networks, options.train, lora_rank=options.lora_rank, seed=seed)
    local = Path(options.base)
    record = BaseRecord(
        # A path must be found again from another folder.
        name=str(local.resolve()) if local.exists() else options.base,
        files=hash_base(base, options.mode),
    )
    config = StableDiffusionConfig(
        base=record,
        mode=options.mode,
        trained=options.train,
        hint=options.hint,
        sampling=options.sampling,
        latent_channels=parts.unet.config.in_channels,
        latent_size=options.latent_size,
        lora_rank=options.lora_rank if options.train == "lora" else 0,
        controlnet=controlnet_config(networks.controlnet),
        schedule=parts.schedule,
    )
    if start is not None and options.controlnet is None and start.config.base.files == record.files:
        known = {name: value.shape for name, value in networks.named_parameters()}
        put_back(networks, {name: v for name, v in start.weights.items() if known.get(name) == v.shape})

    def no_cells(number: int) -> Batch:
        raise AssertionError("a task without cells")

    return Task(networks, parts.vae, prompt, config, modality, no_cells)


def with_cells(
    task: Task, cells: SingleCells, texture: FloatArray, options: StableDiffusionOptions, *, steps: int, seed: int
) -> Task:
    """Return the task of learning from `cells`, with their `TEXTURE_NAMES` (n, 2), in `steps` optimiser steps."""
    batches = steps * options.accumulation * options.processes
    batch_at = texture_batches(
        cells, texture, None, batch=options.batch, steps=batches, seed=derive_seed(seed, "stable-diffusion")
    )
    return replace(task, batch_at=batch_at)
