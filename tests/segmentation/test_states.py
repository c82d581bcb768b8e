from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cytocascade.errors import CytoCascadeError
from cytocascade.segmentation.states import load_state, load_weights, save_state, save_weights


def network(width: int = 3, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, 1))


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    """Train on data that depend on the step."""
    for step in range(first, last):
        data = torch.randn(5, 2, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        net(data).square().mean().backward()
        optimizer.step()


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def adam(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=0.1)


def test_weights_come_back(tmp_path: Path) -> None:
    net, other = network(seed=0), network(seed=1)
    net(torch.randn(4, 2))
    assert not same(net, other)
    save_weights(tmp_path / "weights", net)
    load_weights(tmp_path / "weights", other)
    assert same(net, other)


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights", network())
    assert (tmp_path / "weights").stat().st_mode & 0o044 == 0o044


@pytest.mark.parametrize("damage", ["missing", "cut", "other network", "no tensors"])
def test_unusable_weights_are_refused(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "weights"
    save_weights(file, network(width=4 if damage == "other network" else 3))
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    elif damage == "no tensors":
        file.write_bytes(b"")
    with pytest.raises(CytoCascadeError, match="weights cannot be read") as caught:
        load_weights(file, network())
    assert caught.value.path == file


def test_an_interrupted_training_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = network()
    steps(whole, adam(whole), 0, 6)
    first = network()
    optimizer = adam(first)
    steps(first, optimizer, 0, 4)
    save_state(tmp_path / "state", first, optimizer, 4, 0.125, key="a")
    second = network(seed=9)
    optimizer = adam(second)
    assert load_state(tmp_path / "state", second, optimizer, key="a") == (4, 0.125)
    steps(second, optimizer, 4, 6)
    assert same(second, whole)


def test_without_a_file_a_training_begins_at_the_start(tmp_path: Path) -> None:
    net = network()
    assert load_state(None, net, adam(net)) == (0, 0.0)
    assert load_state(tmp_path / "none", net, adam(net)) == (0, 0.0)


def test_the_state_of_another_training_is_passed_over(tmp_path: Path) -> None:
    net = network()
    optimizer = adam(net)
    steps(net, optimizer, 0, 2)
    save_state(tmp_path / "state", net, optimizer, 2, 1.0, key="a")
    other = network(seed=1)
    optimizer = adam(other)
    assert load_state(tmp_path / "state", other, optimizer, key="b") == (0, 0.0)
    assert same(other, network(seed=1))
    assert not optimizer.state


@pytest.mark.parametrize("damage", ["cut", "other network"])
def test_a_damaged_state_is_refused(tmp_path: Path, damage: str) -> None:
    net = network(width=4 if damage == "other network" else 3)
    save_state(tmp_path / "state", net, adam(net), 2, 1.0)
    if damage == "cut":
        (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:-10])
    net = network()
    with pytest.raises(CytoCascadeError, match="no training state of this network"):
        load_state(tmp_path / "state", net, adam(net))
