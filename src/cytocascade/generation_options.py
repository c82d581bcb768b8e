"""What to generate otherwise than in the fitted images."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from cytocascade.arguments import checked_model
from cytocascade.bundle import Bundle, BundleConfig
from cytocascade.errors import CytoCascadeError
from cytocascade.masks.drawing import usual_steps
from cytocascade.population import PopulationOverrides
from cytocascade.population.volume_params import ArrangementName
from cytocascade.recorded import LeftOutUnset, Recorded
from cytocascade.shapes.sampling import VIEW_STEPS
from cytocascade.shapes.surfaces import ShapePrior
from cytocascade.textures.model import usual_texture_steps

_COMMAND_LINE = {"p_cluster": "clustering", "touching_rate": "touching", "overlap_rate": "overlap"}


def _written(name: str, value: Any) -> str | int | float:
    """Return a value as it is written on the command line."""
    if not isinstance(value, list):
        return value  # type: ignore[no-any-return]
    return ("," if name == "spacing" else ":").join(f"{part:g}" for part in value)


class GenerationOptions(Recorded):
    """What to generate otherwise than in the fitted images."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size: tuple[int, ...] | None = None
    """Pixels of the image, (Y, X); by default as fitted."""
    cells: int | tuple[int, int] | None = None
    """Number of cells, or its range."""
    p_cluster: float | None = Field(None, ge=0, le=1)
    """Clustering probability."""
    touching_rate: float | None = Field(None, ge=0, le=1)
    """Share of cells that touch another."""
    overlap_rate: float | None = Field(None, ge=0, le=1)
    """Share of the clustered cells that slide under another."""
    area_scale: float = Field(1.0, gt=0.2, lt=3.0)
    """Factor on the cells' areas."""
    brightness_scale: float = Field(1.0, gt=0)
    """Factor on the cells' signal."""
    variety: float = Field(0.0, ge=0, le=1)
    """How far images reach beyond the fitted ones in density, crowding, light, size and kinds of cells; see
    `cytocascade.variety`."""
    guidance: float = Field(1.0, ge=0)
    """Classifier-free guidance of the textures; 1 is none, and fastest."""
    mask_steps: int | None = Field(None, ge=2)
    """Network evaluations per mask; by default what is usual for the masks of the bundle."""
    texture_steps: int | None = Field(None, ge=2)
    """Network evaluations per texture; by default what is usual for the textures of the bundle."""
    texture_sampler: Annotated[str | None, LeftOutUnset()] = None
    """Bundles with Stable Diffusion: paper, ddim, dpm++ or lcm; ``dpm++@10`` takes 10 steps. By default as fitted."""
    spacing: tuple[float, float, float] | None = None
    """Volumes: micrometres per voxel, (z, y, x); by default as fitted."""
    arrangement: ArrangementName | None = None
    """Volumes: cells as a layer, a ball, or everywhere; by default as fitted."""
    packing: float | None = Field(None, gt=0, le=0.8)
    """Volumes: part of a ball that its cells fill."""
    shape_prior: ShapePrior = "multiview"
    """Volumes: how surfaces are made from masks."""
    shape_steps: int = Field(VIEW_STEPS, ge=2)
    """Volumes: network evaluations per cell's views."""
    shape_bank: str | None = None
    """Volumes: file of surfaces to take instead of new ones, each turned about z at random."""
    axial_ratio: float | tuple[float, float] | None = None
    """Volumes: height of the cells over their width, or its range; by default as fitted."""
    texture_rho: float | None = Field(None, ge=0)
    """Volumes: slices share noise as in arXiv 2411.11515, whatever their distance."""
    texture_length: float | None = Field(None, gt=0)
    """Volumes: length along z, in micrometres, over which textures decorrelate; by default as fitted."""

    @model_validator(mode="after")
    def _one_consistency(self) -> GenerationOptions:
        if self.texture_rho is not None and self.texture_length is not None:
            raise ValueError("texture_rho and texture_length are two ways to say the same: give one of them")
        ratios = (self.axial_ratio,) if isinstance(self.axial_ratio, float) else self.axial_ratio or ()
        if any(not 0.05 <= ratio <= 3 for ratio in ratios):
            raise ValueError("axial ratios lie between 0.05 and 3")
        if ratios and ratios[-1] < ratios[0]:
            raise ValueError("axial_ratio is a range: give the smaller number first")
        if self.spacing is not None and not all(0 < step < 1e4 for step in self.spacing):
            raise ValueError("spacings are positive micrometres per voxel")
        return self

    def volume_only(self) -> list[str]:
        """Return the names of given options that only volumes have."""
        names = list(type(self).model_fields)
        names = names[names.index("spacing") :]
        return [name for name in names if name in self.model_dump(exclude_defaults=True)]

    def command_line(self) -> dict[str, str | int | float]:
        """Return what differs from the defaults as options of ``cytocascade generate``, the size left out."""
        given = self.model_dump(mode="json", exclude={"size"}, exclude_defaults=True)
        return {_COMMAND_LINE.get(name, name): _written(name, value) for name, value in given.items()}

    @classmethod
    def checked(cls, **wishes: Any) -> GenerationOptions:
        """Return the options, or raise `CytoCascadeError` that names the first one that is not possible."""
        return checked_model(cls, **wishes)

    def resolved(self, bundle: Bundle) -> GenerationOptions:
        """Return the options with the steps of this bundle's networks, so that what is recorded needs no defaults."""
        masks = usual_steps(bundle.masks) if self.mask_steps is None else self.mask_steps
        textures = usual_texture_steps(bundle.textures) if self.texture_steps is None else self.texture_steps
        return self.model_copy(update={"mask_steps": masks, "texture_steps": textures})

    def population(self) -> PopulationOverrides:
        """Return the part that concerns the arrangement."""
        return PopulationOverrides(
            count=self.cells,
            p_cluster=self.p_cluster,
            touching_rate=self.touching_rate,
            overlap_rate=self.overlap_rate,
        )


def field_shape(config: BundleConfig, options: GenerationOptions) -> tuple[int, ...]:
    """Return the pixels of a generated image, (Y, X); `CytoCascadeError` if it cannot be generated."""
    shape = tuple(options.size or config.shape)
    named = "x".join(map(str, shape))
    if config.dim == 3:
        if len(shape) != 3 or min(shape[1:]) < 16 or shape[0] < 4:
            raise CytoCascadeError(
                f"a volume of {named} voxels cannot be generated",
                hint="Give planes (at least 4), rows and columns (at least 16), for example --size 48x256x256.",
            )
        return shape
    if len(shape) != 2 or min(shape) < 16:
        raise CytoCascadeError(
            f"an image of {named} pixels cannot be generated",
            hint="Give 2 numbers of at least 16, for example --size 512x512."
            + (" Volumes need a 3D bundle, such as nuclei3d." if len(shape) == 3 else ""),
        )
    if options.volume_only():
        raise CytoCascadeError(
            f"--{options.volume_only()[0].replace('_', '-')} is for volumes; the bundle {config.name!r} is for images",
            hint="Take a 3D bundle, such as nuclei3d.",
        )
    return shape
