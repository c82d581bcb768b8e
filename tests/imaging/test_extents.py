from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.imaging._stacks import SPACING, ellipsoids, grid_of_cells, stack_of

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.columns import trace_columns
from cytocascade.imaging.extents import axial_extents
from cytocascade.imaging.psf import ConePsf

PSF = ConePsf(axial=0.8)


@pytest.mark.parametrize("radii", [(2.5, 5.0, 5.0), (3.5, 5.0, 5.0), (5.0, 4.0, 4.0)])
def test_extents_of_blurred_ellipsoids_come_from_three_annotated_slices(radii: tuple[float, float, float]) -> None:
    extents = axial_extents([stack_of(grid_of_cells(radii=radii), PSF)])
    assert len(extents) == 9
    for extent in extents:
        assert extent.axial == pytest.approx(2 * radii[0], rel=0.08)
        assert extent.lateral == pytest.approx(2 * radii[1], rel=0.04)
        assert extent.ratio == extent.axial / extent.lateral
        assert extent.thickness < extent.axial
        assert extent.touching == 0


def test_columns_end_between_two_cells_on_top_of_each_other() -> None:
    labels = ellipsoids((60, 60, 60), [(10.0, 12.0, 12.0), (18.0, 12.0, 12.0)], (4.0, 5.0, 5.0))
    lower = trace_columns([stack_of(labels, PSF, annotated=(20,))])[0]
    middle = lower.depth > 0.85
    assert lower.high_met[middle].all()
    assert not lower.low_met.any()
    assert np.median(lower.high[middle]) * SPACING[0] == pytest.approx(14.0, abs=0.3)
    assert lower.height == pytest.approx(10.0, abs=0.4)


def test_cells_that_the_frame_or_the_stack_cuts_are_left_out() -> None:
    labels = ellipsoids((24, 60, 60), [(6.0, 2.0, 12.0), (0.5, 12.0, 12.0)], (3.0, 4.0, 4.0))
    stack = stack_of(labels, PSF, annotated=(2, 12))
    traced = trace_columns([stack])
    assert [cell.label for cell in traced] == [2]
    assert not traced[0].complete
    assert axial_extents([stack]) == []


def test_outlines_near_the_top_of_cells_do_not_count_where_others_remain() -> None:
    stacks = [stack_of(grid_of_cells(), PSF, annotated=(20,)), stack_of(grid_of_cells(), PSF, seed=1, annotated=(25,))]
    extents = axial_extents(stacks)
    assert {extent.stack for extent in extents} == {"stack0"}
    assert len(axial_extents(stacks, max_offset=1.0)) > len(extents)


def test_two_slices_are_too_few() -> None:
    stack = stack_of(grid_of_cells(), PSF)
    thin = dataclasses.replace(stack, image=stack.image[:2], labels=stack.labels[18:20], annotated=(0,))
    with pytest.raises(CytoCascadeError, match="2 slices"):
        trace_columns([thin])
