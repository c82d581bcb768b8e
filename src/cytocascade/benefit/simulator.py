"""A simulator without learned parts: random smooth cells in the population and under the microscope of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from cytocascade.benefit.random_cells import TextureStatistics, fit_texture, lit, noise_fields, smooth_outlines
from cytocascade.bundle import Bundle
from cytocascade.calibration.fields import MOST_FIELDS, WANTED_CELLS, Field, variant
from cytocascade.calibration.light import (
    contrasted,
    edge_factors,
    phase_contrast,
    rim_of,
    texture_contrast,
)
from cytocascade.calibration.noise import fine_structure
from cytocascade.composition import compose_field
from cytocascade.errors import CytoCascadeError
from cytocascade.generation import draw_sample
from cytocascade.generation_options import GenerationOptions
from cytocascade.images.cells import CROP_SIZE, Modality, extract_cells, measure_image
from cytocascade.images.descriptors import SHAPE_NAMES
from cytocascade.images.edges import edge_profile, typical_profile
from cytocascade.images.grain import FineStructure, measure_fine_structure
from cytocascade.images.noise import structure_cv, structure_spread
from cytocascade.images.slices import annotated_slices, choose_slices
from cytocascade.population.volume_field import PaintedCell, VolumeCell
from cytocascade.preparation import cell_descriptors, prepare_field
from cytocascade.seeding import derive_seed
from cytocascade.shapes.sampling import draw_ratios
from cytocascade.shapes.surfaces import make_surfaces
from cytocascade.shapes.voxels import slice_distances
from cytocascade.textures.axial_noise import AxialNoise
from cytocascade.textures.model import calm_rim, fade, grain, with_contrast
from cytocascade.types import AnnotatedImage, AnnotatedStack, Array, CellSurface, FloatArray
from cytocascade.volumes.cells import FOCUSED_RIM, MadeSurfaces, texture_noise
from cytocascade.volumes.generation import draw_volume_sample, expose, prepare_volume

SLICES = 24
"""Slices of volumes that the simulator's textures are measured in."""

_JITTER = 1e-6


@dataclass(frozen=True)
class Simulator:
    """What the simulator takes from real images.

    Attributes
    ----------
    bundle : Bundle
        Population, background, brightness and camera; its networks are not used. Edges, grain and contrast
        in its config are those that random cells need.
    texture : TextureStatistics
        Light inside and around the cells.
    """

    bundle: Bundle
    texture: TextureStatistics

    @classmethod
    def of(cls, bundle: Bundle) -> Simulator:
        """Return the simulator of a bundle whose images are not at hand: usual textures, edges as they are."""
        neutral = variant(bundle, outline_roughness=0.0, noise_share=1.0, texture_contrast=1.0)
        return cls(neutral, TextureStatistics.usual(bundle.config.modality))


def simulate(
    simulator: Simulator | Bundle, index: int, *, seed: int, options: GenerationOptions | None = None
) -> AnnotatedImage:
    """Simulate one annotated image or volume, determined by simulator, seed, index and options alone.

    The scheme of CytoPacq and SIMCEP (Wiesner et al. 2019; Lehmussola et al. 2007): a digital phantom of random smooth
    shapes and filtered noise, then the optics and the camera.

    Parameters
    ----------
    simulator : Simulator or Bundle
        From `fit_simulator`. A bundle does as well, but textures are then the usual ones.
    index, seed : int
        Position in the data set, and its seed.
    options : GenerationOptions, optional
        Size and population; those of the networks have no effect.

    Returns
    -------
    AnnotatedImage
        In dtype and grey levels of the images that the bundle was fitted on.

    Raises
    ------
    CytoCascadeError
        If the options ask for a bank of shapes or for axial ratios, or the size is not possible.
    """
    made = simulator if isinstance(simulator, Simulator) else Simulator.of(simulator)
    bundle, wishes = made.bundle, options or GenerationOptions()
    name = f"simulated-{index:04d}"
    if bundle.config.dim == 3:
        image, labels, spacing = _volume(made, wishes, seed, index)
        return AnnotatedImage(image, labels, spacing, name, spacing_known=bundle.config.spacing_known)
    params = _draw(bundle, wishes, seed, index)
    prepared = prepare_field(
        bundle, params, outlines=smooth_outlines, light=partial(filtered_textures, statistics=made.texture)
    )
    image, _ = compose_field(bundle, params, prepared)
    return AnnotatedImage(
        image, prepared.labels, bundle.config.spacing, name, spacing_known=bundle.config.spacing_known
    )


