"""Cellpose 3 (Stringer et al., Nature Methods 2021), trained from random weights."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import derive_seed
from cytocascade.segmentation.base import Progress, Segmenter, SegmenterOptions, TrainingSource
from cytocascade.segmentation.cellpose_batches import Pool, content_key, make_batch
from cytocascade.segmentation.cellpose_network import cellpose_network, cellpose_version, computes_in_half
from cytocascade.segmentation.cellpose_segmenter import SETTINGS_FILE, CellposeSegmenter, load_cellpose
from cytocascade.segmentation.flows import FlowCache
from cytocascade.segmentation.states import load_state, save_state
from cytocascade.segmentation.training_images import mean_diameter
from cytocascade.types import FloatArray

__all__ = ["SETTINGS_FILE", "Cellpose", "CellposeSegmenter", "learning_rate"]

CHECKPOINT_SECONDS = 30.0


class Cellpose:
    """Cellpose 3.1 behind `cytocascade.segmentation.base.Method`."""

    name = "cellpose"

    def version(self) -> str:
        """Return the version of Cellpose, or raise `CytoCascadeError` if it is missing or not of line 3."""
        return cellpose_version()

    def precision(self, options: SegmenterOptions) -> str:
        """Return what networks are computed in; see `cytocascade.segmentation.base.Method.precision`."""
        return "bf16" if computes_in_half(options) else "fp32"

    def train(
        self,
        sources: Sequence[TrainingSource],
        options: SegmenterOptions,
        *,
        seed: int,
        cache: Path | None = None,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
        monitor: Callable[[int, Segmenter], None] | None = None,
        monitor_every: int = 50,
    ) -> CellposeSegmenter:
        """Train a network; see `cytocascade.segmentation.base.Method.train`.

        Loss, augmentation (turns, flips, scale 0.75 to 1.25), network and optimiser are Cellpose's own; only the
        loop is ours, so that every training has exactly the steps it was asked for, and a seed.

        Raises
        ------
        CytoCascadeError
            If Cellpose 3 is missing, there are no cells in a source, the file `checkpoint` is damaged, or the loss
            stops being a number.
        """
        flows = FlowCache(cache, self.version())
        usual = options.cell_diameter or mean_diameter([image for source in sources for image in source.images])
        pools = [Pool.of(source, options) for source in sources]
        net = cellpose_network(options, usual, seed)
        optimizer = torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=1e-5)
        key = "" if checkpoint is None else _training_key(pools, options, usual, seed, self.version())
        start, running = load_state(checkpoint, net, optimizer, key=key)
        saved = time.monotonic()
        for step in range(start, options.steps):
            batch = make_batch(pools, options, usual, flows, derive_seed(seed, "batch", step))
            value = _step(step, net, optimizer, batch, options)
            running = value if step == 0 else running + (value - running) / min(step + 1, 25)
            done = step + 1
            if progress is not None:
                progress(done, options.steps, running)
            if monitor is not None and (done % monitor_every == 0 or done == options.steps):
                monitor(done, CellposeSegmenter(net, options, usual))
            # After the monitor: a training that goes on from here has been monitored up to here.
            if checkpoint is not None and done < options.steps and time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_state(checkpoint, net, optimizer, done, running, key=key)
                saved = time.monotonic()
        return CellposeSegmenter(net, options, usual)

    def load(self, folder: Path, *, device: str = "cpu") -> CellposeSegmenter:
        """Return what `CellposeSegmenter.save` wrote; see `cytocascade.segmentation.base.Method.load`."""
        self.version()
        return load_cellpose(folder, device)


def learning_rate(step: int, options: SegmenterOptions) -> float:
    """Return the learning rate at `step` (0-based): a short linear rise, a level, and a fall over the last third."""
    rise = min(1.0, (step + 1) / max(1.0, 0.05 * options.steps))
    left = (options.steps - step) / max(1.0, options.steps / 3)
    fall = 1.0 if left >= 1 else 0.5 * (1 - math.cos(math.pi * left))
    return options.learning_rate * rise * max(fall, 0.01)


def _step(
    step: int,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: tuple[FloatArray, FloatArray],
    options: SegmenterOptions,
) -> float:
    """Take one step and return its loss."""
    image, target = batch
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, options)
    net.train()
    loss = _loss(net(torch.from_numpy(image).to(options.device))[0], torch.from_numpy(target))
    value = float(loss.detach())
    if not math.isfinite(value):
        raise CytoCascadeError(
            f"the training went astray: its loss is {value} at step {step + 1}",
            hint=f"Choose a learning rate below {options.learning_rate:g}.",
        )
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value


def _loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Cellpose's loss: squared error of five times the flow, halved, and cross entropy of the cell probability."""
    target = target.to(predicted.device)
    flow = nn.functional.mse_loss(predicted[:, :2], 5.0 * target[:, 1:])
    cells = nn.functional.binary_cross_entropy_with_logits(predicted[:, 2], (target[:, 0] > 0.5).float())
    return flow / 2 + cells


def _training_key(pools: Sequence[Pool], options: SegmenterOptions, usual: float, seed: int, version: str) -> str:
    """Return the hash of everything that a training depends on."""
    what = [
        version,
        options.model_dump(mode="json"),
        computes_in_half(options),
        usual,
        seed,
        content_key(pools),
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
