from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cytocascade.errors import CytoCascadeError
from cytocascade.segmentation import cellpose as cellpose_method
from cytocascade.segmentation.base import Segmenter, SegmenterOptions, TrainingSource
from cytocascade.segmentation.cellpose import Cellpose, CellposeSegmenter, learning_rate

from .conftest import TINY, balls, discs

pytest.importorskip("cellpose")

SOURCES = [TrainingSource([discs(0), discs(1)], 0.5), TrainingSource([discs(2)], 0.5)]


def train(seed: int = 0, **given: Any) -> CellposeSegmenter:
    return Cellpose().train(SOURCES, TINY, seed=seed, **given)


def same(one: CellposeSegmenter, other: CellposeSegmenter) -> bool:
    states = one.net.state_dict(), other.net.state_dict()
    return all(torch.equal(a, b) for a, b in zip(*(state.values() for state in states), strict=True))


@pytest.fixture(scope="module")
def trained() -> CellposeSegmenter:
    return train()


def interrupted(file: Path, *, seed: int = 0) -> None:
    """Train until the state after the second step is kept."""

    def stop(done: int, total: int, loss: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(seed, checkpoint=file, progress=stop)


def test_a_seed_gives_the_same_weights_every_time(trained: CellposeSegmenter) -> None:
    assert same(train(), trained)
    assert not same(train(1), trained)


def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    trained: CellposeSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cellpose_method, "CHECKPOINT_SECONDS", -1.0)
    interrupted(tmp_path / "state")
    told: list[int] = []
    resumed = train(checkpoint=tmp_path / "state", progress=lambda done, total, loss: told.append(done))
    assert told == [3]
    assert same(resumed, trained)


def test_an_interrupted_training_is_monitored_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cellpose_method, "CHECKPOINT_SECONDS", -1.0)
    watched: list[int] = []

    def watch(done: int, segmenter: Segmenter) -> None:
        watched.append(done)
        if watched == [1, 2]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path / "state", monitor=watch, monitor_every=1)
    train(checkpoint=tmp_path / "state", monitor=watch, monitor_every=1)
    assert watched == [1, 2, 2, 3]


def test_the_state_of_another_training_is_not_gone_on_from(
    trained: CellposeSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cellpose_method, "CHECKPOINT_SECONDS", -1.0)
    interrupted(tmp_path / "state", seed=1)
    assert same(train(checkpoint=tmp_path / "state"), trained)


def test_a_training_can_be_followed_without_changing_it(trained: CellposeSegmenter) -> None:
    told: list[tuple[int, int]] = []
    watched: list[int] = []

    def watch(done: int, segmenter: Segmenter) -> None:
        assert segmenter.segment(discs().image[:30, :30]).shape == (30, 30)
        watched.append(done)

    followed = train(progress=lambda done, total, loss: told.append((done, total)), monitor=watch, monitor_every=2)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert watched == [2, 3]
    assert same(followed, trained)


def test_nothing_is_printed_and_no_generator_is_moved(capfd: pytest.CaptureFixture[str]) -> None:
    numpy_before, torch_before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    segmenter = train(2)
    segmenter.segment(discs().image[:30, :30])
    segmenter.segment(balls().image[:4, :16, :16])
    numpy_after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(numpy_before, numpy_after, strict=True))
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert tuple(capfd.readouterr()) == ("", "")


def test_flows_are_kept_in_the_cache(tmp_path: Path, trained: CellposeSegmenter) -> None:
    assert same(train(cache=tmp_path / "flows"), trained)
    kept = {file: file.read_bytes() for file in (tmp_path / "flows").iterdir()}
    assert 1 <= len(kept) <= 3
    assert same(train(cache=tmp_path / "flows"), trained)
    assert {file: file.read_bytes() for file in (tmp_path / "flows").iterdir()} == kept


def test_the_cell_diameter_is_measured_or_given() -> None:
    one = TINY.model_copy(update={"steps": 1})
    measured = Cellpose().train(SOURCES, one, seed=0)
    assert measured.cell_diameter == pytest.approx(12, abs=0.7)
    given = Cellpose().train(SOURCES, one.model_copy(update={"cell_diameter": 17.0}), seed=0)
    assert given.cell_diameter == 17
    assert float(given.net.diam_labels) == 17
    assert float(given.net.diam_mean) == 12


def test_volumes_can_be_trained_on() -> None:
    volume = balls()
    segmenter = Cellpose().train([TrainingSource([volume], 1.0)], TINY.model_copy(update={"steps": 1}), seed=0)
    assert segmenter.cell_diameter == pytest.approx(12, abs=0.7)
    assert segmenter.segment(volume.image[:4, :16, :17], volume.spacing).shape == (4, 16, 17)


def test_a_training_that_goes_astray_is_stopped() -> None:
    wild = TINY.model_copy(update={"learning_rate": 1e12})
    with pytest.raises(CytoCascadeError, match="went astray"):
        Cellpose().train(SOURCES, wild, seed=0)


@pytest.mark.parametrize(
    ("version", "problem"), [(None, "not installed"), ("4.0.6", "4.0.6 cannot be trained"), ("2.3.2", "2.3.2 cannot")]
)
def test_another_or_no_cellpose_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, problem: str
) -> None:
    def stated(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", stated)
    for call in (Cellpose().version, train, lambda: Cellpose().load(tmp_path)):
        with pytest.raises(CytoCascadeError, match=problem) as caught:
            call()
        assert "cytocascade[segment]" in str(caught.value.hint)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    options = SegmenterOptions(steps=300, learning_rate=1e-3)
    rates = np.array([learning_rate(step, options) for step in range(300)])
    assert rates[0] == pytest.approx(1e-3 / 15)
    assert (np.diff(rates[:15]) > 0).all()
    assert rates[15:200] == pytest.approx(1e-3)
    assert (np.diff(rates[201:]) <= 0).all()
    assert rates[250] == pytest.approx(5e-4)
    assert rates[-1] == pytest.approx(1e-5)


def test_short_trainings_have_learning_rates_too() -> None:
    for steps in (1, 2, 3):
        options = SegmenterOptions(steps=steps, learning_rate=1e-3)
        rates = [learning_rate(step, options) for step in range(steps)]
        assert all(0 < rate <= 1e-3 for rate in rates)
        assert rates[0] == pytest.approx(1e-3)
