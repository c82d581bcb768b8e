"""A trained cascade on disk: one folder with readable config, statistics, weights and a card."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cytocascade import __version__
from cytocascade.diffusion.checkpoints import load_denoiser, load_network, save_denoiser
from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import CROP_SIZE, Modality
from cytocascade.images.zoom import Zoom
from cytocascade.imaging.statistics import ImagingStatistics
from cytocascade.masks.drawing import MaskModel
from cytocascade.masks.pipeline_files import PIPELINE_FILES, export_pipeline, read_pipeline, write_pipeline
from cytocascade.masks.pipelines import MaskSource, PipelineMasks
from cytocascade.population.cells import CellStatistics
from cytocascade.population.statistics import PopulationStatistics
from cytocascade.recorded import LeftOutUnset, Recorded
from cytocascade.shapes.multiview import MultiViewConfig, MultiViewDenoiser
from cytocascade.storage import directory_written_whole, hash_files
from cytocascade.textures.loading import load_textures, save_textures
from cytocascade.textures.model import Textures
from cytocascade.textures.stable_diffusion.runtime import Runtime
from cytocascade.volumes.statistics import VolumeStatistics

FORMAT: Literal[1] = 1
"""Version of the bundle's layout."""

Model = TypeVar("Model", bound=BaseModel)


class BundleConfig(Recorded):
    """What a bundle is; ``bundle.json``."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = FORMAT
    """Layout of the bundle."""
    name: str
    """Name of the bundle."""
    version: str = __version__
    """Version of CytoCascade that wrote it."""
    dim: Literal[2, 3] = 2
    """Axes of the images it generates."""
    modality: Modality
    """Whether cells add light to the background or replace it."""
    spacing: tuple[float, ...]
    """Micrometres per pixel of the images it was fitted on, along (y, x) or (z, y, x)."""
    spacing_known: bool
    """Whether that spacing was given, not assumed."""
    crop_spacing: float = Field(gt=0)
    """Micrometres per pixel of the canonical crop."""
    shape: tuple[int, ...]
    """Pixels of a typical image it was fitted on; the default size of generated ones."""
    style: int = Field(0, ge=0)
    """Index of the learned data-set embedding."""
    noise_share: float = Field(1.0, ge=0, le=2)
    """Share of the camera's noise that textures do not already hold, and that is added inside cells."""
    grain: list[list[float]] = Field(default_factory=list)
    """Autocovariance over (y, x) of the relative fine structure that textures lack, lag 0 in the middle."""
    grain_spread: float = Field(0.0, ge=0, le=1)
    """Standard deviation of the logarithm of the grain's strength over the cells."""
    background_noise: float = Field(1.0, gt=0)
    """Factor on the standard deviation of the noise in the background."""
    photon_gain: float = Field(1.0, ge=0)
    """Factor on the gain of the camera, by which its noise grows with the light."""
    background_texture: float = Field(1.0, ge=0)
    """Factor on the texture of the background; above 1 on what is coarser than three pixels of it."""
    texture_contrast: float = Field(1.0, gt=0)
    """Factor on the textures' deviations from their mean that makes their contrast that of the real cells."""
    outline_roughness: float = Field(0.0, ge=-3, le=3)
    """How far outlines waver (pixels), or, if negative, how much they are smoothed (canonical pixels)."""
    solidity_shift: float = Field(0.0, ge=-0.2, le=0.2)
    """Solidity of the real cells in the images minus that on the canonical grid, median."""
    edge_factor: list[float] = Field(default_factory=list)
    """Factor on the light at the distances `images.edges.EDGE_CENTRES` from the outline; empty: none."""
    rim: float = Field(9.0, gt=0, le=9)
    """How far outside the outline cells shine, in canonical pixels."""
    training: dict[str, Any] = Field(default_factory=dict)
    """What it was trained on and how: image names, cells, steps, seed, base."""
    mask_source: Annotated[MaskSource | None, LeftOutUnset()] = None
    """The pipeline of diffusers that masks come from, in the folder ``masks``; none: our own network."""
    halo: Annotated[float | None, LeftOutUnset()] = Field(None, gt=0)
    """How far outside the outline cells in phase contrast are seen, in pixels of the images; none: as far as `rim`."""
    dark_spots: Annotated[float | None, LeftOutUnset()] = Field(None, ge=0, le=1)
    """Share of fluorescent cells that a dark spot is drawn into, as textures lack them; none: not known."""
    zoom: Annotated[Zoom | None, LeftOutUnset()] = None
    """How cells are magnified to fill the canonical crop; none: not at all."""
    texture_temperature: Annotated[float, LeftOutUnset()] = Field(1.0, gt=0, le=1)
    """Factor on the noise that textures start from, see `textures.model.CALM`."""

    @property
    def scale(self) -> tuple[float, ...]:
        """Pixels of the images per canonical pixel, along (y, x)."""
        return self.scale_at(1.0)

    @property
    def concave(self) -> bool:
        """Whether masks are made as concave as wished; not where cells are magnified: processes would become lobes."""
        return self.zoom is None

    def scale_at(self, magnification: float) -> tuple[float, ...]:
        """Return the pixels of the images per pixel of the crop of a cell that is magnified, along (y, x)."""
        return tuple(self.crop_spacing / spacing / float(magnification) for spacing in self.spacing[-2:])


