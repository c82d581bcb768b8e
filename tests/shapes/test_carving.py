from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.shapes.carving import SETTINGS, CarvedViews, carve_views
from cytocascade.shapes.mesh import surface_mesh
from cytocascade.shapes.syncdreamer import SyncDreamerViews
from cytocascade.shapes.voxels import distance_at

from ._syncdreamer import BALL, BEAN, FLAT, Ellipsoids, overlap_with, render

FEW = replace(SETTINGS, iterations=60, rays=1024)


def shown(solid: Ellipsoids) -> SyncDreamerViews:
    views = render(solid, side=128)
    coverage = (1 - views[..., 0]) / (0.65 - 0.2 * np.linspace(0, 1, 128, dtype=np.float32)[:, None])
    return SyncDreamerViews(coverage.astype(np.float32), views[..., 0])


@pytest.fixture(scope="module")
def bean() -> SyncDreamerViews:
    return shown(BEAN)


@pytest.fixture(scope="module")
def hull(bean: SyncDreamerViews) -> CarvedViews:
    return carve_views(bean, "hull")


@pytest.fixture(scope="module")
def fitted(bean: SyncDreamerViews) -> CarvedViews:
    return carve_views(bean, "neus", settings=FEW)


def overlap(solid: Ellipsoids, carved: CarvedViews) -> float:
    """Return the intersection over union in SyncDreamer's world."""
    line = np.linspace(-0.6, 0.6, 61)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
    return overlap_with(solid, distance_at(carved.surface, np.moveaxis(points[..., ::-1], -1, 0)), points)


def test_the_solid_comes_back_where_it_was(hull: CarvedViews, fitted: CarvedViews) -> None:
    assert overlap(BEAN, hull) > 0.93
    assert overlap(BEAN, fitted) > max(0.94, overlap(BEAN, hull))


@pytest.mark.slow
def test_a_flat_solid_comes_back_but_for_its_poles() -> None:
    assert overlap(FLAT, carve_views(shown(FLAT), "hull")) > 0.88


@pytest.mark.slow
def test_neus_does_better_than_the_hull_for_every_solid() -> None:
    for solid, least in ((BALL, 0.97), (FLAT, 0.92), (BEAN, 0.96)):
        views = shown(solid)
        found = overlap(solid, carve_views(views))
        assert found > max(least, overlap(solid, carve_views(views, "hull")))


def test_the_hull_holds_the_solid(hull: CarvedViews) -> None:
    line = np.linspace(-0.6, 0.6, 41)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
    found = distance_at(hull.surface, np.moveaxis(points[..., ::-1], -1, 0))
    assert (found > -0.01)[BEAN.value(points) > 0].all()


def test_silhouettes_agree_with_the_views(hull: CarvedViews, fitted: CarvedViews) -> None:
    assert hull.agreement > 0.985
    assert fitted.agreement > 0.98


def test_surfaces_are_closed_meshes(hull: CarvedViews, fitted: CarvedViews) -> None:
    for carved in (hull, fitted):
        assert surface_mesh(carved.surface).is_watertight


@pytest.mark.slow
def test_views_in_another_order_are_noticed(bean: SyncDreamerViews, hull: CarvedViews) -> None:
    order = np.random.default_rng(0).permutation(16)
    mixed = carve_views(SyncDreamerViews(bean.coverage[order], bean.grey), "hull")
    assert mixed.agreement < hull.agreement - 0.1


def test_views_of_different_things_are_refused(bean: SyncDreamerViews) -> None:
    coverage = bean.coverage.copy()
    coverage[1::2] = 0
    coverage[1::2, 4:30, 4:30] = 1
    with pytest.raises(CytoCascadeError, match="no body lies within all views"):
        carve_views(SyncDreamerViews(coverage, bean.grey), "hull")
    with pytest.raises(CytoCascadeError, match="no body lies within all views"):
        carve_views(SyncDreamerViews(coverage, bean.grey), "neus", settings=FEW)
    coverage = bean.coverage.copy()
    coverage[3, :, :] = 0
    coverage[3, 60:68, 60:68] = 1
    with pytest.raises(CytoCascadeError, match="do not show one body") as caught:
        carve_views(SyncDreamerViews(coverage, bean.grey), "hull")
    assert "22.5 degrees" in str(caught.value.hint)
