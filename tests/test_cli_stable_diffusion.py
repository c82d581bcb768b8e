"""``cytocascade fit``, ``generate`` and ``benefit`` with Stable Diffusion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
from _commands import expect_one_error
from tests.textures.stable_diffusion import tiny

from cytocascade.bundle import load_bundle
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions
from cytocascade.textures.stable_diffusion import presets
from cytocascade.types import AnnotatedImage

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def files(drawn_images: list[AnnotatedImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, image in enumerate(drawn_images):
        for kind, pixels in (("images", image.image), ("masks", image.labels)):
            (tmp_path / "my" / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / "my" / kind / f"{number}.tif", pixels)
    monkeypatch.delenv("CYTOCASCADE_SD_BASE", raising=False)
    return tmp_path / "my"


def fit(run: Run, files: Path, out: Path, *more: object) -> tuple[int, str, str]:
    given = ("--images", files / "images", "--masks", files / "masks", "--out", out, "--steps", 1, "--spacing", 0.5)
    return run("fit", *given, *more)


def test_options_of_stable_diffusion_need_its_backend(run: Run, files: Path, tmp_path: Path) -> None:
    expect_one_error(fit(run, files, tmp_path / "out", "--sd-mode", "pixel"), "--texture-backend stable-diffusion")
    expect_one_error(fit(run, files, tmp_path / "out", "--texture-backend", "other"), "no texture backend")
    backend = ("--texture-backend", "stable-diffusion")
    expect_one_error(fit(run, files, tmp_path / "out", *backend), "CYTOCASCADE_SD_BASE")
    base = (*backend, "--sd-base", tmp_path / "nowhere")
    expect_one_error(fit(run, files, tmp_path / "out", *base, "--sd-preset", "other"), "no preset")
    expect_one_error(fit(run, files, tmp_path / "out", *base, "--sd-mode", "other"), "--sd-mode")
    expect_one_error(fit(run, files, tmp_path / "out", *base, "--sd-sampler", "dpm++@x"), "no texture sampler")
    # Before anything is trained.
    expect_one_error(fit(run, files, tmp_path / "out", *base), "not here", "--sd-base DIR")
    assert not (tmp_path / "out.fit").exists()


def test_texture_sampler_is_for_bundles_with_stable_diffusion(run: Run, nuclei: Cascade, tmp_path: Path) -> None:
    given = ("--count", 1, "--size", "64x64", "--cells", 1, "--texture-sampler", "ddim", "--out", tmp_path / "out")
    expect_one_error(run("generate", *given), "Stable Diffusion")


def test_unset_sampler_leaves_no_trace() -> None:
    assert "texture_sampler" not in GenerationOptions().model_dump(mode="json")
    assert GenerationOptions(texture_sampler="dpm++@10").command_line() == {"texture_sampler": "dpm++@10"}
    assert presets.parsed_sampling("dpm++@10").steps == 10
    assert presets.parsed_sampling("paper").guidance == 5.0
    for wrong in ("other", "ddim@", "ddim@0"):
        with pytest.raises(CytoCascadeError, match="no texture sampler"):
            presets.parsed_sampling(wrong)


@pytest.mark.slow
@pytest.mark.usefixtures("small_calibration")
@pytest.mark.parametrize(("mode", "single"), [("pixel", False), ("latent", True)])
def test_recipe_from_weights_to_images(run: Run, files: Path, tmp_path: Path, mode: str, single: bool) -> None:
    weights = tmp_path / "weights"
    base = tiny.make_base(weights / "tiny")
    if single:
        base = tiny.make_single_file(base, weights / "tiny.safetensors")
    more = ("--sd-latent-size", 16) if mode == "latent" else ()
    backend = ("--texture-backend", "stable-diffusion", "--sd-base", base, "--sd-mode", mode, "--sd-batch", 1, *more)
    controlnet = ("--sd-controlnet", tiny.make_controlnet(tmp_path / "controlnet"))
    code, _, err = fit(run, files, tmp_path / "bundle", *backend, *controlnet, "--sd-sampler", "ddim@1")
    assert code == 0, err
    made = ("generate", "--bundle", tmp_path / "bundle", "--count", 1, "--size", "64x64", "--cells", 1)
    code, _, err = run(*made, "--out", tmp_path / "one")
    assert code == 0, err
    code, _, err = run(*made, "--out", tmp_path / "two", "--texture-sampler", "dpm++@2")
    assert code == 0, err
    one, two = (tifffile.imread(next((tmp_path / name / "images").iterdir())) for name in ("one", "two"))
    assert (one != two).any()
    code, _, err = run(
        "replay",
        f"{tmp_path / 'two' / 'manifest.jsonl'}#0",
        "--bundle",
        tmp_path / "bundle",
        "--out",
        tmp_path / "again",
    )
    assert code == 0, err
    # Elsewhere the weights are not at the recorded place.
    (weights / base.name).rename(tmp_path / "moved")
    expect_one_error(run(*made, "--out", tmp_path / "three"), "--sd-base DIR")
    target = tmp_path / "elsewhere"
    target.mkdir()
    (tmp_path / "moved").rename(target / base.name)
    code, _, err = run(*made, "--out", tmp_path / "three", "--sd-base", target)
    assert code == 0, err
    three = tifffile.imread(next((tmp_path / "three" / "images").iterdir()))
    assert (three == one).all()


@pytest.mark.slow
@pytest.mark.usefixtures("small_calibration")
def test_the_experiment_asks_whether_stable_diffusion_helps(run: Run, files: Path, tmp_path: Path) -> None:
    pytest.importorskip("cellpose", reason="needs the extra [segment]")
    out, base = tmp_path / "out", tiny.make_base(tmp_path / "weights" / "tiny")
    given = (
        *("benefit", "--images", files / "images", "--masks", files / "masks", "--out", out, "--spacing", 0.5),
        *("--budget", 1, "--seeds", 1, "--steps", 2, "--fit-steps", 1, "--amount", 1, "--arms", "real,real+synthetic"),
        *("--batch", 2, "--crop", 64, "--workers", 1, "--variety", 0),
        *("--texture-backend", "stable-diffusion", "--sd-mode", "pixel", "--sd-batch", 1, "--sd-sampler", "ddim@1"),
    )
    code, _, err = run(*given, "--sd-base", base)
    assert code == 0, err
    found = json.loads((out / "benefit.json").read_bytes())
    assert set(found["arms"]) == {"real", "real+synthetic"}
    assert load_bundle(out / "cascade").config.training["options"]["stable_diffusion"]["mode"] == "pixel"
    # Runs that were done are taken as they are.
    code, _, err = run(*given, "--sd-base", base)
    assert code == 0, err
    assert json.loads((out / "benefit.json").read_bytes())["runs"] == found["runs"]