@dataclass(frozen=True)
class Bundle:
    """Everything that is needed to generate images.

    Attributes
    ----------
    config : BundleConfig
        What the bundle is.
    masks : Denoiser or PipelineMasks
        Trained network, in eval mode, or a pipeline of diffusers.
    textures : Denoiser or TexturePainter
        Trained network, in eval mode, or another way to paint.
    cells : CellStatistics
        Distribution of the cells' descriptors.
    population : PopulationStatistics
        Arrangement of the cells.
    imaging : ImagingStatistics
        Background, noise and output format.
    card : str
        Markdown: what it was trained on, what it is good for, licence.
    hash : str
        SHA-256 of the bundle's files; empty while it has not been saved.
    shapes : MultiViewDenoiser, optional
        Multi-view diffusion of cell shapes; for volumes.
    volume : VolumeStatistics, optional
        What single slices do not tell; for volumes.
    """

    config: BundleConfig
    masks: MaskModel
    textures: Textures
    cells: CellStatistics
    population: PopulationStatistics
    imaging: ImagingStatistics
    card: str
    hash: str = ""
    shapes: MultiViewDenoiser | None = None
    volume: VolumeStatistics | None = None

    @property
    def fineness(self) -> int:
        """Samples per canonical pixel that cells are painted with, along each axis."""
        return max(1, self.textures.config.size // CROP_SIZE) if isinstance(self.textures, Denoiser) else 1

    def volume_parts(self) -> tuple[MultiViewDenoiser, VolumeStatistics]:
        """Return the parts that volumes need.

        Raises
        ------
        CytoCascadeError
            If this is a bundle for images.
        """
        if self.shapes is None or self.volume is None:
            raise CytoCascadeError(
                f"the bundle {self.config.name!r} generates 2D images, no volumes",
                hint="Fit one with --dim 3, or use nuclei3d.",
            )
        return self.shapes, self.volume


_STATISTICS: dict[str, type[BaseModel]] = {
    "cells": CellStatistics,
    "population": PopulationStatistics,
    "imaging": ImagingStatistics,
}
_FILES = ("bundle.json", *(f"{n}.json" for n in _STATISTICS), "textures.safetensors", "README.md")
_MASK_FILES = ("masks.safetensors",)
_PIPELINE = "masks"
_VOLUME_FILES = ("volume.json", "shapes.safetensors")


def save_bundle(bundle: Bundle, folder: Path) -> None:
    """Write a bundle; `folder` appears only when it is complete."""
    source = bundle.masks.source if isinstance(bundle.masks, PipelineMasks) else None
    config = bundle.config.model_copy(update={"mask_source": source})
    with directory_written_whole(folder) as temporary:
        _write_model(temporary / "bundle.json", config)
        for name in _STATISTICS:
            _write_model(temporary / f"{name}.json", getattr(bundle, name))
        if isinstance(bundle.masks, PipelineMasks):
            write_pipeline(bundle.masks.pipeline, temporary / _PIPELINE, half=True)
        else:
            save_denoiser(temporary / "masks.safetensors", bundle.masks)
        save_textures(temporary / "textures.safetensors", bundle.textures)
        if bundle.config.dim == 3:
            shapes, volume = bundle.volume_parts()
            _write_model(temporary / "volume.json", volume)
            save_denoiser(temporary / "shapes.safetensors", shapes)
        (temporary / "README.md").write_text(bundle.card, encoding="utf-8", newline="\n")


def _write_model(path: Path, model: BaseModel) -> None:
    path.write_text(model.model_dump_json(indent=1) + "\n", encoding="utf-8", newline="\n")


def load_bundle(folder: Path, runtime: Runtime | None = None) -> Bundle:
    """Read a bundle.

    Parameters
    ----------
    folder : Path
        Folder of the bundle.
    runtime : Runtime, optional
        If it paints with Stable Diffusion: where its weights are, and how to paint.

    Raises
    ------
    CytoCascadeError
        If a file is missing or damaged, the bundle needs another version, or weights that are nowhere.
    """
    _refuse_incomplete(folder, _FILES)
    config = _read_model(folder / "bundle.json", BundleConfig)
    volumes, source = config.dim == 3, config.mask_source
    masks = _MASK_FILES if source is None else tuple(f"{_PIPELINE}/{name}" for name in PIPELINE_FILES)
    files = (*_FILES, *masks, *(_VOLUME_FILES if volumes else ()))
    _refuse_incomplete(folder, files)
    return Bundle(
        config=config,
        masks=_load_masks(folder, source),
        textures=load_textures(folder / "textures.safetensors", runtime),
        cells=_read_model(folder / "cells.json", CellStatistics),
        population=_read_model(folder / "population.json", PopulationStatistics),
        imaging=_read_model(folder / "imaging.json", ImagingStatistics),
        card=(folder / "README.md").read_text(encoding="utf-8"),
        hash=hash_files(folder, [folder / name for name in files]),
        shapes=load_shapes(folder) if volumes else None,
        volume=_read_model(folder / "volume.json", VolumeStatistics) if volumes else None,
    )


def _load_masks(folder: Path, source: MaskSource | None) -> MaskModel:
    if source is None:
        return load_denoiser(folder / "masks.safetensors")
    return PipelineMasks(read_pipeline(folder / _PIPELINE), source)


def export_masks(bundle: Bundle, folder: Path, *, overwrite: bool = False) -> Path:
    """Write the masks of a bundle so that diffusers loads them, and return `folder`.

    Raises
    ------
    CytoCascadeError
        If they come from our own network, or `folder` exists.
    """
    if not isinstance(bundle.masks, PipelineMasks):
        raise CytoCascadeError(
            f"the masks of {bundle.config.name!r} come from our own network, which is no pipeline of diffusers",
            hint="Fit with --mask-backend diffusers, or --masks-from DIR.",
        )
    return export_pipeline(bundle.masks.pipeline, folder, overwrite=overwrite)


def load_shapes(folder: Path) -> MultiViewDenoiser:
    """Read the multi-view diffusion of a bundle for volumes.

    Raises
    ------
    CytoCascadeError
        If it is missing or damaged.
    """
    return load_network(folder / "shapes.safetensors", MultiViewConfig, MultiViewDenoiser)


def _refuse_incomplete(folder: Path, files: tuple[str, ...]) -> None:
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise CytoCascadeError(
            f"this is no complete bundle, {missing[0]} is missing",
            path=folder,
            hint="Give a folder that `cytocascade fit` wrote, or the name of a shipped bundle: "
            + ", ".join(shipped_bundles()),
        )


def _read_model(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CytoCascadeError(
            f"not readable with CytoCascade {__version__}: {where}: {first['msg']}",
            path=path,
            hint="Fit the bundle again, or use the version named in bundle.json"
            + _written_by(path.with_name("bundle.json")),
        ) from error


def _written_by(path: Path) -> str:
    try:
        found = re.fullmatch(r"[\w.+-]+", str(json.loads(path.read_bytes()).get("version", "")))
    except (OSError, ValueError, AttributeError):
        return "."
    return f" ({found.group()})." if found else "."


def pretrained_folder() -> Path:
    """Return the folder of the shipped bundles."""
    return Path(str(resources.files("cytocascade.pretrained")))


def shipped_bundles() -> list[str]:
    """Return the names of the shipped bundles."""
    return sorted(path.parent.name for path in pretrained_folder().glob("*/bundle.json"))


def find_bundle(name_or_dir: str | Path) -> Path:
    """Return the folder of a bundle given by its shipped name or its path.

    Raises
    ------
    CytoCascadeError
        If there is neither.
    """
    folder = Path(name_or_dir)
    if folder.is_dir():
        return folder
    if str(name_or_dir) in shipped_bundles():
        return pretrained_folder() / str(name_or_dir)
    raise CytoCascadeError(
        f"there is no bundle {str(name_or_dir)!r}",
        hint=f"Give a folder that `cytocascade fit` wrote, or a shipped name: {', '.join(shipped_bundles())}",
    )
