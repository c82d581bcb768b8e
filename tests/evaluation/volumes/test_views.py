from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cytocascade.evaluation.extractors import Extractor
from cytocascade.evaluation.splits import real_splits
from cytocascade.evaluation.volumes import views
from cytocascade.evaluation.volumes.measured import VolumeSet, measure_volumes
from cytocascade.evaluation.volumes.views import compare_views, cut_tiles, grey_range, isotropic, view_side
from cytocascade.types import AnnotatedImage

from .scenes import volumes


def coarse_pixels(pictures: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(pictures[:, 0], 8).flatten(1)


TINY = Extractor("efficientnet", "Fréchet distance on 16 pixels", "Kernel distance on 16 pixels", 32, coarse_pixels)


def measured(given: list[AnnotatedImage]) -> VolumeSet:
    return measure_volumes(given, len(given), "real", 0)


def test_z_is_stretched_to_the_step_of_x() -> None:
    plane = np.arange(6, dtype=float)[:, None] * np.ones((6, 9))
    stretched = isotropic(plane, (0.9, 0.3))
    assert stretched.shape == (18, 9)
    assert np.all(np.diff(stretched[:, 0]) >= 0)
    assert isotropic(plane, (0.3, 0.3)) is plane
    assert set(np.unique(isotropic(plane, (0.9, 0.3), order=0))) == {0, 1, 2, 3, 4, 5}


def test_tiles_of_xz_are_isotropic_and_all_of_one_side() -> None:
    one = measured(volumes(0, 3))
    assert view_side((one,), "xy") == 60
    assert view_side((one,), "xz") == 32  # 26 after stretching; mirrored up to the smallest side
    tiles, owners = cut_tiles(one, "xz", 32, np.random.default_rng(0))
    assert tiles.shape[1:] == (32, 32)
    assert set(owners) == {0, 1, 2}


def test_tiles_come_only_from_slices_with_cells() -> None:
    given = volumes(0, 2)
    with_cells = [(one.labels > 0).any(axis=(1, 2))[:, None, None] for one in given]
    marked = [
        replace(one, image=np.where(shown, 50, 9) * np.ones_like(one.image)) for one, shown in zip(given, with_cells)
    ]
    tiles, _ = cut_tiles(measured(marked), "xy", 60, np.random.default_rng(0))
    assert set(np.unique(tiles)) == {50}


def test_no_more_tiles_than_allowed_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_TILES", 8)
    assert len(cut_tiles(measured(volumes(0, 4)), "xy", 60, np.random.default_rng(0))[0]) == 8


def test_flat_cells_are_further_away_in_xz_than_in_their_floor() -> None:
    real, flat = measured(volumes(0, 4)), measured(volumes(50, 4, height=1.8))
    found = compare_views(real, flat, TINY, real_splits(4, 0), 0)
    distances = {one.what: one for one in found.distances}
    assert distances["xz"].frechet.value > 4 * distances["xz"].frechet.floor
    assert found.frechet_name == "Fréchet distance on 16 pixels"


def test_without_a_network_only_the_grey_range_is_told() -> None:
    real = measured(volumes(0, 2))
    found = compare_views(real, real, None, real_splits(2, 0), 0)
    assert found.distances == []
    assert (found.low, found.high) == grey_range(real)
    assert "left out" in found.note
