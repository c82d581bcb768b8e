from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cytocascade.segmentation import flows
from cytocascade.segmentation.flows import FlowCache, label_flows

pytest.importorskip("cellpose")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often flows are computed; they are then numbered, not real."""
    made: list[int] = []

    def count(labels: np.ndarray) -> np.ndarray:
        made.append(int(labels.max()))
        return np.full((2, *labels.shape), labels.max(), dtype=np.float16)

    monkeypatch.setattr(flows, "label_flows", count)
    return made


def numbered(number: int) -> np.ndarray:
    return np.full((8, 10), number, dtype=np.uint16)


def test_flows_lead_to_the_middle_of_each_cell() -> None:
    labels = np.zeros((30, 40), dtype=np.uint16)
    y, x = np.indices(labels.shape)
    labels[np.hypot(y - 12, x - 12) < 8] = 3
    labels[np.hypot(y - 14, x - 30) < 6] = 7
    found = label_flows(labels).astype(float)
    assert found.shape == (2, 30, 40)
    assert not found[:, labels == 0].any()
    for number, (cy, cx) in {3: (12, 12), 7: (14, 30)}.items():
        away = (labels == number) & (np.hypot(y - cy, x - cx) > 2)
        towards = np.stack([cy - y, cx - x])[:, away] / np.hypot(y - cy, x - cx)[away]
        assert np.allclose(np.hypot(*found[:, away]), 1, atol=2e-3)
        assert ((found[:, away] * towards).sum(axis=0) > 0.9).all()


def test_every_piece_of_a_cut_cell_has_flows() -> None:
    labels = np.zeros((12, 30), dtype=np.uint16)
    labels[2:9, 2:9] = labels[2:9, 20:27] = 1
    found = label_flows(labels)
    assert (np.abs(found).sum(axis=0)[labels > 0] > 0).mean() > 0.9
    assert np.array_equal(found[:, :, 2:9], found[:, :, 20:27])


def test_labels_may_have_any_value() -> None:
    labels = np.zeros((12, 12), dtype=np.uint32)
    labels[2:9, 2:9] = 2**32 - 1
    assert np.array_equal(label_flows(labels), label_flows((labels > 0).astype(np.uint16)))


def test_targets_are_cells_twice_and_flows() -> None:
    labels = np.zeros((12, 12), dtype=np.uint16)
    labels[2:9, 3:9] = 5
    targets = FlowCache(None, "3").targets(labels)
    assert (targets.shape, targets.dtype) == ((4, 12, 12), np.float32)
    assert np.array_equal(targets[0], labels > 0)
    assert np.array_equal(targets[1], labels > 0)
    assert np.array_equal(targets[2:], label_flows(labels))


def test_an_image_without_cells_has_no_flows() -> None:
    assert not FlowCache(None, "3").targets(np.zeros((5, 6), dtype=np.uint16)).any()


def test_flows_are_computed_once_per_content(tmp_path: Path, counted: list[int]) -> None:
    cache = FlowCache(tmp_path, "3")
    for number in (1, 2, 1, 2):
        assert (cache.targets(numbered(number))[2:] == number).all()
    FlowCache(tmp_path, "3").targets(numbered(1))
    assert counted == [1, 2]


def test_another_version_of_cellpose_has_flows_of_its_own(tmp_path: Path, counted: list[int]) -> None:
    FlowCache(tmp_path, "3.1").targets(numbered(1))
    FlowCache(tmp_path, "3.2").targets(numbered(1))
    assert counted == [1, 1]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY no more", b"not numpy at all"])
def test_damaged_files_are_computed_again(tmp_path: Path, counted: list[int], content: bytes) -> None:
    FlowCache(tmp_path, "3").targets(numbered(1))
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert (FlowCache(tmp_path, "3").targets(numbered(1))[2:] == 1).all()
    assert counted == [1, 1]
    FlowCache(tmp_path, "3").targets(numbered(1))
    assert counted == [1, 1]


def test_only_the_flows_used_last_stay_in_memory(tmp_path: Path, counted: list[int]) -> None:
    one = 2 * 8 * 10 * 2
    cache = FlowCache(tmp_path, "3", most_bytes=2 * one)
    for number in (1, 2, 1, 3):
        cache.targets(numbered(number))
    assert cache.bytes_held == 2 * one
    for file in tmp_path.iterdir():
        file.unlink()
    for number in (1, 3, 2):  # 2 was pushed out
        cache.targets(numbered(number))
    assert counted == [1, 2, 3, 2]


def test_without_a_folder_nothing_is_computed_twice(counted: list[int]) -> None:
    cache = FlowCache(None, "3", most_bytes=1)
    for number in (1, 2, 1):
        cache.targets(numbered(number))
    assert counted == [1, 2]
