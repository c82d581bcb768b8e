"""Folders of diffusers' `DDPMPipeline` and `DDIMPipeline`, read and written without pickle."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from diffusers import UNet2DModel
from safetensors import SafetensorError
from safetensors.torch import load_file

from cytocascade.diffusion.foreign_weights import refuse_pickle, weight_file
from cytocascade.errors import CytoCascadeError
from cytocascade.storage import directory_written_whole, hash_files
from cytocascade.tensors import save_tensors

PipelineName = Literal["DDPMPipeline", "DDIMPipeline"]
"""Pipelines that can make masks."""

SCHEDULERS = ("DDPMScheduler", "DDIMScheduler")
"""Schedulers that these pipelines come with."""

INDEX, UNET, SCHEDULE, WEIGHTS = (
    "model_index.json",
    "unet/config.json",
    "scheduler/scheduler_config.json",
    "unet/diffusion_pytorch_model.safetensors",
)
PIPELINE_FILES = (INDEX, UNET, SCHEDULE, WEIGHTS)
"""Files of a pipeline's folder as it is written."""

_HOW = "Give the --output_dir of diffusers' train_unconditional.py, or a folder of DDPMPipeline.save_pretrained."


@dataclass(frozen=True)
class MaskPipeline:
    """An unconditional diffusion model of pictures of masks.

    Attributes
    ----------
    name : {"DDPMPipeline", "DDIMPipeline"}
        Class that loads it in diffusers.
    unet : UNet2DModel
        Network on (B, channels, size, size) in [-1, 1], in eval mode.
    schedule : dict
        Config of its scheduler, with the ``_class_name``.
    """

    name: PipelineName
    unet: UNet2DModel
    schedule: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one picture, (channels, size, size)."""
        size = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), size, size


def read_pipeline(folder: Path) -> MaskPipeline:
    """Read the folder of a pipeline, in single precision.

    Averaged weights in ``unet_ema``, where there are any, are preferred to those in ``unet``.

    Parameters
    ----------
    folder : Path
        What ``save_pretrained`` or the training script wrote.

    Raises
    ------
    CytoCascadeError
        If it is no such folder, holds pickles only, or a network that cannot make masks.
    """
    index, part = _checked_index(folder)
    config = _read_json(folder / part / "config.json")
    schedule = _read_json(folder / SCHEDULE)
    _refuse_other_networks(folder / part / "config.json", config)
    weights = weight_file(folder / part)
    try:
        unet = _network(config)
        unet.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise CytoCascadeError(
            f"these are not the weights of its network ({_first_line(error)})",
            path=weights,
            hint="Copy the folder again. If an old version of diffusers wrote it, load and save it with a new one.",
        ) from error
    return MaskPipeline(index["_class_name"], unet.eval(), schedule)


def write_pipeline(pipeline: MaskPipeline, folder: Path, *, half: bool = False) -> None:
    """Write a pipeline so that ``from_pretrained`` of its class loads it; `folder` appears only when it is complete.

    Parameters
    ----------
    pipeline : MaskPipeline
    folder : Path
        Replaced if it is there.
    half : bool
        Whether to keep the weights in half precision.
    """
    version = str(pipeline.schedule.get("_diffusers_version", "0.35.0"))
    scheduler = str(pipeline.schedule["_class_name"])
    index = {
        "_class_name": pipeline.name,
        "_diffusers_version": version,
        "scheduler": ["diffusers", scheduler],
        "unet": ["diffusers", "UNet2DModel"],
    }
    config = _shape_only(pipeline.unet.config)
    config |= {"_class_name": "UNet2DModel", "_diffusers_version": version}
    dtype = torch.float16 if half else torch.float32
    with directory_written_whole(folder) as temporary:
        for name, values in ((INDEX, index), (UNET, config), (SCHEDULE, pipeline.schedule)):
            (temporary / name).parent.mkdir(exist_ok=True)
            text = json.dumps(values, indent=2, sort_keys=True) + "\n"
            (temporary / name).write_text(text, encoding="utf-8", newline="\n")
        tensors = {name: value.to(dtype) for name, value in pipeline.unet.state_dict().items()}
        save_tensors(temporary / WEIGHTS, tensors, {"format": "pt"})


def export_pipeline(pipeline: MaskPipeline, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a pipeline for diffusers, in single precision, and return its folder.

    Raises
    ------
    CytoCascadeError
        If `folder` exists and may not be replaced.
    """
    if folder.exists() and not overwrite:
        raise CytoCascadeError("exists already", path=folder, hint="Choose another, or replace it with --overwrite.")
    if folder.is_file():
        folder.unlink()
    write_pipeline(pipeline, folder)
    return folder


