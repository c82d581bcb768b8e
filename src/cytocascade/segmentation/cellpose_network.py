"""Cellpose's network with random weights, and Cellpose itself: loaded, quiet, and without side effects."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import derive_seed
from cytocascade.segmentation.base import SegmenterOptions

CHANNELS = 2
"""Of Cellpose's networks; the second one is empty, as for all grey images."""

_HINT = "pip install 'cytocascade[segment]'"


def cellpose_version() -> str:
    """Return the version of Cellpose, or raise `CytoCascadeError` if it is missing or not of line 3."""
    try:
        version = importlib.metadata.version("cellpose")
    except importlib.metadata.PackageNotFoundError as error:
        raise CytoCascadeError("Cellpose 3 is not installed", hint=_HINT) from error
    if not version.startswith("3."):
        raise CytoCascadeError(f"Cellpose {version} cannot be trained from random weights", hint=_HINT)
    return version


def cellpose_module(name: str) -> Any:
    """Return a module of Cellpose, whose messages then go to `logging` alone.

    Raises
    ------
    CytoCascadeError
        If it cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            # What Cellpose's sources and its dependencies should have done otherwise is nothing a user can act on.
            warnings.simplefilter("ignore")
            module = importlib.import_module(f"cellpose.{name}")
    except ImportError as error:
        raise CytoCascadeError(f"Cellpose 3 cannot be imported ({error})", hint=_HINT) from error
    logger = logging.getLogger("cellpose")
    if not logger.handlers:
        # Without any handler Python would print warnings such as "no seeds found" on the terminal.
        logger.addHandler(logging.NullHandler())
    return module


def cellpose_network(options: SegmenterOptions, cell_diameter: float, seed: int) -> Any:
    """Return Cellpose's network with random weights, computing in the wished precision.

    On devices that do not compute in bf16 it is emulated: PyTorch's own replacement takes ten times as long as fp32.

    Parameters
    ----------
    options : SegmenterOptions
        Diameter that cells are rescaled to, precision and device.
    cell_diameter : float
        Mean diameter of the cells in the images; kept with the weights, as Cellpose's programs expect it.
    seed : int
        Seed of the weights.
    """
    base: Any = cellpose_module("resnet_torch").CPnet
    half = computes_in_half(options)

    class Network(base):  # type: ignore[misc]
        def forward(self, data: Tensor) -> tuple[Tensor, ...]:
            data = data.contiguous(memory_format=torch.channels_last)
            with torch.autocast(data.device.type, dtype=torch.bfloat16, enabled=half):
                flow, style, _ = super().forward(data)
            return flow.float(), style.float(), flow

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        net = Network([CHANNELS, 32, 64, 128, 256], 3, sz=3, mkldnn=False, max_pool=True, diam_mean=options.diameter)
    if half and not _has_half(options.device):
        for module in net.modules():
            if type(module) is torch.nn.Conv2d:
                module.__class__ = _RoundedConv2d
    net.diam_labels.data = torch.tensor([cell_diameter], dtype=torch.float32)
    return net.to(options.device).to(memory_format=torch.channels_last)


class _RoundedConv2d(torch.nn.Conv2d):
    """Convolution of bf16 numbers as processors with bf16 do it: products are summed in fp32, the sums rounded to bf16.

    Gradients are rounded likewise. As fast as fp32.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            data, weight = input.bfloat16().float(), weight.bfloat16().float()
            bias = None if bias is None else bias.bfloat16().float()
            sums: Tensor = super()._conv_forward(data, weight, bias)
            return sums.bfloat16()


def computes_in_half(options: SegmenterOptions) -> bool:
    """Return whether the network computes in bf16."""
    if options.precision != "auto":
        return options.precision == "bf16"
    return _has_half(options.device)


def _has_half(device: str) -> bool:
    """Return whether a device computes in bf16 itself."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if kind != "cpu":
        return False
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # torch was built without oneDNN
        return False


@contextlib.contextmanager
def numpy_seeded(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which Cellpose draws from, and put its state back afterwards."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@contextlib.contextmanager
def unchecked_sparse_tensors() -> Iterator[None]:
    """Let Cellpose make sparse tensors: torch warns about every one whose checks are neither wished nor declined."""
    with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
        yield
