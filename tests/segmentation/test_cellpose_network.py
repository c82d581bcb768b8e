from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from cytocascade.errors import CytoCascadeError
from cytocascade.segmentation.base import SegmenterOptions
from cytocascade.segmentation.cellpose import Cellpose
from cytocascade.segmentation.cellpose_network import (
    cellpose_module,
    cellpose_network,
    computes_in_half,
    numpy_seeded,
    unchecked_sparse_tensors,
)

from .conftest import TINY

pytest.importorskip("cellpose")


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = cellpose_network(TINY, 12.0, 3).output[2].weight
    torch.manual_seed(2)
    same, other = (cellpose_network(TINY, 12.0, seed).output[2].weight for seed in (3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_both_precisions_give_nearly_the_same_floats() -> None:
    data = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    found = {}
    for precision in ("fp32", "bf16"):
        net = cellpose_network(TINY.model_copy(update={"precision": precision}), 12.0, 0).eval()
        with torch.no_grad():
            found[precision] = net(data)[0]
        assert found[precision].dtype == torch.float32
    difference = (found["fp32"] - found["bf16"]).abs().max()
    assert 0 < difference < 0.1 * found["fp32"].abs().max()


def test_bf16_is_emulated_where_the_processor_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as far from fp32 as PyTorch's own bf16, and much closer to that than fp32 is; so are the gradients."""
    data = torch.rand(4, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    found = {}
    for name, precision, native in (("fp32", "fp32", False), ("own", "bf16", True), ("emulated", "bf16", False)):
        monkeypatch.setattr(f"{cellpose_network.__module__}._has_half", lambda device, native=native: native)
        net = cellpose_network(TINY.model_copy(update={"precision": precision}), 12.0, 0).eval()
        flows = net(data)[0]
        flows.square().mean().backward()
        found[name] = [flows.detach(), *(one.grad for one in net.parameters() if one.grad is not None)]
        assert all(one.dtype == torch.float32 for one in found[name])
        assert list(net.state_dict()) == list(cellpose_network(TINY, 12.0, 0).state_dict())

    def distance(one: str, other: str) -> tuple[float, float]:
        outputs, *gradients = ((a - b).norm() / b.norm() for a, b in zip(found[one], found[other], strict=True))
        return float(outputs), float(np.median([float(gradient) for gradient in gradients]))

    for near, far, own in zip(
        distance("emulated", "own"), distance("emulated", "fp32"), distance("own", "fp32"), strict=True
    ):
        assert near < 0.5 * far
        assert 0.5 * own < far < 2 * own


def test_the_precision_can_be_chosen() -> None:
    assert computes_in_half(SegmenterOptions(precision="bf16"))
    assert not computes_in_half(SegmenterOptions(precision="fp32"))
    assert [Cellpose().precision(SegmenterOptions(precision=one)) for one in ("bf16", "fp32")] == ["bf16", "fp32"]


def test_machines_without_onednn_compute_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", object(), raising=False)
    assert not computes_in_half(SegmenterOptions())


def test_a_module_that_does_not_import_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr("cytocascade.segmentation.cellpose_network.importlib.import_module", broken)
    with pytest.raises(CytoCascadeError, match=r"cannot be imported \(libGL"):
        cellpose_module("models")


def test_messages_of_cellpose_do_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    cellpose_module("dynamics")
    logging.getLogger("cellpose.dynamics").warning("no seeds found")
    assert tuple(capfd.readouterr()) == ("", "")


def test_numpys_global_generator_is_seeded_and_put_back() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    drawn = []
    for _ in range(2):
        with numpy_seeded(2**40 + 5):
            drawn.append(np.random.rand())  # noqa: NPY002
    with pytest.raises(KeyError), numpy_seeded(1):
        raise KeyError
    assert drawn[0] == drawn[1]
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("wished", [True, False])
def test_checks_of_sparse_tensors_are_as_wished_afterwards(wished: bool) -> None:
    checks = torch.sparse.check_sparse_tensor_invariants
    with checks(wished):
        with unchecked_sparse_tensors():
            assert not checks.is_enabled()
        assert checks.is_enabled() == wished
