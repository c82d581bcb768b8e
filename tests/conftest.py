"""What the tests of the whole cascade share: drawn images, bundles, interruptions, commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from cytocascade import cli
from cytocascade.bundle import Bundle, shipped_bundles
from cytocascade.calibration import fields
from cytocascade.cascade import Cascade
from cytocascade.diffusion.denoiser import DenoiserConfig
from cytocascade.diffusion.training import TrainingConfig
from cytocascade.fitting import StageProgress
from cytocascade.imaging.microscope import Microscope
from cytocascade.imaging.psf import ConePsf
from cytocascade.population.arrangement import VolumeArrangement
from cytocascade.shapes.multiview import MultiViewConfig, MultiViewDenoiser
from cytocascade.shapes.statistics import ShapeStatistics
from cytocascade.textures.axial_noise import AxialNoise
from cytocascade.types import AnnotatedImage
from cytocascade.volumes.statistics import VolumeStatistics

DrawImage = Callable[..., AnnotatedImage]
TreeBytes = Callable[[Path], dict[str, bytes]]
Run = Callable[..., tuple[int, str, str]]
InterruptAt = Callable[[str, int], StageProgress]

TINY_SHAPES = MultiViewConfig(
    encoder_width=4,
    nodes=4,
    volume_width=8,
    depths=4,
    painter=DenoiserConfig(
        size=32, channels=3, condition_channels=1, scalars=9, styles=2, stem_width=4, widths=(8, 8, 32), layers=1
    ),
)


def _draw_image(
    number: int = 0,
    *,
    side: int = 128,
    rows: int = 3,
    radius: float = 9.0,
    light: float = 600.0,
    background: float = 200.0,
    unlabelled: int = 0,
    sparse: bool = False,
    spacing: tuple[float, float] = (0.5, 0.5),
) -> AnnotatedImage:
    """Return rows x rows textured ellipses on a noisy background; the last `unlabelled` carry no label."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), dtype=np.uint16)
    image = np.full((side, side), background)
    grain = 1 + 0.25 * ndi.gaussian_filter(rng.standard_normal((side, side)), 2.0) / 0.14
    pitch = side / rows
    for cell in range(rows * rows):
        cy, cx = (np.asarray(divmod(cell, rows)) + 0.5) * pitch + rng.uniform(-4, 4, 2)
        angle, a, b = rng.uniform(0, np.pi), radius * rng.uniform(1.0, 1.3), radius * rng.uniform(0.75, 1.0)
        u = (y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        mask = (u / a) ** 2 + (v / b) ** 2 <= 1
        image += light * rng.uniform(0.7, 1.3) * mask * grain
        if cell < rows * rows - unlabelled:
            labels[mask] = cell + 1
    image = ndi.gaussian_filter(image, 0.8) + rng.normal(0, 6.0, image.shape)
    return AnnotatedImage(
        image=np.clip(image, 0, 65535).astype(np.uint16),
        labels=labels,
        spacing=spacing,
        name=f"drawn-{number}",
        spacing_known=True,
        sparse=sparse,
    )


@pytest.fixture(scope="session")
def draw_image() -> DrawImage:
    return _draw_image


@pytest.fixture(scope="session")
def drawn_images() -> list[AnnotatedImage]:
    """Two annotated images of nine cells each."""
    return [_draw_image(0), _draw_image(1)]


@pytest.fixture(scope="session")
def nuclei() -> Cascade:
    """The shipped bundle."""
    if "nuclei" not in shipped_bundles():
        pytest.skip("the bundle 'nuclei' is not in this checkout: scripts/train_nuclei.py makes it")
    return Cascade.from_pretrained("nuclei")


@pytest.fixture(scope="session")
def tiny_shapes() -> MultiViewDenoiser:
    """An untrained multi-view network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MultiViewDenoiser(TINY_SHAPES).eval()


@pytest.fixture(scope="session")
def tiny_volumes(nuclei: Cascade, tiny_shapes: MultiViewDenoiser) -> Bundle:
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
    return replace(flat, config=config, shapes=tiny_shapes, volume=volume)


@pytest.fixture(scope="session")
def tiny_config() -> DenoiserConfig:
    """A network of 40 000 weights."""
    return DenoiserConfig(size=16, widths=(8, 16), stem_width=4, groups=4, layers=1, attention=False)


@pytest.fixture(scope="session")
def tree_bytes() -> TreeBytes:
    def read(root: Path) -> dict[str, bytes]:
        return {
            path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
        }

    return read


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; return (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cytocascade", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = 0 if stop.code is None else int(stop.code)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="module")
def small_calibration() -> Iterator[None]:
    """Let fits calibrate on one cell of one synthetic field."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "WANTED_CELLS", 1)
        patch.setattr(fields, "MOST_FIELDS", 1)
        yield


@pytest.fixture
def saved_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training save its state after every step, not once a minute."""
    real = TrainingConfig.__init__

    def init(self: TrainingConfig, **values: Any) -> None:
        real(self, **{"checkpoint_seconds": 1e-9, **values})

    monkeypatch.setattr(TrainingConfig, "__init__", init)


@pytest.fixture(scope="session")
def interrupt_at() -> InterruptAt:
    """Make progress callbacks that are interrupted at the `number`-th report of a stage."""

    def make(stage: str, number: int) -> StageProgress:
        left = [number]

        def progress(now: str, done: int, total: int, remark: str) -> None:
            left[0] -= now == stage
            if now == stage and left[0] == 0:
                raise KeyboardInterrupt

        return progress

    return make
