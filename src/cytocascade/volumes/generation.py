"""One synthetic volume: everything random is drawn first, then a pure function renders it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cytocascade.bundle import Bundle
from cytocascade.composition import edge_factor, grain_strengths
from cytocascade.generation_options import GenerationOptions, field_shape
from cytocascade.images.descriptors import SHAPE_NAMES
from cytocascade.images.features import cut_by_frame
from cytocascade.imaging.camera import to_output
from cytocascade.imaging.exposure import dimmed
from cytocascade.imaging.volume import FineTuning, draw_volume_background, take_volume
from cytocascade.population import paint_labels
from cytocascade.population.placement import PlacedCell
from cytocascade.population.volume import place_volume
from cytocascade.population.volume_field import PaintedCell, VolumeCell, VolumeLight, assemble_light
from cytocascade.population.volume_params import VolumeOverrides, VolumeParams
from cytocascade.population.volume_plan import draw_volume_placement
from cytocascade.preparation import cell_descriptors
from cytocascade.seeding import derive_seed, numpy_generator
from cytocascade.shapes.surface_bank import SurfaceBank
from cytocascade.types import Array, FloatArray, GeneratedSample
from cytocascade.variety import ImageVariety
from cytocascade.volumes.cells import FOCUSED_RIM, MadeSurfaces, new_surfaces, on_voxels, paint_slices


def draw_volume_sample(bundle: Bundle, options: GenerationOptions, seed: int, index: int) -> dict[str, Any]:
    """Draw everything random about volume `index`; the result holds JSON values only.

    Parameters
    ----------
    bundle : Bundle
        Trained cascade for volumes.
    options : GenerationOptions
        Wishes.
    seed, index : int
        Seed of the data set and position in it: the draw depends on these alone.

    Returns
    -------
    dict
        ``shape``, ``spacing``, ``options``, ``background``, ``placement``, ``descriptors`` and seeds.
    """
    _, volume = bundle.volume_parts()
    planes, height, width = field_shape(bundle.config, options)
    spacing = voxel_spacing(bundle, options)
    keys = ("sample", index)
    # Groups of touching bodies are left as fitted: stacks show too few to gather them otherwise.
    variety = ImageVariety.drawn(options.variety, seed, index).model_copy(
        update={"touching": None, "near": None, "overlap": None, "seam": None}
    )
    wanted = VolumeOverrides(
        **variety.on(options.population()).model_dump(), arrangement=options.arrangement, packing=options.packing
    )
    placement = draw_volume_placement(
        volume.arrangement, bundle.population, (planes, height, width), spacing, wanted, seed=seed, keys=keys
    )
    scale = options.area_scale * volume.area_factor
    generator = numpy_generator(seed, *keys, "cells")
    descriptors = bundle.cells.draw(placement.count, generator, area_scale=scale, reach=variety.reach)
    background = draw_volume_background(bundle.imaging, volume.microscope, seed, *keys)
    background["gain"] *= variety.gain
    params = {
        "shape": [planes, height, width],
        "spacing": list(spacing),
        "options": options.resolved(bundle).model_dump(mode="json"),
        "background": background,
        "placement": placement.to_json(),
        "descriptors": [[round(float(value), 6) for value in row] for row in descriptors],
        "cell_seed": derive_seed(seed, *keys, "cell"),
        "aligned": True,
        "exposed": True,
    }
    if options.shape_bank is not None:
        params["shape_bank"] = SurfaceBank.load(options.shape_bank).hash
    return params


def voxel_spacing(bundle: Bundle, options: GenerationOptions) -> tuple[float, float, float]:
    """Return micrometres per voxel, (z, y, x): as wished, or as fitted."""
    z, y, x = options.spacing or bundle.config.spacing
    return z, y, x


def render_volume_sample(
    bundle: Bundle, params: dict[str, Any], *, seed: int, index: int, workers: int = 1
) -> GeneratedSample:
    """Render a volume from its drawn params: the same params give the same bytes.

    Parameters
    ----------
    bundle : Bundle
        The cascade that the params were drawn for.
    params : dict
        From `draw_volume_sample`, or from a manifest.
    seed, index : int
        Recorded in the sample.
    workers : int
        Threads; without influence on the result.
    """
    prepared = prepare_volume(bundle, params, workers=workers)
    image = expose(bundle, params, prepared)
    counts = {"drawn": prepared.drawn, "rejected": prepared.rejected, "unplaced": prepared.unplaced}
    return GeneratedSample(
        image=image,
        labels=prepared.labels,
        spacing=tuple(params["spacing"]),
        index=index,
        seed=seed,
        params={**params, "masks": counts},
        cells=_cell_records(image, prepared, tuple(params["spacing"])),
        spacing_known=bundle.config.spacing_known,
    )


@dataclass(frozen=True)
class PreparedVolume:
    """The cells of one volume, painted and placed, before the optics.

    Attributes
    ----------
    placed : list of PlacedCell
        In the order of their labels.
    light : VolumeLight
        What they shine.
    labels : ndarray of uint16 or uint32, (Z, Y, X)
        Instance labels: the true geometry.
    ratios : ndarray, (n,) float32
        Axial ratio that each drawn cell was made with; `PlacedCell.index` refers to them.
    drawn, rejected, unplaced : int
        Masks drawn, masks thrown away, cells that found no place.
    """

    placed: list[PlacedCell]
    light: VolumeLight
    labels: Array
    ratios: FloatArray
    drawn: int
    rejected: int
    unplaced: int


def prepare_volume(
    bundle: Bundle,
    params: dict[str, Any],
    *,
    workers: int = 1,
    make: Callable[..., MadeSurfaces] = new_surfaces,
    paint: Callable[..., dict[int, PaintedCell]] = paint_slices,
) -> PreparedVolume:
    """Make new cells, place and paint them, as drawn in `params`.

    Parameters
    ----------
    bundle : Bundle
        The cascade that the params were drawn for.
    params : dict
        From `draw_volume_sample`.
    workers : int
        Threads; without influence on the result.
    make, paint : callable
        Called as `new_surfaces` and `paint_slices` are; others make cells without the networks.
    """
    options = GenerationOptions.model_validate(params["options"])
    placement = VolumeParams.from_json(params["placement"])
    seeds = [derive_seed(params["cell_seed"], number) for number in range(placement.count)]
    made = make(bundle, params, options, seeds, workers)
    spacing: tuple[float, float, float] = tuple(params["spacing"])
    cells = [on_voxels(surface, spacing) for surface in made.surfaces]
    masks, shape = [cell.mask for cell in cells], tuple(params["shape"])
    placed = place_volume(masks, shape, placement)
    labels, owner_of = paint_labels(placed.cells, masks, shape)
    order = [owner_of[label] for label in sorted(owner_of)]
    used = sorted({place.index for place in order})
    painted = paint(bundle, params, options, made.surfaces, cells, seeds, used, workers)
    light = _light(bundle, params, order, cells, painted, labels)
    return PreparedVolume(order, light, labels, made.ratios, made.drawn, made.rejected, placed.rejected)


def _light(
    bundle: Bundle,
    params: dict[str, Any],
    order: Sequence[PlacedCell],
    cells: Sequence[VolumeCell],
    painted: dict[int, PaintedCell],
    labels: Array,
) -> VolumeLight:
    config, z_y_x = bundle.config, tuple(params["spacing"])
    brightness = np.exp(cell_descriptors(params)[:, len(SHAPE_NAMES)].astype(np.float64))
    gain = float(params["background"]["gain"]) * params["options"]["brightness_scale"]
    return assemble_light(
        order,
        cells,
        painted,
        [float(value) for value in gain * brightness],
        labels,
        (z_y_x[0], z_y_x[1], z_y_x[2]),
        config.crop_spacing,
        reach=min(config.rim, FOCUSED_RIM),
        edge=partial(edge_factor, factors=config.edge_factor) if config.edge_factor else None,
        strength=grain_strengths(params, config.grain_spread),
    )


def expose(bundle: Bundle, params: dict[str, Any], prepared: PreparedVolume) -> Array:
    """Take the picture: optics, background, noise and the grey levels of the camera.

    Bright volumes are dimmed until their cells hardly saturate.
    """
    taken, background = _taken(bundle, params, prepared), params["background"]
    # Params of samples that were made before volumes were dimmed do not tell.
    if params.get("exposed") and (less := dimmed(taken[prepared.labels > 0], background, bundle.imaging)):
        factor = np.float32(less["gain"] / background["gain"])
        light = replace(prepared.light, light=prepared.light.light * factor)
        taken = _taken(bundle, {**params, "background": less}, replace(prepared, light=light))
    return to_output(taken, bundle.imaging)


def _taken(bundle: Bundle, params: dict[str, Any], prepared: PreparedVolume) -> FloatArray:
    config = bundle.config
    tuning = FineTuning(
        noise_share=config.noise_share,
        grain=config.grain,
        grain_noise=bundle.volume_parts()[1].grain_noise,
        background_noise=config.background_noise,
        photon_gain=config.photon_gain,
        background_texture=config.background_texture,
    )
    return take_volume(
        prepared.light.light,
        bundle.imaging,
        bundle.volume_parts()[1].microscope,
        params["background"],
        params["spacing"],
        labels=prepared.labels,
        extent=prepared.light.extent,
        grain_extent=prepared.light.grain,
        tuning=tuning,
    )


def _cell_records(image: Array, prepared: PreparedVolume, spacing: tuple[float, float, float]) -> list[dict[str, Any]]:
    """Describe every cell by what can be had at once: volume, extents, mean intensity."""
    records = []
    for number, (place, box) in enumerate(zip(prepared.placed, ndi.find_objects(prepared.labels)), start=1):
        mask = prepared.labels[box] == number
        cut = cut_by_frame(box, image.shape)
        features = {
            "volume": float(mask.sum()) * float(np.prod(spacing)),
            "extent": [round((side.stop - side.start) * step, 4) for side, step in zip(box, spacing)],
            "mean_intensity": float(image[box][mask].mean(dtype=np.float64)),
        }
        ratio = float(prepared.ratios[place.index])
        records.append(
            {
                "label": number,
                "number": place.index,
                "placement": place.placement,
                "corner": [int(value) for value in place.corner],
                "cut": cut,
                "axial_ratio": None if np.isnan(ratio) else round(ratio, 5),
                "features": {k: v if isinstance(v, list) else float(f"{v:.6g}") for k, v in features.items()},
            }
        )
    return records
