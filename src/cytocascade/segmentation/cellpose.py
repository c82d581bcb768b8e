"""Cellpose 3 (Stringer et al., Nature Methods 2021), trained from random weights."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.segmentation.base import Progress, Segmenter, SegmenterOptions, TrainingSource
from cytocascade.segmentation.flows import FlowCache
from cytocascade.segmentation.states import load_state, load_weights, save_state, save_weights
from cytocascade.segmentation.training_images import TrainingImage, mean_diameter, training_images
from cytocascade.storage import directory_written_whole, write_json
from cytocascade.types import Array, FloatArray

SETTINGS_FILE = "segmenter.json"
WEIGHTS_FILE = "weights.safetensors"
GUI_FILE = "cellpose_model"
"""The same weights in Cellpose's own format, for its GUI and command line; never read by this package."""

CHANNELS = 2
"""Of Cellpose's networks; the second one is empty, as for all grey images."""

CHECKPOINT_SECONDS = 30.0

_MISSING = "Cellpose 3 is not installed"
_HINT = "pip install 'cytocascade[segment]'"


class Cellpose:
    """Cellpose 3.1 behind `cytocascade.segmentation.base.Method`."""

    name = "cellpose"

    def version(self) -> str:
        """Return the version of Cellpose, or raise `CytoCascadeError` if it is missing or not of line 3."""
        try:
            version = importlib.metadata.version("cellpose")
        except importlib.metadata.PackageNotFoundError as error:
            raise CytoCascadeError(_MISSING, hint=_HINT) from error
        if not version.startswith("3."):
            raise CytoCascadeError(f"Cellpose {version} cannot be trained from random weights", hint=_HINT)
        return version

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
        """
        flows = FlowCache(cache, self.version())
        usual = options.cell_diameter or mean_diameter([image for source in sources for image in source.images])
        pools = [_Pool.of(source, options) for source in sources]
        net = _network(options, usual, seed)
        optimizer = torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=1e-5)
        start, running = load_state(checkpoint, net, optimizer)
        saved = time.monotonic()
        for step in range(start, options.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, options)
            image, target = _batch(pools, options, usual, flows, derive_seed(seed, "batch", step))
            net.train()
            loss = _loss(net(torch.from_numpy(image).to(options.device))[0], torch.from_numpy(target))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            value = float(loss.detach())
            running = value if step == 0 else running + (value - running) / min(step + 1, 25)
            done = step + 1
            if checkpoint is not None and done < options.steps and time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_state(checkpoint, net, optimizer, done, running)
                saved = time.monotonic()
            if progress is not None:
                progress(done, options.steps, running)
            if monitor is not None and (done % monitor_every == 0 or done == options.steps):
                monitor(done, CellposeSegmenter(net, options, usual))
        return CellposeSegmenter(net, options, usual)

    def load(self, folder: Path, *, device: str = "cpu") -> CellposeSegmenter:
        """Return what `CellposeSegmenter.save` wrote; see `cytocascade.segmentation.base.Method.load`."""
        import json

        self.version()
        try:
            settings = json.loads((folder / SETTINGS_FILE).read_bytes())
            options = SegmenterOptions.model_validate({**settings["options"], "device": device})
            usual = float(settings["cell_diameter"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CytoCascadeError(
                f"the settings of the segmenter cannot be read ({error})",
                path=folder / SETTINGS_FILE,
                hint="Write it anew with `cytocascade benefit --keep`.",
            ) from error
        net = _network(options, usual, 0)
        load_weights(folder / WEIGHTS_FILE, net)
        return CellposeSegmenter(net, options, usual)


@dataclass(frozen=True)
class CellposeSegmenter:
    """A trained network.

    Attributes
    ----------
    net : torch.nn.Module
        Cellpose's network.
    options : SegmenterOptions
        How it was trained.
    cell_diameter : float
        Mean diameter of the cells, in pixels of the images.
    """

    net: Any
    options: SegmenterOptions
    cell_diameter: float

    def segment(self, image: Array, spacing: Sequence[float] | None = None) -> Array:
        """Return instance labels; see `cytocascade.segmentation.base.Segmenter.segment`.

        Volumes are run with ``do_3D``: planes from three sides, flows averaged.
        """
        from cellpose.models import CellposeModel

        model = CellposeModel(
            pretrained_model=False,
            diam_mean=self.options.diameter,
            nchan=CHANNELS,
            mkldnn=False,
            device=torch.device(self.options.device),
        )
        model.net, model.net_ortho = self.net.eval(), None
        volume = image.ndim == 3
        lateral = math.sqrt(spacing[1] * spacing[2]) if volume and spacing is not None else 1.0
        labels = model.eval(
            image.astype(np.float32),
            channels=[0, 0],
            diameter=self.cell_diameter,
            z_axis=0 if volume else None,
            do_3D=volume,
            anisotropy=spacing[0] / lateral if volume and spacing is not None else None,
            batch_size=4,
        )[0]
        return np.asarray(labels).reshape(image.shape)

    def save(self, folder: Path) -> None:
        """Write settings and weights; see `cytocascade.segmentation.base.Segmenter.save`."""
        with directory_written_whole(folder) as temporary:
            options = self.options.model_dump(mode="json", exclude={"device"})
            settings = {"method": Cellpose.name, "cell_diameter": self.cell_diameter, "options": options}
            write_json(temporary / SETTINGS_FILE, settings)
            save_weights(temporary / WEIGHTS_FILE, self.net)
            self.net.save_model(temporary / GUI_FILE)


def learning_rate(step: int, options: SegmenterOptions) -> float:
    """Return the learning rate at `step` (0-based): a short linear rise, a level, and a fall over the last third."""
    rise = min(1.0, (step + 1) / max(1.0, 0.05 * options.steps))
    left = (options.steps - step) / max(1.0, options.steps / 3)
    fall = 1.0 if left >= 1 else 0.5 * (1 - math.cos(math.pi * left))
    return options.learning_rate * rise * max(fall, 0.01)


@dataclass(frozen=True)
class _Pool:
    """The images of one source, ready for cutting."""

    images: list[TrainingImage]
    share: float

    @classmethod
    def of(cls, source: TrainingSource, options: SegmenterOptions) -> _Pool:
        return cls(training_images(source.images, options.slice_step), source.share)


def _batch(
    pools: Sequence[_Pool], options: SegmenterOptions, usual: float, flows: FlowCache, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return (batch, 2, crop, crop) images and (batch, 3, crop, crop) targets: cells, flow along y and x."""
    from cellpose import transforms

    generator = numpy_generator(seed, "choice")
    shares = np.array([pool.share for pool in pools], dtype=np.float64)
    # The shares hold within every batch as nearly as whole crops allow, and exactly on average.
    bounds = np.cumsum(shares / shares.sum())
    places = (np.arange(options.batch) + generator.random()) / options.batch
    chosen = []
    for place in places:
        pool = pools[min(int(np.searchsorted(bounds, place, side="right")), len(pools) - 1)]
        chosen.append(pool.images[int(generator.integers(len(pool.images)))])
    with _seeded_numpy(derive_seed(seed, "augmentation")):
        image, target, _ = transforms.random_rotate_and_resize(
            [one.image for one in chosen],
            Y=[flows.targets(one.labels) for one in chosen],
            rescale=np.full(len(chosen), usual / options.diameter),
            scale_range=0.5,
            xy=(options.crop, options.crop),
        )
    return image, np.ascontiguousarray(target[:, 1:])


