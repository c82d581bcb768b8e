"""A trained Cellpose network: applying it to images and volumes, and keeping it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from skimage.segmentation import relabel_sequential

from cytocascade.errors import CytoCascadeError
from cytocascade.export.planes import anisotropy
from cytocascade.segmentation.base import SegmenterOptions
from cytocascade.segmentation.cellpose_network import (
    CHANNELS,
    cellpose_module,
    cellpose_network,
    unchecked_sparse_tensors,
)
from cytocascade.segmentation.cellpose_volumes import label_volume
from cytocascade.segmentation.states import load_weights, save_weights
from cytocascade.segmentation.training_images import normalised
from cytocascade.storage import directory_written_whole, write_json
from cytocascade.types import Array, label_dtype

SETTINGS_FILE = "segmenter.json"
WEIGHTS_FILE = "weights.safetensors"
GUI_FILE = "cellpose_model"
"""The same weights in Cellpose's own format, for its GUI and command line; never read by this package."""

LEAST_SIDE = 16
"""Rescaled pixels along each axis that the network is given at least: one pixel of its coarsest level is 8."""

_MOST_OF_IMAGE, _TIMES_USUAL = 0.4, 4.0
_LEAST_PIXELS, _LEAST_OF_USUAL = 15, 0.25


class SegmenterSettings(BaseModel):
    """What is kept of a trained Cellpose network beside its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["cellpose"] = "cellpose"
    """Kind of segmenter."""
    cell_diameter: float = Field(gt=0, allow_inf_nan=False)
    """Mean diameter of the cells, in pixels of the images."""
    options: SegmenterOptions
    """How it was trained."""


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

        Volumes are run in Cellpose's 3D mode: planes from three sides, flows added up. Images of fewer than
        `LEAST_SIDE` rescaled pixels are continued by their mirror image. Where Cellpose's own limits for the size of a
        cell (15 pixels, 40 % of the image) would forbid usual cells, they are widened.

        Raises
        ------
        CytoCascadeError
            If the array is no 2D image or volume, or holds NaN or infinity.
        """
        _check(image)
        if image.ndim == 3 and image.shape[0] == 1:
            return self.segment(image[0])[None]
        grey = normalised(image)
        if not grey.any():
            return np.zeros(image.shape, dtype=np.uint16)
        ratio = _anisotropy(spacing) if image.ndim == 3 else 1.0
        pads = self._padding(image.shape, ratio)
        labels = self._labels(np.pad(grey, pads, mode="symmetric"), ratio)
        inner = labels[tuple(slice(before, before + side) for (before, _), side in zip(pads, image.shape))]
        if any(sum(pad) for pad in pads):
            inner = relabel_sequential(inner)[0]
        return inner.astype(label_dtype(int(inner.max(initial=0))))

    def save(self, folder: Path) -> None:
        """Write settings and weights; see `cytocascade.segmentation.base.Segmenter.save`."""
        settings = SegmenterSettings(cell_diameter=self.cell_diameter, options=self.options)
        with directory_written_whole(folder) as temporary:
            write_json(temporary / SETTINGS_FILE, settings.model_dump(mode="json", exclude={"options": {"device"}}))
            save_weights(temporary / WEIGHTS_FILE, self.net)
            self.net.save_model(temporary / GUI_FILE)

    def _padding(self, shape: tuple[int, ...], ratio: float) -> list[tuple[int, int]]:
        """Return how many pixels are added before and behind, along each axis."""
        rescale = self.options.diameter / self.cell_diameter
        scales = (ratio * rescale,) * (len(shape) - 2) + (rescale, rescale)
        missing = [max(0, math.ceil(LEAST_SIDE / scale) - side) for scale, side in zip(scales, shape)]
        return [(count // 2, count - count // 2) for count in missing]

    def _labels(self, grey: Array, ratio: float) -> Array:
        usual = _usual_size(self.cell_diameter, ratio, volume=grey.ndim == 3)
        limits: dict[str, Any] = {
            "min_size": max(1, int(min(_LEAST_PIXELS, _LEAST_OF_USUAL * usual))),
            "max_size_fraction": min(1.0, max(_MOST_OF_IMAGE, _TIMES_USUAL * usual / grey.size)),
        }
        with unchecked_sparse_tensors():
            if grey.ndim == 3:
                rescale = self.options.diameter / self.cell_diameter
                return label_volume(self.net.eval(), grey, rescale=rescale, anisotropy=ratio, **limits)
            # As a dictionary, because a bare False would stay behind in Cellpose's defaults.
            labels = self._model().eval(
                grey,
                channels=[0, 0],
                normalize={"normalize": False},
                diameter=self.cell_diameter,
                flow_threshold=self.options.flow_threshold,
                **limits,
            )[0]
        return np.asarray(labels).reshape(grey.shape)

    def _model(self) -> Any:
        """Return the network in Cellpose's own wrapping."""
        device = torch.device(self.options.device)
        # Draws weights for a network of its own, which is replaced at once.
        with torch.random.fork_rng(devices=[]):
            model = cellpose_module("models").CellposeModel(
                pretrained_model=False, diam_mean=self.options.diameter, nchan=CHANNELS, mkldnn=False, device=device
            )
        model.net = self.net.eval()
        return model


def load_cellpose(folder: Path, device: str) -> CellposeSegmenter:
    """Return what `CellposeSegmenter.save` wrote.

    Raises
    ------
    CytoCascadeError
        If settings or weights are missing, damaged, or of another kind of segmenter.
    """
    file = folder / SETTINGS_FILE
    try:
        settings = SegmenterSettings.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise CytoCascadeError(
            f"the settings of the segmenter cannot be read ({what})",
            path=file,
            hint="Write it anew with `cytocascade benefit --keep`.",
        ) from error
    options = settings.options.model_copy(update={"device": device})
    net = cellpose_network(options, settings.cell_diameter, 0)
    load_weights(folder / WEIGHTS_FILE, net)
    return CellposeSegmenter(net, options, settings.cell_diameter)


def _check(image: Array) -> None:
    if image.ndim not in (2, 3) or not image.size:
        raise CytoCascadeError(
            f"an array of shape {image.shape} cannot be segmented", hint="Give one grey image, (Y, X) or (Z, Y, X)."
        )
    if not np.isfinite(image).all():
        raise CytoCascadeError(
            "the image holds pixels that are NaN or infinite", hint="Replace them, for example by np.nan_to_num."
        )


def _anisotropy(spacing: Sequence[float] | None) -> float:
    return 1.0 if spacing is None else anisotropy(spacing)


def _usual_size(diameter: float, ratio: float, *, volume: bool) -> float:
    """Return the pixels of a disk, or the voxels of a ball, of the usual diameter."""
    return math.pi / 6 * diameter**3 / ratio if volume else math.pi / 4 * diameter**2
