from __future__ import annotations

import pickle
import shlex
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cytocascade.diffusion.foreign_weights import PICKLES, conversion_command, refuse_pickle, weight_file
from cytocascade.errors import CytoCascadeError

WEIGHTS = {"conv.weight": torch.arange(6.0).reshape(2, 3).T, "conv.bias": torch.ones(2, dtype=torch.float16)}


def run_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what the user is told to run, in this process."""
    python, flag, code, *arguments = shlex.split(command)
    assert (python, flag) == ("python", "-c")
    monkeypatch.setattr(sys, "argv", ["-c", *arguments])
    exec(compile(code, "command", "exec"), {})


@pytest.mark.parametrize("wrapped", [False, True])
def test_conversion_command_writes_the_same_weights_as_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    file = tmp_path / "my weights.bin"
    torch.save({"state_dict": WEIGHTS, "epoch": 3} if wrapped else WEIGHTS, file)
    run_command(conversion_command(file), monkeypatch)
    found = load_file(tmp_path / "my weights.safetensors")
    assert set(found) == set(WEIGHTS)
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise RuntimeError('the pickle was run')",)


def test_conversion_command_does_not_run_what_a_pickle_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bad.ckpt"
    torch.save({"weights": Harmful()}, file)
    with pytest.raises(pickle.UnpicklingError):
        run_command(conversion_command(file), monkeypatch)


@pytest.mark.parametrize("suffix", [*PICKLES, ".CKPT"])
def test_pickles_are_refused_with_the_command(suffix: str) -> None:
    file = Path(f"model{suffix}")
    with pytest.raises(CytoCascadeError, match="pickle") as caught:
        refuse_pickle(file)
    assert caught.value.path == file
    assert conversion_command(file) in str(caught.value)


def test_other_files_are_not_refused() -> None:
    refuse_pickle(Path("model.safetensors"))


def test_safetensors_are_taken_where_a_pickle_lies_beside_them(tmp_path: Path) -> None:
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CytoCascadeError, match=r"diffusion_pytorch_model\.bin"):
        weight_file(tmp_path)
    save_file({"a": torch.zeros(1)}, file)
    assert weight_file(tmp_path) == file


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match=r"missing: model\.safetensors") as caught:
        weight_file(tmp_path, "model")
    assert caught.value.path == tmp_path
