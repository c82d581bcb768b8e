from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.imaging._stacks import SPACING, grid_of_cells, stack_of

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.columns import trace_columns
from cytocascade.imaging.defocus import fit_spread
from cytocascade.imaging.edge_spread import fit_axial_psf, measure_edge_spread
from cytocascade.imaging.level_profile import level_profiles
from cytocascade.imaging.microscope import Microscope, fit_microscope
from cytocascade.imaging.psf import ConePsf, GaussianPsf


@pytest.mark.parametrize("radii", [(2.5, 5.0, 5.0), (5.0, 5.0, 5.0)])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_axial_sigma_is_recovered_from_cells_of_known_blur(sigma: float, radii: tuple[float, float, float]) -> None:
    edge = measure_edge_spread(trace_columns([stack_of(grid_of_cells(radii=radii), ConePsf(axial=sigma))]))
    assert edge is not None
    assert edge.edges == 18
    psf = fit_axial_psf(edge)
    assert psf.axial == pytest.approx(sigma, rel=0.1)
    assert psf.halo == 0


def test_a_halo_is_recovered() -> None:
    known = ConePsf(axial=0.7, halo=0.35, halo_axial=2.6)
    edge = measure_edge_spread(trace_columns([stack_of(grid_of_cells(), known)]))
    assert edge is not None
    psf = fit_axial_psf(edge)
    assert psf.axial == pytest.approx(0.7, rel=0.15)
    assert psf.halo == pytest.approx(0.35, abs=0.1)
    assert psf.halo_axial == pytest.approx(2.6, rel=0.25)


def test_spread_out_of_focus_is_told_from_none() -> None:
    found = []
    for spread in (0.0, 0.3, 0.6):
        psf = ConePsf(axial=0.7, halo=0.35, halo_axial=2.6, spread=spread)
        stack = stack_of(grid_of_cells(radii=(3.0, 6.0, 6.0)), psf)
        found.append(fit_spread([stack], trace_columns([stack]), psf.model_copy(update={"spread": 0.0})))
    assert found == pytest.approx([0.0, 0.3, 0.6], abs=0.12)


def test_the_background_of_every_slice_is_measured_against_the_annotated_ones() -> None:
    level = 100 + 40 * np.sin(np.arange(41) / 41 * np.pi)
    stack = stack_of(grid_of_cells(), ConePsf(axial=0.6), level=level)
    columns = trace_columns([stack])
    heights, profiles = level_profiles([stack], columns, None)
    gain = float(np.median([stack.image[cell.plane][cell.mask].mean() - cell.level for cell in columns]))
    seen = np.interp((np.arange(41) - 20) * SPACING[0], heights, profiles[0]) * gain
    assert np.abs(seen - (level - level[[18, 20, 22]].mean())).max() < 3
    assert level_profiles([stack], [], None) == ([], [])


def test_the_whole_microscope_is_fitted_and_survives_json() -> None:
    fading = np.exp(-0.02 * np.arange(41) * SPACING[0])
    stacks = [stack_of(grid_of_cells(), ConePsf(axial=0.9), seed=seed, fading=fading) for seed in range(2)]
    microscope = fit_microscope(stacks)
    assert isinstance(microscope.psf, ConePsf)
    assert microscope.psf.axial == pytest.approx(0.9, rel=0.1)
    assert microscope.edges == 36
    assert len(microscope.level_profiles) == 2
    again = Microscope.model_validate_json(microscope.model_dump_json())
    assert again == microscope
    assert np.abs(again.level_at(np.array([-50.0, 0.0, 50.0]), 1)).max() < 0.03


def test_a_known_psf_is_taken_as_it_is() -> None:
    psf = GaussianPsf(axial=1.7, lateral=0.1)
    microscope = fit_microscope([stack_of(grid_of_cells(), ConePsf(axial=0.9))], psf=psf)
    assert microscope.psf == psf
    assert microscope.edges == 0


def test_too_few_cells_are_refused_with_a_way_out() -> None:
    stack = stack_of(grid_of_cells(), ConePsf(axial=0.9))
    few = dataclasses.replace(stack, labels=np.where(stack.labels == 5, stack.labels, 0))
    with pytest.raises(CytoCascadeError, match="state the PSF"):
        fit_microscope([few])
