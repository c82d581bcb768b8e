from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cytocascade.bundle import Bundle
from cytocascade.cascade import Cascade
from cytocascade.diffusion.denoiser import DenoiserConfig
from cytocascade.imaging.microscope import Microscope
from cytocascade.imaging.psf import ConePsf
from cytocascade.population.arrangement import VolumeArrangement
from cytocascade.shapes.multiview import MultiViewConfig, MultiViewDenoiser
from cytocascade.shapes.statistics import ShapeStatistics
from cytocascade.textures.axial_noise import AxialNoise
from cytocascade.volumes.statistics import VolumeStatistics

TINY_SHAPES = MultiViewConfig(
    encoder_width=4,
    nodes=4,
    volume_width=8,
    depths=4,
    painter=DenoiserConfig(
        size=32, channels=3, condition_channels=1, scalars=9, styles=2, stem_width=4, widths=(8, 8, 32), layers=1
    ),
)


@pytest.fixture(scope="session")
def tiny_volumes(nuclei: Cascade) -> Bundle:
    """A bundle for volumes: the shipped masks and textures, and an untrained multi-view network."""
    flat = nuclei.bundle
    prior = ShapeStatistics(extents=[20.0, 25.0, 30.0, 22.0], ratios=[0.4, 0.5, 0.6, 0.45])
    volume = VolumeStatistics(
        arrangement=VolumeArrangement(kind="layer", reason="for tests", cell_height=10.0),
        microscope=Microscope(psf=ConePsf(axial=1.5, spread=0.3)),
        shapes=prior,
        priors=[prior],
        texture_noise=AxialNoise(length=4.0),
    )
    y, x = flat.config.spacing
    config = flat.config.model_copy(update={"dim": 3, "spacing": (2.5 * y, y, x), "shape": (14, 64, 64)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shapes = MultiViewDenoiser(TINY_SHAPES).eval()
    return replace(flat, config=config, shapes=shapes, volume=volume)
