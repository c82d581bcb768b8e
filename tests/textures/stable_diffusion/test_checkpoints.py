from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.textures.stable_diffusion import tiny

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion.checkpoints import (
    ENVIRONMENT,
    check_base,
    find_base,
    hash_base,
    weight_files,
)
from cytocascade.textures.stable_diffusion.config import BaseRecord

HUB = "stable-diffusion-v1-5/stable-diffusion-v1-5"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-cache"))


def test_base_is_found_where_it_is_said_to_be(sd_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_base(str(sd_base)) == sd_base
    assert find_base(HUB, given=sd_base) == sd_base
    for name in ("stable-diffusion-v1-5", HUB.replace("/", "--")):
        weights = tmp_path / name.replace("-", "")
        shutil.copytree(sd_base, weights / name)
        assert find_base(HUB, given=weights) == weights / name
        monkeypatch.setenv(ENVIRONMENT, str(weights))
        assert find_base(HUB) == weights / name
    # What is not under the environment's folder is still found at its own place.
    assert find_base(str(sd_base)) == sd_base


def test_base_is_found_in_the_cache_of_the_hub(sd_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "hub" / "models--some--base"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    shutil.copytree(sd_base, cached / "snapshots" / ("0" * 40))
    with pytest.raises(CytoCascadeError, match="not here"):
        find_base("some/base")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert find_base("some/base") == cached / "snapshots" / ("0" * 40)
    assert find_base("other/name", given="some/base") == cached / "snapshots" / ("0" * 40)


def test_missing_base_says_what_to_download_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError) as caught:
        find_base(HUB)
    for text in (f"hf download {HUB}", "--local-dir DIR", "--sd-base DIR", f"{ENVIRONMENT}=DIR"):
        assert text in str(caught.value)
    with pytest.raises(CytoCascadeError, match="looked in"):
        find_base(HUB, given=tmp_path)
    with pytest.raises(CytoCascadeError, match="Copy the folder or file 'gone'"):
        find_base("/somewhere/gone")


def test_pickles_are_refused_with_the_command_that_converts_them(sd_base: Path, tmp_path: Path) -> None:
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(b"anything")
    with pytest.raises(CytoCascadeError, match="pickle") as caught:
        find_base(str(pickle))
    assert "weights_only=True" in str(caught.value.hint)
    assert "model.safetensors" in str(caught.value.hint)
    folder = shutil.copytree(sd_base, tmp_path / "base") / "unet"
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(CytoCascadeError, match=r"\.bin.*pickle"):
        weight_files(folder)
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(CytoCascadeError, match="no base"):
        find_base(str(tmp_path / "notes.md"))


def test_full_precision_goes_before_half(sd_base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sd_base, tmp_path / "base") / "unet"
    plain = folder / "diffusion_pytorch_model.safetensors"
    half = folder / "diffusion_pytorch_model.fp16.safetensors"
    shutil.copy(plain, half)
    assert weight_files(folder) == ([plain], None)
    plain.unlink()
    assert weight_files(folder) == ([half], "fp16")
    half.unlink()
    with pytest.raises(CytoCascadeError, match="no weights"):
        weight_files(folder)


def test_hash_depends_on_the_weights_and_not_on_the_name(sd_base: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(sd_base, tmp_path / "another name")
    record = BaseRecord(name=HUB, files=hash_base(sd_base, "latent"))
    check_base(moved, record, "latent")
    assert set(hash_base(sd_base, "pixel")) == {"unet"}
    other = tiny.make_base(tmp_path / "other", seed=1)
    with pytest.raises(CytoCascadeError, match="other weights") as caught:
        check_base(other, record, "latent")
    assert record.files["unet"][:12] in str(caught.value)
    assert f"hf download {HUB}" in str(caught.value.hint)
    single = tiny.make_single_file(sd_base, tmp_path / "single.safetensors")
    assert set(hash_base(single, "latent")) == {"file"}
    with pytest.raises(CytoCascadeError, match="other weights"):
        check_base(single, record, "latent")