@contextlib.contextmanager
def _seeded_numpy(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which Cellpose draws from, and put its state back afterwards."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Cellpose's loss: squared error of five times the flow, halved, and cross entropy of the cell probability."""
    target = target.to(predicted.device)
    flow = nn.functional.mse_loss(predicted[:, :2], 5.0 * target[:, 1:])
    cells = nn.functional.binary_cross_entropy_with_logits(predicted[:, 2], (target[:, 0] > 0.5).float())
    return flow / 2 + cells


def _network(options: SegmenterOptions, usual: float, seed: int) -> Any:
    """Return Cellpose's network with random weights, computing in the wished precision."""
    try:
        from cellpose.resnet_torch import CPnet
    except ImportError as error:
        raise CytoCascadeError(_MISSING, hint=_HINT) from error

    class Network(CPnet):  # type: ignore[misc]
        def forward(self, data: Tensor) -> tuple[Tensor, ...]:
            data = data.contiguous(memory_format=torch.channels_last)
            with torch.autocast(data.device.type, dtype=torch.bfloat16, enabled=half):
                flow, style, _ = super().forward(data)
            return flow.float(), style.float(), flow

    half = computes_in_half(options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        net = Network([CHANNELS, 32, 64, 128, 256], 3, sz=3, mkldnn=False, max_pool=True, diam_mean=options.diameter)
    net.diam_labels.data = torch.tensor([usual], dtype=torch.float32)
    return net.to(options.device).to(memory_format=torch.channels_last)


def computes_in_half(options: SegmenterOptions) -> bool:
    """Return whether the network computes in bf16."""
    if options.precision != "auto":
        return options.precision == "bf16"
    if torch.device(options.device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return torch.device(options.device).type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
