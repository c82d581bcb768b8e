"""Fitting one network of a cascade to the cells of annotated images."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from cytocascade.bundle import Bundle
from cytocascade.diffusion.checkpoints import load_denoiser, save_denoiser
from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig, refolded
from cytocascade.diffusion.network import Network
from cytocascade.diffusion.training import Batch, TrainingConfig, train
from cytocascade.fitting_options import FitOptions, StageProgress
from cytocascade.fitting_state import FitState
from cytocascade.images.cells import SingleCells
from cytocascade.images.descriptors import SHAPE_NAMES
from cytocascade.masks.maskddpm import MASK_DENOISER, mask_batches
from cytocascade.seeding import derive_seed
from cytocascade.textures.model import TEXTURE_DENOISER, texture_batches, with_scalars

BASE_WORTH = 10
"""How many cells a base's weights outweigh once a network has been fine-tuned."""

MASK_BUDGET, TEXTURE_BUDGET = 0.22, 0.63
"""Shares of the time budget; the rest is for reading, statistics and calibration."""


def fit_network(
    stage: str,
    cells: SingleCells,
    described: np.ndarray[Any, Any],
    base: Bundle | None,
    options: FitOptions,
    state: FitState,
    report: StageProgress,
) -> Denoiser:
    """Fine-tune (or train) one network of our own kind, resuming where it was left.

    Fine-tuning on few cells takes back what the base knows of others (rare holes, faint cells), in every style. So the
    fine-tuned weights are averaged with the base's, the more so the fewer cells there are (M. Wortsman et al., *Robust
    fine-tuning of zero-shot models*, CVPR 2022).

    Parameters
    ----------
    stage : str
        ``masks`` or ``textures``.
    cells : SingleCells
        Cells to learn from.
    described : ndarray, (n, 5) or (n, 6) float32
        Their descriptors, see `cytocascade.images.descriptors.for_networks`.
    base : Bundle or None
        Bundle to start from; a stage that it has no such network for starts from scratch.
    options : FitOptions
        Budget or steps, seed, device.
    state : FitState
        Where the number of steps, a checkpoint and the finished network are kept.
    report : callable
        See `StageProgress`.

    Returns
    -------
    Denoiser
        As a bundle keeps it, in half precision.
    """
    finished = state.folder / f"{stage}.safetensors"
    if finished.exists():
        return load_denoiser(finished)
    start = getattr(base, stage) if base is not None else None
    start = start if isinstance(start, Denoiser) else None
    fresh = MASK_DENOISER if stage == "masks" else TEXTURE_DENOISER
    split = len(SHAPE_NAMES)
    told = described[:, :split] if stage == "masks" else described[:, split:]
    fineness = cells.fineness
    shape = {
        "styles": 1 + known_styles(base),
        "scalars": told.shape[1],
        "size": fresh.size * fineness,
        "fold": fresh.fold * fineness,
    }
    model = _starting_model(start, fresh.model_copy(update=shape), options.seed)
    told = with_scalars(told, model.config.scalars)
    styles = [model.config.styles - 1] * len(cells)
    seed = derive_seed(options.seed, stage)

    def batches(steps: int) -> Callable[[int], Batch]:
        if stage == "masks":
            return mask_batches(cells.distance, told, styles, batch=options.batch, seed=seed)
        return texture_batches(cells, told, styles, batch=options.batch, steps=steps, seed=seed)

    untrained = copy.deepcopy(model)
    train_stage(stage, model, batches, options, state, report, scratch=start is None)
    if start is not None:
        average_with(model, untrained, len(cells) / (len(cells) + BASE_WORTH))
    save_denoiser(finished, model)
    # Half precision is what the bundle keeps, so calibration must see it too.
    return load_denoiser(finished)