def filtered_textures(
    model: object,
    distance: FloatArray,
    texture: FloatArray,
    seeds: Sequence[int],
    *,
    statistics: TextureStatistics,
    modality: Modality,
    contrast: float = 1.0,
    **_: object,
) -> FloatArray:
    """Paint filtered noise into masks; stands in for `textures.model.sample_textures`.

    Parameters
    ----------
    model : object
        Not looked at: nothing here is learned.
    distance : ndarray, (n, 64, 64) float32
        Signed distances of the masks in canonical pixels.
    texture : ndarray, (n, 2) float32
        Wished `TEXTURE_NAMES`.
    seeds : sequence of int
        One seed per cell.
    statistics : TextureStatistics
        What the noise is filtered by.
    modality : {"fluorescence", "phase"}
        Whether cells add light or replace it.
    contrast : float
        Factor on the deviations from the mean inside the mask (fluorescence), or from the background (phase contrast).
    **_ : object
        What only networks need: style, steps, guidance, workers.

    Returns
    -------
    ndarray, (n, 64, 64) float32
        Relative signal; in fluorescence its mean inside the mask is 1.
    """
    one = np.ones((1, 1))
    signal = [
        lit(statistics, outline, noise_fields(statistics, seed, one)[0], row, modality)
        for outline, row, seed in zip(distance, texture, seeds)
    ]
    if not signal:
        return np.zeros((0, CROP_SIZE, CROP_SIZE), dtype=np.float32)
    stacked = np.stack(signal)
    if modality == "phase":
        return stacked * np.float32(contrast)
    return calm_rim(with_contrast(stacked, distance, contrast), distance)


def fit_simulator(bundle: Bundle, images: Sequence[AnnotatedImage], *, seed: int = 0) -> Simulator:
    """Fit the simulator's textures to real images, and calibrate it on them as the cascade is calibrated.

    Parameters
    ----------
    bundle : Bundle
        Fitted to the same images.
    images : sequence of AnnotatedImage
        The budget's real images, or volumes.
    seed : int
        Seed of the synthetic fields that are compared with them.

    Raises
    ------
    CytoCascadeError
        If the images hold too few whole cells.
    """
    flat_images = _as_slices(images)
    about = bundle.config
    cells = extract_cells(flat_images, crop_spacing=about.crop_spacing, modality=about.modality, zoom=about.zoom)
    made = Simulator(Simulator.of(bundle).bundle, fit_texture(cells))
    whole = made.bundle.config
    config = whole.model_copy(update={"dim": 2, "spacing": whole.spacing[-2:], "shape": whole.shape[-2:]})
    flat = _calibrated(replace(made, bundle=replace(made.bundle, config=config)), flat_images, seed).config
    found = ("rim", "edge_factor", "noise_share", "grain", "grain_spread", "texture_contrast")
    numbers = {name: getattr(flat, name) for name in found}
    return replace(made, bundle=replace(made.bundle, config=whole.model_copy(update=numbers)))


