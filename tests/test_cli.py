from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from _commands import expect_one_error, kill_when

from cytocascade.calibration import fields
from cytocascade.cascade import Cascade
from cytocascade.types import AnnotatedImage

TreeBytes = Callable[[Path], dict[str, bytes]]
Run = Callable[..., tuple[int, str, str]]

SMALL = ["--size", "72x80", "--cells", "2:3"]


@pytest.fixture(scope="module")
def folder(drawn_images: list[AnnotatedImage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set on disk: images/ and masks/."""
    root = tmp_path_factory.mktemp("real")
    for part in ("images", "masks"):
        (root / part).mkdir()
    for image in drawn_images:
        tifffile.imwrite(root / "images" / f"{image.name}.tif", image.image)
        tifffile.imwrite(root / "masks" / f"{image.name}.tif", image.labels)
    return root


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; sys.argv = ['cytocascade', '--help']\n"
        "from cytocascade.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(sorted({'torch', 'diffusers', 'scipy', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    for command in (
        "fit",
        "generate",
        "replay",
        "shapes",
        "demo",
        "evaluate",
        "info",
        "benefit",
        "segment",
        "crops",
        "export-masks",
    ):
        assert command in done.stdout


def test_info_lists_the_bundles_and_shows_a_card(run: Run, nuclei: Cascade) -> None:
    assert "nuclei" in run("info")[1]
    code, out, _ = run("info", "nuclei")
    assert code == 0
    assert out.strip() == nuclei.bundle.card.strip()


def test_generated_data_set_is_announced_and_replayed_byte_for_byte(
    run: Run, nuclei: Cascade, tmp_path: Path, tree_bytes: TreeBytes
) -> None:
    out = tmp_path / "out"
    code, stdout, stderr = run("generate", "--out", out, "--count", 2, "--seed", 3, *SMALL)
    assert (code, stdout.strip()) == (0, str(out))
    assert "2 annotated images" in stderr
    before = tree_bytes(out)
    assert {"images/000000.tif", "masks/000001.tif", "manifest.jsonl", "dataset.json", "README.md"} <= set(before)
    assert run("generate", "--out", out, "--count", 2, "--seed", 3, *SMALL, "--workers", 1)[0] == 0
    assert tree_bytes(out) == before
    code, stdout, _ = run("replay", f"{out / 'manifest.jsonl'}#1", "--out", tmp_path / "again")
    assert code == 0
    assert len(stdout.split()) == 2
    for name in ("images/000001.tif", "masks/000001.tif"):
        assert (tmp_path / "again" / name).read_bytes() == before[name]


def test_fit_writes_a_bundle_that_generates(
    run: Run, nuclei: Cascade, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fields, "WANTED_CELLS", 1)
    monkeypatch.setattr(fields, "MOST_FIELDS", 1)
    code, stdout, stderr = run(
        *("fit", "--images", folder / "images", "--masks", folder / "masks"),
        *("--out", tmp_path / "mine", "--steps", 1, "--spacing", "0.5", "--name", "drawn"),
    )
    assert (code, stdout.strip()) == (0, str(tmp_path / "mine"))
    assert "18 cells of 2 images" in stderr
    assert run("generate", "--bundle", tmp_path / "mine", "--out", tmp_path / "out", "--count", 1, *SMALL)[0] == 0
    # The manifest names the bundle, but only its folder leads to it.
    reference = f"{tmp_path / 'out'}#0"
    code, _, stderr = run("replay", reference, "--out", tmp_path / "again")
    assert code == 2
    assert "--bundle" in stderr
    assert run("replay", reference, "--out", tmp_path / "again", "--bundle", tmp_path / "mine")[0] == 0
    code, _, stderr = run("replay", reference, "--out", tmp_path / "again", "--bundle", "nuclei")
    assert code == 2
    assert "made with the bundle 'drawn'" in stderr


BAD_GENERATE = {
    "unknown bundle": (["--bundle", "nucleus"], ["nucleus", "shipped name"]),
    "unknown format": (["--format", "jpeg"], ["jpeg"]),
    "wrong size": (["--size", "huge"], ["huge", "512x512"]),
    "too small": (["--size", "8x8"], ["8x8", "--size 512x512"]),
    "volume": (["--size", "64x64x64"], ["64x64x64"]),
    "wrong cells": (["--cells", "many"], ["many", "20:60"]),
    "empty range": (["--cells", "9:3"], ["9:3", "smaller number first"]),
    "wrong area scale": (["--area-scale", "50"], ["--area-scale"]),
    "wrong brightness": (["--brightness-scale", "-1"], ["--brightness-scale"]),
}


@pytest.mark.parametrize("case", BAD_GENERATE)
def test_bad_wish_of_generate_is_one_error(run: Run, nuclei: Cascade, tmp_path: Path, case: str) -> None:
    arguments, texts = BAD_GENERATE[case]
    expect_one_error(run("generate", "--out", tmp_path / "out", "--count", 1, *arguments), *texts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--count", "0"], ["--clustering", "2"], ["--workers", "0"], ["--colour", "red"], ["--guidance", "-1"]],
)
def test_option_out_of_range_exits_with_2_and_no_traceback(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    code, stdout, stderr = run("generate", "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert arguments[0] in stderr
    assert "Traceback" not in stdout + stderr


def test_folder_with_other_files_is_one_error(run: Run, nuclei: Cascade, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    expect_one_error(run("generate", "--out", tmp_path, "--count", 1, *SMALL), tmp_path, "Choose another --out")
    expect_one_error(run("generate", "--out", tmp_path / "mine.txt", "--count", 1, *SMALL), "mine.txt")


def test_damaged_bundle_is_one_error(run: Run, nuclei: Cascade, tmp_path: Path) -> None:
    weights = nuclei.save(tmp_path / "mine") / "textures.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    result = run("generate", "--bundle", tmp_path / "mine", "--out", tmp_path / "out", "--count", 1)
    expect_one_error(result, weights, "bundle again")


def test_bad_reference_of_replay_is_one_error(run: Run, tmp_path: Path) -> None:
    expect_one_error(run("replay", tmp_path / "manifest.jsonl", "--out", tmp_path), "MANIFEST#INDEX")
    expect_one_error(run("replay", f"{tmp_path / 'manifest.jsonl'}#1", "--out", tmp_path), "no such manifest")


def test_missing_images_of_fit_are_one_error(run: Run, tmp_path: Path) -> None:
    expect_one_error(run("fit", "--images", tmp_path / "nowhere", "--out", tmp_path / "b"), tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    expect_one_error(run("fit", "--images", tmp_path / "empty", "--out", tmp_path / "b"), tmp_path / "empty")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--budget", "soon"], "soon"),
        (["--spacing", "tiny"], "tiny"),
        (["--from", "nucleus"], "nucleus"),
        (["--layout", "zip"], "zip"),
        (["--device", "abacus"], "--device cpu"),
    ],
)
def test_bad_wish_of_fit_is_one_error(
    run: Run, nuclei: Cascade, folder: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    expect_one_error(run("fit", "--images", folder, "--out", tmp_path / "b", *arguments), text)
    assert not (tmp_path / "b").exists()


def write_pair(root: Path, image: np.ndarray, mask: np.ndarray) -> None:
    for name, array in (("images", image), ("masks", mask)):
        (root / name).mkdir()
        tifffile.imwrite(root / name / "a.tif", array)


BAD_PAIRS: dict[str, Callable[[AnnotatedImage], tuple[np.ndarray, np.ndarray]]] = {
    "shapes differ": lambda real: (real.image[:100], real.labels),
    "empty mask": lambda real: (real.image, np.zeros_like(real.labels)),
    "float mask": lambda real: (real.image, real.labels / np.float32(3)),
    "NaN": lambda real: (np.where(real.labels > 0, np.nan, 1.0).astype(np.float32), real.labels),
    "few cells": lambda real: (real.image, np.where(real.labels < 4, real.labels, 0).astype(np.uint16)),
    "volume": lambda real: (np.stack([real.image] * 8), np.stack([real.labels] * 8)),
}


@pytest.mark.parametrize("case", BAD_PAIRS)
def test_images_that_cannot_be_learned_from_are_one_error(
    run: Run, nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path, case: str
) -> None:
    write_pair(tmp_path, *BAD_PAIRS[case](drawn_images[0]))
    expect_one_error(run("fit", "--images", tmp_path, "--out", tmp_path / "b", "--steps", 1))
    assert not (tmp_path / "b").exists()


def test_truncated_image_is_one_error(run: Run, drawn_images: list[AnnotatedImage], tmp_path: Path) -> None:
    write_pair(tmp_path, drawn_images[0].image, drawn_images[0].labels)
    file = tmp_path / "images" / "a.tif"
    file.write_bytes(file.read_bytes()[:3000])
    expect_one_error(run("fit", "--images", tmp_path, "--out", tmp_path / "b", "--steps", 1), "a.tif")


def test_existing_bundle_is_one_error(run: Run, nuclei: Cascade, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    expect_one_error(
        run("fit", "--images", folder, "--out", tmp_path / "b", "--steps", 1), tmp_path / "b", "--overwrite"
    )


def test_unreadable_file_is_one_error(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "x"))

    monkeypatch.setattr("cytocascade.bundle.find_bundle", refuse)
    expect_one_error(run("info", "nuclei"), tmp_path / "x", "Permission denied")


def test_interruption_tells_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cytocascade.bundle.find_bundle", interrupt)
    code, _, stderr = run("info", "nuclei")
    assert code == 130
    assert "same command again" in stderr


@pytest.mark.slow
def test_killed_generate_is_continued_to_the_same_bytes(nuclei: Cascade, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    def command(out: str) -> list[str]:
        start = [sys.executable, "-m", "cytocascade.cli", "generate", "--out", str(tmp_path / out)]
        return [*start, "--count", "8", "--seed", "5", "--format", "ctc,cellpose", "--size", "128x128", "--cells", "6"]

    subprocess.run(command("whole"), check=True, capture_output=True)
    manifest = tmp_path / "killed" / "manifest.jsonl"
    kill_when(command("killed"), lambda: manifest.exists() and manifest.read_bytes().count(b"\n") >= 3)
    assert not (tmp_path / "killed" / "README.md").exists()
    subprocess.run(command("killed"), check=True, capture_output=True)
    assert tree_bytes(tmp_path / "killed") == tree_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_killed_fit_is_continued_to_the_same_bytes(
    nuclei: Cascade, folder: Path, tmp_path: Path, tree_bytes: TreeBytes
) -> None:
    def command(out: str) -> list[str]:
        start = [sys.executable, "-m", "cytocascade.cli", "fit", "--images", str(folder), "--name", "drawn"]
        return [*start, "--out", str(tmp_path / out), "--steps", "4", "--spacing", "0.5"]

    subprocess.run(command("whole"), check=True, capture_output=True)
    work = tmp_path / "killed.fit"
    kill_when(command("killed"), lambda: (work / "masks.safetensors").exists())
    assert not (tmp_path / "killed").exists()
    subprocess.run(command("killed"), check=True, capture_output=True)
    assert tree_bytes(tmp_path / "killed") == tree_bytes(tmp_path / "whole")
    assert not work.exists()