def pipeline_hash(folder: Path) -> str:
    """Return the SHA-256 (hex) over the files of a pipeline that are read.

    Raises
    ------
    CytoCascadeError
        If it is no folder of a pipeline, or holds pickles only.
    """
    _, part = _checked_index(folder)
    files = [folder / INDEX, folder / part / "config.json", folder / SCHEDULE, weight_file(folder / part)]
    for file in files:
        if not file.is_file():
            raise CytoCascadeError("this file of the pipeline is missing", path=file, hint=_HOW)
    return hash_files(folder, files)


def _network(config: dict[str, Any]) -> UNet2DModel:
    # Its first weights are drawn, but never seen.
    with torch.random.fork_rng(devices=[]):
        return UNet2DModel.from_config(_shape_only(config))


def _shape_only(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a network is made from, without what was kept beside it, such as the state of the average."""
    known = inspect.signature(UNet2DModel.__init__).parameters
    return {name: value for name, value in config.items() if name in known}


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _checked_index(folder: Path) -> tuple[dict[str, Any], str]:
    """Return ``model_index.json`` and the name of the folder with the network."""
    if folder.is_file():
        refuse_pickle(folder)
        raise CytoCascadeError("a pipeline is a folder", path=folder, hint=_HOW)
    if not folder.is_dir():
        raise CytoCascadeError("there is no such folder", path=folder, hint=_HOW)
    if not (folder / INDEX).is_file():
        _refuse_parts(folder)
    index = _read_json(folder / INDEX)
    name, scheduler = index.get("_class_name"), index.get("scheduler")
    if name not in get_args(PipelineName):
        raise CytoCascadeError(
            f"this is a {name}; masks come from {' or '.join(get_args(PipelineName))}", path=folder / INDEX, hint=_HOW
        )
    if index.get("unet") != ["diffusers", "UNet2DModel"] or scheduler not in [["diffusers", s] for s in SCHEDULERS]:
        raise CytoCascadeError(
            f"masks come from diffusers' UNet2DModel with {' or '.join(SCHEDULERS)}, "
            f"not from {index.get('unet')} with {scheduler}",
            path=folder / INDEX,
            hint=_HOW,
        )
    return index, "unet_ema" if (folder / "unet_ema").is_dir() else "unet"


def _refuse_parts(folder: Path) -> None:
    """Tell what a folder without ``model_index.json`` is."""
    if (folder / "unet").is_dir() or (folder / "unet_ema").is_dir():
        raise CytoCascadeError(
            "this is a checkpoint of the training script, without a scheduler",
            path=folder,
            hint="Let the script finish (--resume_from_checkpoint latest), and give its --output_dir.",
        )
    for file in sorted(folder.iterdir()):
        refuse_pickle(file)
    raise CytoCascadeError(f"this is no diffusers pipeline, {INDEX} is missing", path=folder, hint=_HOW)


def _refuse_other_networks(file: Path, config: dict[str, Any]) -> None:
    size, channels = config.get("sample_size"), config.get("in_channels", 3)
    problem = None
    if config.get("class_embed_type") is not None or config.get("num_class_embeds") is not None:
        problem = "the network is conditioned on classes; masks come from unconditional ones"
    elif isinstance(size, list) and len(set(size)) == 1:
        config["sample_size"] = size[0]
    elif not isinstance(size, int) or size < 16:
        problem = f"the network makes pictures of {size} pixels, not square ones of at least 16"
    if channels not in (1, 3) or config.get("out_channels", 3) != channels:
        problem = f"the network makes {config.get('out_channels', 3)} channels of {channels}; grey or RGB is needed"
    if problem is not None:
        raise CytoCascadeError(problem, path=file, hint=_HOW)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_bytes())
    except OSError as error:
        raise CytoCascadeError("this file of the pipeline is missing", path=file, hint=_HOW) from error
    except ValueError as error:
        raise CytoCascadeError(f"this is no JSON ({error})", path=file, hint="Copy the whole folder again.") from error
    if not isinstance(values, dict):
        raise CytoCascadeError("this holds no settings", path=file, hint="Copy the whole folder again.")
    return values
