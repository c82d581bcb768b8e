from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cytocascade.bundle import Bundle
from cytocascade.generation_options import GenerationOptions
from cytocascade.seeding import derive_seed
from cytocascade.shapes.descriptors import describe_surface
from cytocascade.textures.axial_noise import AxialNoise
from cytocascade.types import CellSurface, FloatArray
from cytocascade.volumes.cells import new_surfaces, on_voxels, texture_noise
from cytocascade.volumes.generation import draw_volume_sample

STEP = 0.25


def field(function: Any, side: int = 49, centre: tuple[float, float, float] | None = None) -> CellSurface:
    """Return the surface of a distance that is a function of z, y and x in micrometres from the origin."""
    middle = centre or ((side - 1) / 2,) * 3
    axes = [(np.arange(side) - where) * STEP for where in middle]
    distance: FloatArray = function(*np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    return CellSurface(distance, STEP, centre)


def ball(radius: float, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Any:
    return lambda z, y, x: radius - np.sqrt((z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (1.0, 0.4, 0.5), (2.0, 0.25, 0.25)])
def test_the_mask_lies_where_the_cell_is(spacing: tuple[float, float, float]) -> None:
    at = (1.0, -1.5, 0.8)
    cell = on_voxels(field(ball(3.5, at)), spacing)
    assert cell.mask.sum() * np.prod(spacing) == pytest.approx(4 / 3 * np.pi * 3.5**3, rel=0.05)
    centre = np.argwhere(cell.mask).mean(axis=0) * spacing + cell.corner
    assert centre == pytest.approx(at, abs=0.25 * min(spacing) + 0.05)


def test_the_box_is_tight() -> None:
    mask = on_voxels(field(ball(3.5, (0.3, 0.2, -0.4))), (1.0, 0.5, 0.5)).mask
    for axis in range(3):
        assert all(mask.take(end, axis=axis).any() for end in (0, -1))


def test_the_corner_is_counted_from_the_origin_of_the_cell_not_of_its_grid() -> None:
    # The same ball, 1 um away from an origin that is itself off the middle of the grid.
    middle, moved = (
        on_voxels(field(ball(3.0, (0.0, 1.0, 0.0)), centre=centre), (0.5, 0.5, 0.5))
        for centre in (None, (22.0, 26.0, 20.0))
    )
    assert np.array_equal(middle.mask, moved.mask)
    assert middle.corner == pytest.approx(moved.corner)


def test_of_a_cell_smaller_than_a_voxel_one_voxel_is_left() -> None:
    cell = on_voxels(field(ball(0.6, (0.0, 0.9, -1.1))), (4.0, 2.0, 2.0))
    assert cell.mask.shape == (1, 1, 1)
    assert cell.mask.all()
    assert cell.corner == pytest.approx((0.0, 1.0, -1.0))


def test_voxels_lie_on_the_pixels_of_the_canonical_crop_so_that_nothing_is_interpolated() -> None:
    cell = on_voxels(field(ball(3.5, (0.0, 0.3, -0.4))), (1.0, 0.25, 0.25))
    pixels = np.asarray(cell.corner[1:]) / 0.25 + (64 - 1) / 2
    assert pixels == pytest.approx(np.round(pixels))


def test_a_bridge_too_thin_for_the_voxels_leaves_the_larger_end() -> None:
    def dumbbell(z: Any, y: Any, x: Any) -> Any:
        bar = np.minimum(0.3 - np.hypot(z, y), 4.0 - np.abs(x))
        ends = np.maximum(ball(2.0, (0.0, 0.0, -3.5))(z, y, x), ball(1.5, (0.0, 0.0, 3.8))(z, y, x))
        return np.maximum(bar, ends)

    cell = on_voxels(field(dumbbell), (1.0, 1.0, 1.0))
    assert cell.mask.sum() == pytest.approx(4 / 3 * np.pi * 2**3, rel=0.25)
    assert cell.corner[2] < -4
    assert cell.corner[2] + cell.mask.shape[2] < 0.5


def surfaces(bundle: Bundle, **wishes: Any) -> Any:
    options = GenerationOptions(size=(14, 64, 64), cells=3, shape_prior="ellipsoid", mask_steps=6, **wishes)
    params = draw_volume_sample(bundle, options, 2, 0)
    seeds = [derive_seed(params["cell_seed"], number) for number in range(3)]
    return new_surfaces(bundle, params, options, seeds, 1)


def test_heights_are_those_of_the_bundle_unless_wished(tiny_volumes: Bundle) -> None:
    made = surfaces(tiny_volumes)
    assert len(made.surfaces) == 3
    assert ((made.ratios >= 0.4) & (made.ratios <= 0.6)).all()
    assert made.drawn >= 3


def test_a_wished_height_is_that_of_all_cells(tiny_volumes: Bundle) -> None:
    made = surfaces(tiny_volumes, axial_ratio=0.8)
    assert made.ratios == pytest.approx([0.8] * 3)
    for surface in made.surfaces:
        assert describe_surface(surface)["axial_ratio"] == pytest.approx(0.8, rel=0.1)


def test_a_wished_range_of_heights_is_filled_by_each_cells_own_seed(tiny_volumes: Bundle) -> None:
    made = surfaces(tiny_volumes, axial_ratio=(0.7, 0.9))
    assert ((made.ratios >= 0.7) & (made.ratios <= 0.9)).all()
    assert len(set(made.ratios.tolist())) == 3
    wider = surfaces(tiny_volumes, axial_ratio=(1.0, 2.0))
    # The same share of the range.
    assert (wider.ratios - 1.0) == pytest.approx((made.ratios - 0.7) / 0.2, abs=1e-4)


def test_slices_are_as_alike_as_wished_or_as_fitted(tiny_volumes: Bundle) -> None:
    assert texture_noise(tiny_volumes, GenerationOptions()) == tiny_volumes.volume.texture_noise
    assert texture_noise(tiny_volumes, GenerationOptions(texture_rho=0.0)) == AxialNoise(rho=0.0)
    assert texture_noise(tiny_volumes, GenerationOptions(texture_length=2.0)) == AxialNoise(length=2.0)
