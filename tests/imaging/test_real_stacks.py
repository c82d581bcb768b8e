"""Extents and blur of real stacks of which three slices are annotated, against their full labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.imaging._stacks import exposed

from cytocascade.imaging.columns import trace_columns
from cytocascade.imaging.edge_spread import measure_edge_spread
from cytocascade.imaging.extents import axial_extents
from cytocascade.imaging.microscope import fit_microscope
from cytocascade.imaging.optics import focus
from cytocascade.imaging.psf import ConePsf
from cytocascade.imaging.statistics import fit_imaging
from cytocascade.imaging.volume import draw_volume_background
from cytocascade.types import AnnotatedImage, AnnotatedStack, Array

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SPACINGS = {"3d-cultured-nuclei": (0.5, 0.3788, 0.3788), "3d-organoid-nuclei": (0.6, 0.216, 0.216)}
SHARES = (0.2, 0.5, 0.8)
"""Where the annotated slices lie, as shares of the labelled height."""


def _load(name: str) -> tuple[list[AnnotatedStack], list[Array]]:
    files = sorted((DATA / name / "images").glob("*.tif"))
    if not files:
        pytest.skip(f"{DATA / name} is not there")
    stacks, truth = [], []
    for file in files:
        labels = tifffile.imread(file.parents[1] / "masks" / file.name)
        seen = np.flatnonzero((labels > 0).any(axis=(1, 2)))
        chosen = tuple(int(seen[int(share * (len(seen) - 1))]) for share in SHARES)
        sparse = np.zeros_like(labels)
        sparse[list(chosen)] = labels[list(chosen)]
        stacks.append(AnnotatedStack(tifffile.imread(file), sparse, chosen, SPACINGS[name], file.stem, True))
        truth.append(labels)
    return stacks, truth


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACINGS)
def test_axial_ratio_from_three_slices_is_that_of_the_full_labels(name: str) -> None:
    stacks, truth = _load(name)
    z, y, x = SPACINGS[name]
    by_name = {stack.name: labels for stack, labels in zip(stacks, truth, strict=True)}
    ratios, extents = [], axial_extents(stacks)
    for extent in extents:
        cell = by_name[extent.stack] == extent.label
        lateral = 2 * np.sqrt(cell.any(axis=0).sum() * y * x / np.pi)
        ratios.append(np.ptp(np.flatnonzero(cell.any(axis=(1, 2)))) * z + z)
        ratios[-1] /= lateral
    found, true = np.median([extent.ratio for extent in extents]), np.median(ratios)
    each = np.array([extent.ratio for extent in extents]) / np.array(ratios)
    print(  # noqa: T201 (the figures are the point; shown with -s)
        f"{name}: {len(extents)} cells, median ratio {found:.3f} (labels {true:.3f}), cell by cell "
        f"{np.median(each):.3f} ({np.percentile(each, 25):.3f} to {np.percentile(each, 75):.3f})"
    )
    assert found == pytest.approx(true, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "between"), [("3d-cultured-nuclei", (0.6, 1.1)), ("3d-organoid-nuclei", (1.5, 2.8))])
def test_synthetic_stacks_fade_above_and_below_cells_like_real_ones(name: str, between: tuple[float, float]) -> None:
    stacks, truth = _load(name)
    images = [
        AnnotatedImage(s.image[z], s.labels[z], s.spacing[1:], f"{s.name}{z}", True)
        for s in stacks
        for z in s.annotated
    ][:10]
    statistics = fit_imaging(images)
    microscope = fit_microscope(stacks, statistics)
    assert isinstance(microscope.psf, ConePsf)
    assert between[0] < microscope.psf.axial < between[1]
    made = _light(truth[0], statistics.records[0].gain)
    params = draw_volume_background(statistics, microscope, 0, "sample", 0)
    image = exposed(made, statistics, microscope, params, stacks[0].spacing, labels=truth[0])
    assert image.dtype == stacks[0].image.dtype
    copies = []
    for stack, labels in zip(stacks, truth, strict=True):
        light = _light(labels, 1000.0)
        seen = focus(light, microscope, stack.spacing, labels=labels).light
        copies.append(AnnotatedStack(seen, stack.labels, stack.annotated, stack.spacing, stack.name, True))
    real, synthetic = (_fall(group) for group in (stacks, copies))
    print(name, microscope.psf, microscope.attenuation, "fall in um", real, synthetic)  # noqa: T201
    assert synthetic == pytest.approx(real, rel=0.25)


def _light(labels: Array, gain: float) -> Array:
    return (abs(gain) * (labels > 0)).astype(np.float32)


def _fall(stacks: list[AnnotatedStack]) -> float:
    """Return the distance over which light falls from 3/4 to 1/4 beyond the middle of cells."""
    edge = measure_edge_spread(trace_columns(stacks))
    assert edge is not None
    beyond = np.isfinite(edge.middle) & (edge.heights > -0.5 * edge.thickness)
    heights, light = edge.heights[beyond], edge.middle[beyond]
    return float(np.interp(-0.25, -light, heights) - np.interp(-0.75, -light, heights))
