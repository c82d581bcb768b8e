"""How much memory training needs, counted before it starts."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion.config import StableDiffusionOptions
from cytocascade.textures.stable_diffusion.networks import ControlledUNet
from cytocascade.textures.stable_diffusion.painter import HINT_SCALE
from cytocascade.textures.stable_diffusion.task import Task

_CHECKPOINTED = re.compile(r"(resnets|transformer_blocks)\.\d+$")

RESERVE = 1.15
"""Factor for what is not counted: workspaces, fragments, the VAE's pass."""

CONTEXT = 0.6e9
"""Bytes that a GPU's driver and libraries take for themselves."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that training needs on each device.

    Attributes
    ----------
    weights : int
        All networks.
    training : int
        Gradients, both moments of AdamW, averaged weights.
    activations : int
        What the backward pass needs of the forward pass, for one batch.
    """

    weights: int
    training: int
    activations: int

    @property
    def total(self) -> int:
        """Everything, with a reserve."""
        return int(RESERVE * (self.weights + self.training + self.activations))

    def __str__(self) -> str:
        parts = (self.weights, self.training, self.activations)
        weights, training, activations = (f"{part / 1e9:.1f}" for part in parts)
        return (
            f"needs about {self.total / 1e9:.1f} GB: weights {weights}, gradients and optimiser {training}, "
            f"activations {activations}"
        )


def estimate_memory(task: Task, options: StableDiffusionOptions, precision: str) -> MemoryEstimate:
    """Return what training will need.

    Weights are counted. Activations too: copies of the networks without any data (torch's device ``meta``) make one
    forward pass, and what autograd keeps is added up.

    Parameters
    ----------
    task : Task
        Networks.
    options : StableDiffusionOptions
        Batch, averaging, gradient checkpointing.
    precision : {"no", "bf16", "fp16"}
        Mixed precision.
    """
    half = 4 if precision == "no" else 2
    trained = sum(value.numel() for _, value in task.networks.trained())
    every = sum(value.numel() for value in task.networks.parameters())
    vae = 0 if task.vae is None else sum(value.numel() for value in task.vae.parameters())
    weights = 4 * trained + half * (every - trained) + 4 * vae
    training = 4 * trained * (3 + bool(options.ema))
    saved = saved_by_autograd(task)
    if options.checkpointing:
        # Of every block its input is kept, and one block at a time is computed again.
        kept = sum(saved.inputs.values()) + max(saved.blocks.values(), default=0) + saved.outside
    else:
        kept = sum(saved.blocks.values()) + saved.outside
    # The trained weights are cast for the pass, too.
    casts = 0 if precision == "no" else half * trained
    return MemoryEstimate(weights, training, options.batch * kept * half // 4 + casts)


def refuse_too_small(estimate: MemoryEstimate, options: StableDiffusionOptions, device: str) -> None:
    """Raise `CytoCascadeError`, with what to change, if a device is too small."""
    free, need = free_memory(device), estimate.total + (CONTEXT if device != "cpu" else 0)
    if free >= need:
        return
    ways = []
    if not options.checkpointing:
        ways.append("--sd-checkpointing")
    if options.batch > 1:
        ways.append(f"--sd-batch 1 --sd-accumulation {options.batch * options.accumulation}")
    if options.precision == "no" and device != "cpu":
        ways.append("--sd-precision bf16")
    if options.ema:
        ways.append("--sd-ema 0")
    if options.train in ("all", "decoder"):
        ways.append("--sd-train controlnet")
    raise CytoCascadeError(
        f"the device {device!r} is too small: training {estimate}; {free / 1e9:.1f} GB are free",
        hint="Use a larger one" + (f", or {', '.join(ways)}." if ways else "."),
    )


def free_memory(device: str) -> int:
    """Return the free bytes of a device."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


@dataclass
class Saved:
    """Bytes that autograd keeps of one sample in single precision, by block, and of the blocks' inputs."""

    blocks: dict[str, int]
    inputs: dict[str, int]
    outside: int = 0


def saved_by_autograd(task: Task) -> Saved:
    """Return what a forward pass of one sample keeps, without computing it."""
    networks = ControlledUNet(_empty(task.networks.unet), _empty(task.networks.controlnet)).train()
    config = task.config
    shape = (1, config.latent_channels, config.latent_size, config.latent_size)
    side = HINT_SCALE * config.latent_size
    pooled = None if task.prompt.pooled is None else task.prompt.pooled.to("meta")
    saved = Saved({}, {})
    with _counted(networks, saved):
        networks(
            torch.zeros(shape, device="meta"),
            torch.zeros(1, device="meta", dtype=torch.long),
            torch.zeros((1, 3, side, side), device="meta"),
            task.prompt.tokens.to("meta"),
            pooled,
        )
    return saved


def _empty(model: nn.Module) -> nn.Module:
    """Return a copy of a network without data, that needs the same gradients."""
    memo: dict[int, Tensor] = {id(value): _like(value) for value in model.parameters()}
    memo |= {id(value): value.detach().to("meta") for value in model.buffers()}
    return copy.deepcopy(model, memo)


def _like(value: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.empty_like(value, device="meta", dtype=torch.float32), requires_grad=value.requires_grad)


@contextmanager
def _counted(networks: ControlledUNet, saved: Saved) -> Iterator[None]:
    """Add up what autograd keeps inside the block, by the block of the network that is being computed."""
    weights = {id(value.untyped_storage()) for value in networks.parameters()}
    current: list[str] = []
    seen: set[int] = set()
    # Storages that are gone could give their identity to others.
    alive: list[object] = []
    hooks = []

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if id(storage) not in seen and id(storage) not in weights:
            seen.add(id(storage))
            alive.append(storage)
            if current:
                saved.blocks[current[-1]] = saved.blocks.get(current[-1], 0) + storage.nbytes()
            else:
                saved.outside += storage.nbytes()
        return value

    def enter(name: str, _: nn.Module, inputs: tuple[object, ...]) -> None:
        current.append(name)
        first = next((each for each in inputs if isinstance(each, Tensor)), None)
        saved.inputs[name] = 0 if first is None else first.numel() * first.element_size()

    def leave(*_: object) -> None:
        current.pop()

    for name, part in networks.named_modules():
        if _CHECKPOINTED.search(name):
            hooks.append(part.register_forward_pre_hook(partial(enter, name)))
            hooks.append(part.register_forward_hook(leave))
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            yield
    finally:
        for hook in hooks:
            hook.remove()
