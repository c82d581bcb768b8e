from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.descriptors import describe_surface
from cytocascade.shapes.mesh import surface_mesh
from cytocascade.shapes.multiview import MultiViewDenoiser
from cytocascade.shapes.surfaces import SHAPE_PRIORS, ShapePrior, make_surfaces
from cytocascade.types import CellSurface, FloatArray

Y, X = np.mgrid[:64, :64] - 31.5
MASKS: FloatArray = np.stack([(1 - np.hypot(Y / a, X / b)) * min(a, b) for a, b in ((12, 20), (16, 16))]).astype(
    np.float32
)
RATIOS = np.array([0.5, 0.8], dtype=np.float32)


def made(prior: ShapePrior, model: MultiViewDenoiser | None, seeds: tuple[int, int] = (1, 2)) -> list[CellSurface]:
    return make_surfaces(prior, model, MASKS, 0.25, RATIOS, seeds, steps=2)


def test_the_priors_are_those_that_can_be_asked_for() -> None:
    assert SHAPE_PRIORS == get_args(ShapePrior) == ("multiview", "hull", "ellipsoid")


def test_inflated_masks_need_no_network_and_keep_mask_and_height() -> None:
    for surface, ratio, area in zip(made("ellipsoid", None), RATIOS, (np.pi * 3 * 5, np.pi * 4 * 4), strict=True):
        measured = describe_surface(surface)
        assert measured["axial_ratio"] == pytest.approx(ratio, rel=0.05)
        assert measured["projected_area"] == pytest.approx(area, rel=0.04)


def test_every_mask_may_have_a_spacing_of_its_own() -> None:
    seeds = (1, 2)
    one, two = make_surfaces("ellipsoid", None, MASKS[[0, 0]], [0.25, 0.5], RATIOS[[0, 0]], seeds)
    assert describe_surface(two)["volume"] == pytest.approx(8 * describe_surface(one)["volume"], rel=1e-3)


@pytest.mark.parametrize("prior", ["hull", "multiview"])
def test_learned_priors_need_the_network(prior: ShapePrior) -> None:
    with pytest.raises(CytoCascadeError, match=f"'{prior}' needs the multi-view network") as caught:
        made(prior, None)
    assert "nuclei3d" in str(caught.value.hint)


@pytest.mark.parametrize("prior", ["hull", "multiview"])
def test_even_an_untrained_network_gives_closed_bodies_within_their_masks(
    tiny_shapes: MultiViewDenoiser, prior: ShapePrior
) -> None:
    surfaces = made(prior, tiny_shapes)
    for surface, mask in zip(surfaces, MASKS, strict=True):
        mesh = surface_mesh(surface)
        assert mesh.is_watertight
        assert mesh.body_count == 1
        rows, columns = (np.abs(np.nonzero(mask > 0)[axis] - 31.5).max() * 0.25 for axis in (0, 1))
        assert np.abs(mesh.vertices[:, 1]).max() < rows + 0.5
        assert np.abs(mesh.vertices[:, 0]).max() < columns + 0.5


def test_another_seed_gives_another_body_over_the_same_mask(tiny_shapes: MultiViewDenoiser) -> None:
    one, other = (made("hull", tiny_shapes, seeds) for seeds in ((1, 2), (1, 3)))
    assert np.array_equal(one[0].distance, other[0].distance)
    assert not np.array_equal(one[1].distance, other[1].distance)
