"""The last step of a fit for volumes: synthetic volumes measured like the real stacks, and made to agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cytocascade.bundle import Bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions
from cytocascade.textures.axial_statistics import measure_axial_correlation, measure_stacks
from cytocascade.types import AnnotatedStack
from cytocascade.volumes.generation import draw_volume_sample, expose, prepare_volume

TRIAL_CELLS = 7
"""Cells of the trial volume."""

TRIAL_SIDE = 192
"""Rows and columns of the trial volume, at most."""


def calibrate_grain(bundle: Bundle, stacks: Sequence[AnnotatedStack], *, seed: int) -> Bundle:
    """Return the bundle with as much of its grain different in every slice as the real stacks show.

    The structure inside cells that is the same in neighbouring slices is a smaller part of all their structure the more
    noise there is. That part falls linearly with the share of the grain that is noise, so it is measured on one trial
    volume without and with grain that is all noise.

    Parameters
    ----------
    bundle : Bundle
        A fitted bundle for volumes.
    stacks : sequence of AnnotatedStack
        Real stacks.
    seed : int
        Seed of the trial volume.
    """
    real = measure_stacks(stacks) if stacks else None
    if real is None or not bundle.config.grain:
        return bundle
    planes, rows, columns = bundle.config.shape
    size = (planes, min(rows, TRIAL_SIDE), min(columns, TRIAL_SIDE))
    # Which prior the surfaces come from does not matter here; this one is fast.
    options = GenerationOptions(size=size, cells=TRIAL_CELLS, shape_prior="ellipsoid")
    params = draw_volume_sample(bundle, options, seed, 0)
    try:
        prepared = prepare_volume(bundle, params)
    except CytoCascadeError:
        # Masks that are not learned well enough fail a fit of few steps later, with their own words.
        return bundle
    shares = []
    for noise in (0.0, 1.0):
        image = expose(with_grain_noise(bundle, noise), params, prepared)
        measured = measure_axial_correlation(image, prepared.labels, params["spacing"])
        if measured is None:
            return bundle
        shares.append(measured.texture_share)
    if shares[0] - shares[1] < 0.02:
        return bundle
    return with_grain_noise(bundle, float(np.clip((shares[0] - real.texture_share) / (shares[0] - shares[1]), 0, 1)))


def with_grain_noise(bundle: Bundle, noise: float) -> Bundle:
    """Return the bundle with another share of noise in its grain."""
    _, volume = bundle.volume_parts()
    return replace(bundle, volume=volume.model_copy(update={"grain_noise": round(noise, 4)}))
