from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cytocascade.diffusion.checkpoints import load_denoiser, save_denoiser
from cytocascade.errors import CytoCascadeError

from .conftest import MakeDenoiser


def test_network_comes_back_as_its_half_precision_weights(make_denoiser: MakeDenoiser, tmp_path: Path) -> None:
    model = make_denoiser(scalars=2, styles=3)
    save_denoiser(tmp_path / "net.safetensors", model)
    found = load_denoiser(tmp_path / "net.safetensors")
    assert found.config == model.config
    assert not found.training
    for name, value in model.state_dict().items():
        assert found.state_dict()[name].dtype == torch.float32
        assert torch.equal(found.state_dict()[name], value.half().float())


def test_second_round_trip_changes_no_byte(make_denoiser: MakeDenoiser, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_denoiser(first, make_denoiser())
    save_denoiser(second, load_denoiser(first))
    assert first.read_bytes() == second.read_bytes()


def test_single_precision_can_be_kept(make_denoiser: MakeDenoiser, tmp_path: Path) -> None:
    model = make_denoiser()
    save_denoiser(tmp_path / "net.safetensors", model, half=False)
    found = load_denoiser(tmp_path / "net.safetensors").state_dict()
    assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())


def test_half_precision_takes_two_bytes_per_weight(make_denoiser: MakeDenoiser, tmp_path: Path) -> None:
    model = make_denoiser()
    save_denoiser(tmp_path / "net.safetensors", model)
    assert (tmp_path / "net.safetensors").stat().st_size < 2 * model.parameter_count() + 20_000


def test_loaded_network_predicts_the_same(make_denoiser: MakeDenoiser, tmp_path: Path) -> None:
    save_denoiser(tmp_path / "net.safetensors", make_denoiser())
    one, other = (load_denoiser(tmp_path / "net.safetensors") for _ in range(2))
    x = torch.randn((2, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(one(x, torch.tensor(5)), other(x, torch.tensor(5)))


@pytest.mark.parametrize("kept", [0, 7, 500, -10])
def test_truncated_weights_are_named_in_the_error(make_denoiser: MakeDenoiser, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "net.safetensors"
    save_denoiser(path, make_denoiser())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CytoCascadeError, match=r"net\.safetensors") as caught:
        load_denoiser(path)
    assert caught.value.path == path
    assert caught.value.hint


def test_missing_weights_are_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="missing") as caught:
        load_denoiser(tmp_path / "net.safetensors")
    assert caught.value.path == tmp_path / "net.safetensors"


def test_weights_of_someone_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CytoCascadeError, match="not weights of this version"):
        load_denoiser(path)


def test_missing_tensor_is_refused(make_denoiser: MakeDenoiser, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    model = make_denoiser()
    save_denoiser(path, model)
    tensors = load_file(path)
    del tensors["head.1.weight"]
    save_file(tensors, path, {"config": model.config.model_dump_json()})
    with pytest.raises(CytoCascadeError, match=r"head\.1\.weight"):
        load_denoiser(path)


def test_nothing_but_the_file_is_left_behind(make_denoiser: MakeDenoiser, tmp_path: Path) -> None:
    save_denoiser(tmp_path / "net.safetensors", make_denoiser())
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]
