"""One synthetic image: everything random is drawn first, then a pure function renders it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions, field_shape
from cytocascade.images.cells import fineness_of
from cytocascade.images.descriptors import (
    DESCRIPTOR_NAMES,
    SHAPE_NAMES,
    for_networks,
    wished_solidity,
    zoom_factors,
)
from cytocascade.images.edges import EDGE_CENTRES
from cytocascade.images.features import measure_cells
from cytocascade.imaging.background import draw_background, render_background, render_debris
from cytocascade.imaging.camera import add_grain, add_noise, to_output
from cytocascade.imaging.exposure import dimmed
from cytocascade.imaging.statistics import typical_noise
from cytocascade.masks.drawing import draw_masks
from cytocascade.masks.maskddpm import SampledMasks
from cytocascade.population import (
    PlacementParams,
    draw_placement,
    paint_labels,
    place_cells,
)
from cytocascade.population.field import Contacts, FieldCell, assemble_signal, nearest_outline
from cytocascade.population.neighbours import USUAL, alike
from cytocascade.population.placement import PlacedCell
from cytocascade.population.room import with_rim, with_room
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.textures.model import fade, grain, sample_textures, sampled_by, without_holes
from cytocascade.types import Array, FloatArray, GeneratedSample
from cytocascade.variety import ImageVariety


def draw_sample(bundle: Bundle, options: GenerationOptions, seed: int, index: int) -> dict[str, Any]:
    """Draw everything random about sample `index`; the result holds JSON values only.

    Parameters
    ----------
    bundle : Bundle
        Trained cascade.
    options : GenerationOptions
        Wishes.
    seed, index : int
        Seed of the data set and position in it: the draw depends on these alone.

    Returns
    -------
    dict
        ``shape``, ``options``, ``background``, ``placement`` and ``cells`` (descriptors and seeds).
    """
    config = bundle.config
    shape = field_shape(config, options)
    keys = ("sample", index)
    variety = ImageVariety.drawn(options.variety, seed, *keys)
    wishes = variety.on(options.population())
    placement = draw_placement(bundle.population, shape, config.spacing, wishes, seed=seed, keys=keys)
    generator = numpy_generator(seed, *keys, "cells")
    descriptors = bundle.cells.draw(placement.count, generator, area_scale=options.area_scale, reach=variety.reach)
    background = draw_background(bundle.imaging, seed, *keys)
    if config.modality == "fluorescence":
        # How much cells shine is a matter of staining; their phase contrast is one of optics and of their size.
        background["gain"] *= variety.gain
    return {
        "shape": list(shape),
        "options": options.resolved(bundle).model_dump(mode="json"),
        "background": background,
        "placement": placement.to_json(),
        "descriptors": [[round(float(value), 6) for value in row] for row in descriptors],
        "cell_seed": derive_seed(seed, *keys, "cell"),
        "noise_seed": derive_seed(seed, *keys, "noise"),
        "concave": config.concave,
        "aligned": True,
        "roomy": config.modality == "fluorescence",
        "exposed": config.modality == "fluorescence",
        "neighbours_alike": round(variety.alike * _neighbours_alike(bundle), 4),
        **({} if variety.seam is None else {"seam": variety.seam, "seam_width": variety.seam_width}),
    }


def _neighbours_alike(bundle: Bundle) -> float:
    if bundle.config.modality == "phase":
        return 0.0
    measured = bundle.population.neighbours_alike
    return USUAL if measured is None else measured


def render_sample(
    bundle: Bundle, params: dict[str, Any], *, seed: int, index: int, workers: int = 1
) -> GeneratedSample:
    """Render a sample from its drawn params: the same params give the same bytes.

    Parameters
    ----------
    bundle : Bundle
        The cascade that the params were drawn for.
    params : dict
        From `draw_sample`, or from a manifest.
    seed, index : int
        Recorded in the sample.
    workers : int
        Threads; without influence on the result.
    """
    prepared = prepare_field(bundle, params, workers=workers)
    image, background = compose_field(bundle, params, prepared)
    counts = {"drawn": prepared.drawn, "rejected": prepared.rejected, "unplaced": prepared.unplaced}
    return GeneratedSample(
        image=image,
        labels=prepared.labels,
        spacing=bundle.config.spacing,
        index=index,
        seed=seed,
        params={**params, "masks": counts},
        cells=_cell_records(image, prepared, background, bundle),
        spacing_known=bundle.config.spacing_known,
    )


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
    contacts = _contacts(bundle, params, placed.cells, cells)
    labels, owner_of = paint_labels(placed.cells, shapes, shape, owner=None if contacts is None else contacts.owner)
    order = [owner_of[label] for label in sorted(owner_of)]
    used = sorted({place.index for place in order})
    descriptors = _with_light_alike(bundle, params, descriptors, placed.cells, cells)
    wishes = for_networks(descriptors, factors, config.zoom)
    signal = _textures(bundle, masks.distance, wishes, seeds, used, options, workers, partial(light, align=align))
    if roomy:
        signal = with_rim(signal, distance)
    brightness = descriptors[:, len(SHAPE_NAMES)]
    return PreparedField(
        order, cells, distance, signal, brightness, labels, masks.drawn, masks.rejected, placed.rejected
    )


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


@dataclass(frozen=True)
class CleanField:
    """A field before the camera.

    Attributes
    ----------
    light : ndarray of float32
        Light of the cells and of what lies between them, in the image's units.
    background : ndarray of float32
        Noise-free background.
    extent : ndarray of float32
        Where textures hold noise of their own, in [0, 1].
    grain : ndarray of float32
        How strong the grain is that they lack: about 1 inside cells, 0 outside.
    """

    light: FloatArray
    background: FloatArray
    extent: FloatArray
    grain: FloatArray


def compose_field(bundle: Bundle, params: dict[str, Any], prepared: PreparedField) -> tuple[Array, FloatArray]:
    """Put cells, background and noise together; bright images are dimmed until their cells hardly saturate.

    Returns
    -------
    image : ndarray, (Y, X)
        In the dtype of the fitted images.
    background : ndarray, (Y, X) float32
        The noise-free background, in the image's units.
    """
    clean = clean_field(bundle, params, prepared)
    taken = _taken(bundle, params, clean)
    # Params of samples that were made before images were dimmed do not tell.
    if params.get("exposed") and (less := dimmed(taken[prepared.labels > 0], params["background"], bundle.imaging)):
        clean = clean_field(bundle, {**params, "background": less}, prepared)
        taken = _taken(bundle, {**params, "background": less}, clean)
    return to_output(taken, bundle.imaging), clean.background


def clean_field(bundle: Bundle, params: dict[str, Any], prepared: PreparedField) -> CleanField:
    """Add up the light of the cells, and render the background that it throws haze on."""
    config, drawn = bundle.config, params["background"]
    brightness = np.exp(prepared.brightness.astype(np.float64))
    if config.modality == "phase":
        brightness[:] = 1.0
    level = float(drawn["gain"]) * params["options"]["brightness_scale"] * brightness
    shown = prepared.signal if config.modality == "phase" else without_holes(prepared.signal, prepared.distance)
    contacts = _contacts(bundle, params, prepared.placed, prepared.cells)
    light, extent, strength = assemble_signal(
        prepared.placed,
        prepared.cells,
        shown * fade(prepared.distance, config.rim),
        grain(prepared.distance),
        [float(value) for value in level],
        prepared.labels.shape,
        owner=prepared.labels if config.modality == "phase" else None,
        edge=partial(edge_factor, factors=config.edge_factor) if config.edge_factor else None,
        strength=grain_strengths(params, config.grain_spread),
        pressed=contacts,
    )
    if contacts is not None:
        light = light * contacts.seams(params["seam"], reach=_usual_diameter(prepared.cells), seed=params["cell_seed"])
    background = render_background(
        drawn, bundle.imaging, prepared.labels.shape, light, texture_factor=config.background_texture
    )
    if bundle.imaging.debris is not None:
        light = light + render_debris(drawn, bundle.imaging.debris, prepared.labels)
    return CleanField(light, background, extent, extent * strength)


def _contacts(
    bundle: Bundle, params: dict[str, Any], placed: Sequence[PlacedCell], cells: Sequence[FieldCell]
) -> Contacts | None:
    """Return where cells are pressed together; None if they shine through each other, or one lies on the other."""
    if "seam" not in params or bundle.config.modality == "phase":
        return None
    # Params of samples that were made before borders had a width hold none.
    width = params.get("seam_width", 0.0) * _usual_diameter(cells)
    return Contacts.of(placed, cells, tuple(params["shape"]), width)


def _usual_diameter(cells: Sequence[FieldCell]) -> float:
    """Return the diameter, in pixels, of a disc as large as the median cell."""
    return 2 * math.sqrt(float(np.median([cell.mask.sum() for cell in cells])) / math.pi) if cells else 1.0


def grain_strengths(params: dict[str, Any], spread: float) -> list[float]:
    """Return how grainy every cell is: log-normal, with a mean square of 1."""
    scores = numpy_generator(params["cell_seed"], "grain").standard_normal(len(params["descriptors"]))
    return [float(value) for value in np.exp(spread * scores - spread**2)]


def expose(bundle: Bundle, params: dict[str, Any], clean: CleanField) -> Array:
    """Take the picture: grain, noise and the grey levels of the camera."""
    return to_output(_taken(bundle, params, clean), bundle.imaging)


def _taken(bundle: Bundle, params: dict[str, Any], clean: CleanField) -> FloatArray:
    config = bundle.config
    light = add_grain(clean.light, clean.grain, config.grain, int(params["noise_seed"]))
    return add_noise(
        clean.background + light,
        clean.background,
        1.0 - (1.0 - config.noise_share) * clean.extent,
        params["background"],
        bundle.imaging,
        factor=config.background_noise,
        gain=config.photon_gain,
    )


def edge_factor(depth: FloatArray, factors: Sequence[float]) -> FloatArray:
    """Return the factor on the light at signed distances to the outline, in pixels of the image."""
    return np.asarray(np.interp(depth, EDGE_CENTRES, factors), dtype=np.float32)


def cell_descriptors(params: dict[str, Any]) -> FloatArray:
    """Return the drawn `DESCRIPTOR_NAMES` of the cells, (n, 5) float32."""
    return np.asarray(params["descriptors"], dtype=np.float32).reshape(-1, len(DESCRIPTOR_NAMES))


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


def _cell_records(
    image: Array, prepared: PreparedField, background: FloatArray, bundle: Bundle
) -> list[dict[str, Any]]:
    noise = typical_noise(bundle.imaging)
    table = measure_cells(image, prepared.labels, bundle.config.spacing, background, noise)
    records = []
    for row, label in enumerate(table.label):
        place = prepared.placed[int(label) - 1]
        records.append(
            {
                "label": int(label),
                "number": place.index,
                "placement": place.placement,
                "corner": [int(value) for value in place.corner],
                "cut": bool(table.touches_border[row]),
                "features": {name: _rounded(values[row]) for name, values in table.values.items()},
            }
        )
    return records


def _rounded(value: float) -> float | None:
    return None if not np.isfinite(value) else float(f"{value:.6g}")
