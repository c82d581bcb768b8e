"""The cells of one synthetic image: made, placed and painted, before light and noise are added up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions
from cytocascade.images.cells import fineness_of
from cytocascade.images.descriptors import (
    DESCRIPTOR_NAMES,
    SHAPE_NAMES,
    for_networks,
    wished_solidity,
    zoom_factors,
)
from cytocascade.masks.drawing import draw_masks
from cytocascade.masks.maskddpm import SampledMasks
from cytocascade.population import (
    PlacementParams,
    paint_labels,
    place_cells,
)
from cytocascade.population.field import Contacts, FieldCell, nearest_outline
from cytocascade.population.neighbours import alike
from cytocascade.population.placement import PlacedCell
from cytocascade.population.room import with_rim, with_room
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.textures.model import sample_textures, sampled_by
from cytocascade.textures.spots import with_spots
from cytocascade.types import Array, FloatArray


@dataclass(frozen=True)
class PreparedField:
    """The cells of one field, painted and placed, before light and noise are added up.

    Attributes
    ----------
    placed : list of PlacedCell
        In the order of their labels.
    cells : list of FieldCell
        The cells that `PlacedCell.index` refers to, on the field's pixels.
    distance, signal : ndarray, (n, S, S) float32
        Signed distance (canonical pixels) and relative signal of the cells on the canonical grid, of 64 pixels, more
        finely sampled, or with room around them.
    brightness : ndarray, (n,) float32
        Logarithm of how bright they are.
    labels : ndarray of uint16 or uint32
        Instance labels of the field.
    drawn, rejected, unplaced : int
        Masks drawn, masks thrown away, cells that found no place.
    """

    placed: list[PlacedCell]
    cells: list[FieldCell]
    distance: FloatArray
    signal: FloatArray
    brightness: FloatArray
    labels: Array
    drawn: int
    rejected: int
    unplaced: int


def prepare_field(
    bundle: Bundle,
    params: dict[str, Any],
    *,
    workers: int = 1,
    outlines: Callable[..., SampledMasks] = draw_masks,
    light: Callable[..., FloatArray] = sample_textures,
) -> PreparedField:
    """Make new cells and place them, as drawn in `params`.

    Parameters
    ----------
    bundle : Bundle
        The cascade that the params were drawn for.
    params : dict
        From `draw_sample`.
    workers : int
        Threads; without influence on the result.
    outlines, light : callable
        Called as `draw_masks` and `sample_textures` are; others make cells without the networks.
    """
    bundle = resized(bundle, params)
    config = bundle.config
    options = GenerationOptions.model_validate(params["options"])
    placement = PlacementParams.from_json(params["placement"])
    descriptors = cell_descriptors(params)
    seeds = [derive_seed(params["cell_seed"], number) for number in range(placement.count)]
    factors = zoom_factors(descriptors, config.zoom)
    wishes = for_networks(descriptors, factors, config.zoom)
    # Params of older samples ask neither for concave masks, nor for light that is aligned or goes beyond its crop.
    concave, align, roomy = (params.get(wish, False) for wish in ("concave", "aligned", "roomy"))
    masks = outlines(
        bundle.masks,
        [derive_seed(seed, "mask") for seed in seeds],
        wishes[:, : len(SHAPE_NAMES)],
        style=config.style,
        steps=options.mask_steps,
        concave=concave,
        workers=workers,
    )
    distance = with_room(masks.distance) if roomy else masks.distance
    fineness = fineness_of(masks.distance)
    shaped = descriptors[:, : len(SHAPE_NAMES)]
    cells = _on_grid(bundle, distance, shaped, factors, seeds, thorough=concave, fineness=fineness)
    shapes = [cell.mask for cell in cells]
    shape = tuple(params["shape"])
    placed = place_cells(shapes, shape, placement)
    contacts = contacts_between(bundle, params, placed.cells, cells)
    labels, owner_of = paint_labels(placed.cells, shapes, shape, owner=None if contacts is None else contacts.owner)
    order = [owner_of[label] for label in sorted(owner_of)]
    used = sorted({place.index for place in order})
    descriptors = _with_light_alike(bundle, params, descriptors, placed.cells, cells)
    wishes = for_networks(descriptors, factors, config.zoom)
    # Params of samples that were made before textures were calm do not tell their temperature.
    light = partial(light, align=align, temperature=params.get("texture_temperature", 1.0))
    signal = _textures(bundle, masks.distance, wishes, seeds, used, options, workers, light)
    # Params of samples that were made before there were dark spots hold none.
    signal = with_spots(signal, masks.distance, params.get("spots", ()))
    if roomy:
        signal = with_rim(signal, distance)
    brightness = descriptors[:, len(SHAPE_NAMES)]
    return PreparedField(
        order, cells, distance, signal, brightness, labels, masks.drawn, masks.rejected, placed.rejected
    )


def resized(bundle: Bundle, params: Mapping[str, Any]) -> Bundle:
    """Return the 2D bundle with all cells larger, or smaller, as drawn with the image.

    Cells and their distances then have ``params["cell_size"]`` times as many pixels; without it as many as fitted. The
    spacing of the result serves to make and place cells; that of the image stays the bundle's.
    """
    factor = params.get("cell_size", 1.0)
    if factor == 1.0:
        return bundle
    finer = {"spacing": tuple(step / factor for step in bundle.config.spacing)}
    return replace(bundle, config=bundle.config.model_copy(update=finer))


def cell_descriptors(params: dict[str, Any]) -> FloatArray:
    """Return the drawn `DESCRIPTOR_NAMES` of the cells, (n, 5) float32."""
    return np.asarray(params["descriptors"], dtype=np.float32).reshape(-1, len(DESCRIPTOR_NAMES))


def contacts_between(
    bundle: Bundle, params: dict[str, Any], placed: Sequence[PlacedCell], cells: Sequence[FieldCell]
) -> Contacts | None:
    """Return where cells are pressed together; None if they shine through each other, or one lies on the other."""
    if "seam" not in params or bundle.config.modality == "phase":
        return None
    # Params of samples that were made before borders had a width hold none.
    width = params.get("seam_width", 0.0) * usual_diameter(cells)
    return Contacts.of(placed, cells, tuple(params["shape"]), width)


def _with_light_alike(
    bundle: Bundle,
    params: dict[str, Any],
    descriptors: FloatArray,
    placed: Sequence[PlacedCell],
    cells: Sequence[FieldCell],
) -> FloatArray:
    """Return the descriptors with neighbours about as bright as each other, as far as their sizes do not tell."""
    # Params of samples that were made before neighbours were alike do not tell how much.
    correlation = params.get("neighbours_alike", 0.0)
    if correlation == 0 or not placed:
        return descriptors
    spacing = np.asarray(bundle.config.spacing)
    which = [place.index for place in placed]
    centres = [(np.add(place.corner, np.divide(cells[place.index].mask.shape, 2))) * spacing for place in placed]
    size, light = descriptors[which, 0], descriptors[which, len(SHAPE_NAMES)]
    told = bundle.cells.slope("brightness", by="log_area") * size
    generator = numpy_generator(params["cell_seed"], "neighbours")
    mixed = told + alike(light - told, np.asarray(centres), bundle.population.median_diameter, correlation, generator)
    result = descriptors.copy()
    result[which, len(SHAPE_NAMES)] = np.clip(mixed, light.min(), light.max())
    return result


def usual_diameter(cells: Sequence[FieldCell]) -> float:
    """Return the diameter, in pixels, of a disc as large as the median cell."""
    return 2 * math.sqrt(float(np.median([cell.mask.sum() for cell in cells])) / math.pi) if cells else 1.0


def _on_grid(
    bundle: Bundle,
    distance: FloatArray,
    shapes: FloatArray,
    factors: FloatArray,
    seeds: Sequence[int],
    *,
    thorough: bool,
    fineness: int,
) -> list[FieldCell]:
    config = bundle.config
    cells = []
    for outline, shape, factor, seed in zip(distance, shapes, factors, seeds):
        solidity = wished_solidity(shape) + config.solidity_shift
        scale, roughness = config.scale_at(factor), config.outline_roughness
        cell = nearest_outline(
            outline, scale, solidity, roughness=roughness, seed=seed, thorough=thorough, fineness=fineness
        )
        if cell is None:
            raise CytoCascadeError(
                "a mask has no pixel in the field", hint="The spacing is too coarse for these cells."
            )
        cells.append(cell)
    return cells


def _textures(
    bundle: Bundle,
    distance: FloatArray,
    wishes: FloatArray,
    seeds: Sequence[int],
    used: Sequence[int],
    options: GenerationOptions,
    workers: int,
    light: Callable[..., FloatArray],
) -> FloatArray:
    """Paint the cells that are seen; the others stay dark."""
    config = bundle.config
    signal = np.zeros_like(distance)
    if used:
        chosen = list(used)
        signal[chosen] = light(
            sampled_by(bundle.textures, options.texture_sampler),
            distance[chosen],
            wishes[chosen, len(SHAPE_NAMES) :],
            [derive_seed(seeds[i], "texture") for i in chosen],
            modality=config.modality,
            style=config.style,
            steps=options.texture_steps,
            guidance=options.guidance,
            contrast=config.texture_contrast,
            workers=workers,
        )
    return signal