def train_stage(
    stage: str,
    model: Network,
    batches: Callable[[int], Callable[[int], Batch]],
    options: FitOptions,
    state: FitState,
    report: StageProgress,
    *,
    scratch: bool,
) -> None:
    """Train a network in place, for as long as the options say, resuming where it was left.

    Parameters
    ----------
    stage : str
        ``masks`` or ``textures``.
    model : Network
        Network to train.
    batches : callable
        Gives, for a number of steps, the batches as a function of the step.
    options, state, report
        As for `fit_network`.
    scratch : bool
        Whether the network is untrained.
    """

    def choose() -> int:
        report(stage, 0, 1, "measuring the speed")
        budget = _share(stage, options) * (options.budget or 600.0)
        return options.steps or _steps_within(model, batches(100), budget, options)

    steps = state.steps(stage, choose)
    rate = options.learning_rate or (5e-4 if scratch else 2e-4)
    train(
        model,
        batches(steps),
        TrainingConfig(steps=steps, batch=options.batch, learning_rate=rate, warmup=min(50, steps // 10)),
        seed=derive_seed(options.seed, stage),
        checkpoint=state.folder / f"{stage}.checkpoint.safetensors",
        device=options.device,
        progress=lambda done, total, loss: report(stage, done, total, f"loss {loss:.4f}"),
    )


def average_with(model: Network, other: Network, share: float) -> None:
    """Average the weights of a network, in place, with those of another of its kind; `share` is its own weight."""
    theirs = dict(other.named_parameters())
    with torch.no_grad():
        for name, own in model.named_parameters():
            own.copy_(torch.lerp(theirs[name].to(own), own, share))


def known_styles(base: Bundle | None) -> int:
    """Return how many data sets the networks of a bundle know."""
    networks = () if base is None else (base.masks, base.textures)
    return max((network.config.styles for network in networks if isinstance(network, Denoiser)), default=0)


def _share(stage: str, options: FitOptions) -> float:
    """Return the share of the time budget that a stage gets."""
    if options.masks_from is not None:
        # Masks are there already.
        return MASK_BUDGET + TEXTURE_BUDGET
    return MASK_BUDGET if stage == "masks" else TEXTURE_BUDGET


def _starting_model(base: Denoiser | None, config: DenoiserConfig, seed: int) -> Denoiser:
    """Return a copy of the base that can be told what `config` says, at its resolution, or a new network.

    The copy has one more data-set embedding, the mean of the others; what the base was never told has no
    influence yet.
    """
    if base is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            return Denoiser(config)
    model = copy.deepcopy(base) if base.config.fold == config.fold else refolded(base, config.fold)
    known = model.style.weight.detach()
    model.style = nn.Embedding(len(known) + 1, known.shape[1], _weight=torch.cat([known, known.mean(0, keepdim=True)]))
    more = config.scalars - model.config.scalars
    if more > 0:
        first = model.vector[0]
        assert isinstance(first, nn.Linear)
        weight = first.weight.detach()
        # The last input says whether the others are told.
        wider = nn.Linear(first.in_features + more, first.out_features)
        with torch.no_grad():
            wider.weight.copy_(torch.cat([weight[:, :-1], weight.new_zeros(len(weight), more), weight[:, -1:]], dim=1))
            wider.bias.copy_(first.bias)
        model.vector[0] = wider
    model.config = model.config.model_copy(
        update={"styles": len(known) + 1, "scalars": max(config.scalars, model.config.scalars)}
    )
    return model


def _steps_within(model: Network, batch_at: Callable[[int], Batch], seconds: float, options: FitOptions) -> int:
    """Return how many steps fit into a time, measured on a copy of the network."""
    trial = copy.deepcopy(model)
    config = TrainingConfig(steps=3, batch=options.batch)
    train(trial, batch_at, config, seed=0, device=options.device)
    start = time.monotonic()
    train(trial, batch_at, config.model_copy(update={"steps": 6}), seed=0, device=options.device)
    return max(20, int(seconds / ((time.monotonic() - start) / 6)))
