"""From painted cells to the picture: light, background, camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.images.cells import fineness_of
from cytocascade.images.descriptors import zoom_factors
from cytocascade.images.edges import EDGE_CENTRES
from cytocascade.imaging.background import render_background, render_debris
from cytocascade.imaging.camera import add_grain, add_noise, to_output
from cytocascade.imaging.exposure import dimmed
from cytocascade.population.field import assemble_signal
from cytocascade.preparation import (
    PreparedField,
    cell_descriptors,
    contacts_between,
    resized,
    usual_diameter,
)
from cytocascade.seeding import numpy_generator
from cytocascade.textures.halos import stretched_halos
from cytocascade.textures.model import FADING, fade, grain, without_holes
from cytocascade.types import Array, FloatArray


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
    bundle = resized(bundle, params)
    config, drawn = bundle.config, params["background"]
    brightness, shown = np.exp(prepared.brightness.astype(np.float64)), prepared.signal
    if config.modality == "phase":
        size = params.get("cell_size", 1.0)
        # Cells that have spread less are thicker, and their contrast is as much stronger; how wide halos are is optics.
        brightness[:] = 1.0 / size
        shown = stretched_halos(shown, prepared.distance, 1.0 / size, fineness_of(prepared.distance))
    else:
        shown = without_holes(shown, prepared.distance)
    level = float(drawn["gain"]) * params["options"]["brightness_scale"] * brightness
    contacts = contacts_between(bundle, params, prepared.placed, prepared.cells)
    light, extent, strength = assemble_signal(
        prepared.placed,
        prepared.cells,
        shown * fade(prepared.distance, _rims(bundle, params)),
        grain(prepared.distance),
        [float(value) for value in level],
        prepared.labels.shape,
        owner=prepared.labels if config.modality == "phase" else None,
        # Params of samples that were made before halos reached into neighbours do not tell.
        halos_add=params.get("halos_add", False),
        edge=partial(edge_factor, factors=config.edge_factor) if config.edge_factor else None,
        strength=grain_strengths(params, config.grain_spread),
        pressed=contacts,
    )
    if contacts is not None:
        light = light * contacts.seams(params["seam"], reach=usual_diameter(prepared.cells), seed=params["cell_seed"])
    background = render_background(
        drawn, bundle.imaging, prepared.labels.shape, light, texture_factor=config.background_texture
    )
    if bundle.imaging.debris is not None:
        light = light + render_debris(drawn, bundle.imaging.debris, prepared.labels)
    return CleanField(light, background, extent, extent * strength)


def _rims(bundle: Bundle, params: dict[str, Any]) -> float | FloatArray:
    """Return how far outside their outlines cells are shown, in canonical pixels: for all, or for each, (n, 1, 1).

    Crops of large cells hold much of their surroundings, with pieces of other cells. What is painted there has no
    label.
    """
    config = bundle.config
    if config.halo is None:
        return config.rim
    pixels = np.mean(config.scale) / zoom_factors(cell_descriptors(params), config.zoom)
    return np.minimum(config.halo / (1.0 - FADING) / pixels, config.rim).astype(np.float32)[:, None, None]


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


def grain_strengths(params: dict[str, Any], spread: float) -> list[float]:
    """Return how grainy every cell is: log-normal, with a mean square of 1."""
    scores = numpy_generator(params["cell_seed"], "grain").standard_normal(len(params["descriptors"]))
    return [float(value) for value in np.exp(spread * scores - spread**2)]
