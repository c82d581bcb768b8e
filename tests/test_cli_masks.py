from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
import torch
from _commands import expect_one_error
from _pipelines import save_mask_pipeline
from diffusers import DDPMPipeline

from cytocascade.bundle import load_bundle
from cytocascade.calibration import fields
from cytocascade.types import AnnotatedImage

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def real(drawn_images: list[AnnotatedImage], tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Options that name a data set on disk."""
    root = tmp_path_factory.mktemp("real")
    for image in drawn_images:
        for part, pixels in (("images", image.image), ("masks", image.labels)):
            (root / part).mkdir(exist_ok=True)
            tifffile.imwrite(root / part / f"{image.name}.tif", pixels)
    return ["--images", root / "images", "--masks", root / "masks", "--spacing", "0.5"]


def test_crops_tell_how_to_go_on(run: Run, real: list[object], tmp_path: Path) -> None:
    out = tmp_path / "crops"
    code, stdout, stderr = run("crops", *real, "--out", out, "--size", 32, "--copies", 2)
    assert (code, stdout.strip()) == (0, str(out / "images"))
    spacing = json.loads((out / "crops.json").read_bytes())["spacing"]
    assert "36 pictures of 32 x 32 pixels" in stderr
    assert f"--train_data_dir {out / 'images'} --resolution 32" in stderr
    assert f"--mask-spacing {spacing:.6g}" in stderr
    expect_one_error(run("crops", *real, "--out", out), "exists already", "--overwrite")
    expect_one_error(run("crops", *real, "--out", tmp_path / "x", "--size", 50), "50 pixels")


def test_the_route_of_the_paper(run: Run, real: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "WANTED_CELLS", 1)
    monkeypatch.setattr(fields, "MOST_FIELDS", 1)
    pipeline = save_mask_pipeline(tmp_path / "ddpm-masks")
    bundle = tmp_path / "mine"
    masks = ["--masks-from", pipeline, "--mask-spacing", 1, "--mask-candidates", 1, "--mask-sampler", "dpm"]
    code, _, stderr = run("fit", *real, "--out", bundle, "--steps", 1, *masks)
    assert code == 0, stderr
    assert load_bundle(bundle).config.mask_source is not None
    assert "ddpm-masks" in run("info", bundle)[1]
    size = ["--size", "72x80", "--cells", 2]
    out = tmp_path / "out"
    assert run("generate", "--bundle", bundle, "--out", out, "--count", 1, *size, "--mask-steps", 2)[0] == 0
    assert json.loads((out / "manifest.jsonl").read_text())["params"]["options"]["mask_steps"] == 2
    assert run("replay", f"{out}#0", "--out", tmp_path / "again", "--bundle", bundle)[0] == 0
    code, stdout, _ = run("export-masks", bundle, tmp_path / "exported")
    assert (code, stdout.strip()) == (0, str(tmp_path / "exported"))
    found = DDPMPipeline.from_pretrained(tmp_path / "exported").unet
    given = DDPMPipeline.from_pretrained(pipeline).unet
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(found.parameters(), given.parameters()))
    expect_one_error(run("export-masks", bundle, tmp_path / "exported"), "exists already")
    assert run("export-masks", bundle, tmp_path / "exported", "--overwrite")[0] == 0
    expect_one_error(run("export-masks", "nuclei", tmp_path / "none"), "our own network", "--mask-backend diffusers")


def test_wrong_masks_are_one_error(run: Run, real: list[object], tmp_path: Path) -> None:
    (tmp_path / "masks.ckpt").write_bytes(b"")
    fit = ["fit", *real, "--out", tmp_path / "mine", "--steps", 1]
    expect_one_error(run(*fit, "--masks-from", tmp_path / "masks.ckpt"), "pickle", "python -c", "weights_only=True")
    expect_one_error(run(*fit, "--masks-from", tmp_path / "none"), "no such folder", "train_unconditional.py")
    expect_one_error(run(*fit, "--mask-backend", "keras"), "--mask-backend", "compact")
    expect_one_error(run(*fit, "--mask-spacing", 1), "mask_spacing belongs to the pipeline")
    expect_one_error(run(*fit, "--masks-from", tmp_path, "--mask-eta", 3), "--mask-eta")
    assert not (tmp_path / "mine").exists()