def _as_slices(images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    flat = [image for image in images if image.image.ndim == 2]
    stacks = []
    for image in images:
        if image.image.ndim == 3:
            planes = tuple(int(z) for z in np.flatnonzero(image.labels.any(axis=(1, 2))))
            z, y, x = image.spacing
            known, sparse = image.spacing_known, image.sparse
            stacks.append(AnnotatedStack(image.image, image.labels, planes, (z, y, x), image.name, known, sparse))
    return flat + (annotated_slices(choose_slices(stacks, SLICES)) if stacks else [])


def _calibrated(made: Simulator, images: Sequence[AnnotatedImage], seed: int) -> Bundle:
    """Return the bundle with edges, fine structure and contrast as random cells need them (see `calibration`)."""
    cv, deviation, edges, fine = [], [], [], []
    for image in images:
        table, background, noise = measure_image(image)
        cv.append(structure_cv(image.image, image.labels, background, table.label))
        deviation.append(structure_spread(image.image, image.labels, background, table.label))
        edges.append(edge_profile(image.image, image.labels, background, noise))
        fine.append(measure_fine_structure(image.image, image.labels, background))
    real_edge, real_fine = typical_profile(np.concatenate(edges)), FineStructure.joined(fine)
    bundle = variant(made.bundle, edge_factor=[], grain=[], grain_spread=0.0)
    if bundle.config.modality == "phase":
        # Noise has no fringes that could become too strong: in all it is to vary as much as the cells do.
        contrast = phase_contrast(bundle, deviation, _fields(replace(made, bundle=bundle), seed), 0.0)
        return variant(bundle, texture_contrast=contrast, **fine_structure(bundle, real_fine, []))
    bundle = variant(bundle, rim=rim_of(bundle, real_edge))
    fields = _fields(replace(made, bundle=bundle), seed)
    bundle = variant(bundle, edge_factor=edge_factors(bundle, real_edge, fields))
    bundle = variant(bundle, **fine_structure(bundle, real_fine, fields))
    contrast = texture_contrast(bundle, float(np.nanmedian(np.concatenate(cv))), fields)
    bundle = variant(bundle, texture_contrast=contrast)
    fields = [(params, contrasted(prepared, contrast)) for params, prepared in fields]
    return variant(bundle, **fine_structure(bundle, real_fine, fields))


def _draw(bundle: Bundle, options: GenerationOptions, seed: int, index: int) -> dict[str, Any]:
    """Draw a sample without dark spots: they are part of the cascade's textures, those of the simulator are noise."""
    params = draw_sample(bundle, options, seed, index)
    return {name: value for name, value in params.items() if name != "spots"}


def _fields(made: Simulator, seed: int) -> list[Field]:
    light = partial(filtered_textures, statistics=made.texture)
    fields: list[Field] = []
    cells = 0
    while cells < WANTED_CELLS and len(fields) < MOST_FIELDS:
        params = _draw(made.bundle, GenerationOptions(), seed, 1_000_000_007 + len(fields))
        fields.append((params, prepare_field(made.bundle, params, outlines=smooth_outlines, light=light)))
        cells += len(fields[-1][1].placed)
    return fields


def _volume(
    made: Simulator, options: GenerationOptions, seed: int, index: int
) -> tuple[Array, Array, tuple[float, ...]]:
    if options.shape_bank is not None or options.axial_ratio is not None:
        raise CytoCascadeError(
            "the simulator takes neither a bank of shapes nor wished axial ratios",
            hint="Leave shape_bank and axial_ratio out: heights are those of the bundle.",
        )
    params = draw_volume_sample(made.bundle, options, seed, index)
    paint: Callable[..., dict[int, PaintedCell]] = partial(_paint_slices, statistics=made.texture)
    prepared = prepare_volume(made.bundle, params, make=_inflated_outlines, paint=paint)
    return expose(made.bundle, params, prepared), prepared.labels, tuple(params["spacing"])


def _inflated_outlines(
    bundle: Bundle, params: dict[str, Any], options: GenerationOptions, seeds: Sequence[int], workers: int
) -> MadeSurfaces:
    """Make solids of smooth outlines and the bundle's axial ratios; stands in for `volumes.cells.new_surfaces`."""
    config, (_, volume) = bundle.config, bundle.volume_parts()
    outlines = smooth_outlines(
        None, [derive_seed(seed, "mask") for seed in seeds], cell_descriptors(params)[:, : len(SHAPE_NAMES)]
    )
    drawn = [derive_seed(seed, "shape") for seed in seeds]
    ratios = draw_ratios(volume.shapes, outlines.distance, config.crop_spacing, drawn, size_known=config.spacing_known)
    surfaces = make_surfaces("ellipsoid", None, outlines.distance, config.crop_spacing, ratios, drawn)
    return MadeSurfaces(surfaces, ratios, outlines.drawn, 0)


def _paint_slices(
    bundle: Bundle,
    params: dict[str, Any],
    options: GenerationOptions,
    surfaces: Sequence[CellSurface],
    cells: Sequence[VolumeCell],
    seeds: Sequence[int],
    used: Sequence[int],
    workers: int,
    *,
    statistics: TextureStatistics,
) -> dict[int, PaintedCell]:
    """Fill cells with noise alike in near slices; stands in for `volumes.cells.paint_slices`."""
    config, step = bundle.config, float(params["spacing"][0])
    texture = cell_descriptors(params)[:, len(SHAPE_NAMES) :]
    painted = {}
    for i in used:
        heights = cells[i].corner[0] + step * np.arange(len(cells[i].mask))
        outline = slice_distances(surfaces[i], heights, crop_spacing=config.crop_spacing)
        field = noise_fields(
            statistics, derive_seed(seeds[i], "texture"), _root(texture_noise(bundle, options), heights)
        )
        signal = lit(statistics, outline, field, texture[i], config.modality)
        shown = calm_rim(signal, outline) * fade(outline, min(config.rim, FOCUSED_RIM))
        painted[i] = PaintedCell(np.asarray(shown, dtype=np.float32), outline, grain(outline))
    return painted


def _root(noise: AxialNoise, heights: Array) -> Array:
    """Return the lower triangular root of the correlation of slices, every row of length 1."""
    correlation = noise.correlation(heights[:, None] - heights)
    root = np.linalg.cholesky(correlation + _JITTER * np.eye(len(heights)))
    return np.asarray(root / np.linalg.norm(root, axis=1, keepdims=True))
