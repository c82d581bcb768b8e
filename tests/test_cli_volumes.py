from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import trimesh
from _commands import expect_one_error, kill_when
from PIL import Image

from cytocascade.bundle import Bundle, save_bundle
from cytocascade.cascade import Cascade
from cytocascade.export.tiff import write_tiff
from cytocascade.images import read_image

TreeBytes = Callable[[Path], dict[str, bytes]]
Run = Callable[..., tuple[int, str, str]]

SMALL = ["--size", "12x64x64", "--cells", "1", "--shape-prior", "ellipsoid"]


@pytest.fixture(scope="module")
def bundle(tiny_volumes: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle for volumes on disk."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(tiny_volumes, folder)
    return folder


def discs(count: int = 6) -> np.ndarray:
    """Return `count` discs of 7 pixels radius, (72, 72)."""
    labels = np.zeros((72, 72), dtype=np.uint16)
    y, x = np.indices(labels.shape)
    for k in range(count):
        labels[np.hypot(y - 16 - 22 * (k // 3), x - 14 - 22 * (k % 3)) < 7] = k + 1
    return labels


def balls(planes: int = 12) -> np.ndarray:
    """Return the discs as bodies of six planes, (planes, 72, 72)."""
    labels = np.zeros((planes, 72, 72), dtype=np.uint16)
    labels[3:9] = discs()
    return labels


def write_stack(
    root: Path,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    spacing: tuple[float, ...] | None = (1.0, 0.5, 0.5),
) -> Path:
    """Write an image of `labels` and its mask (`labels` itself) into images/ and masks/; return the folder."""
    noise = np.random.default_rng(0).integers(0, 30, labels.shape)
    image = (100 + noise + 200 * (labels > 0)).astype(np.uint16)
    for name, pixels in (("images", image), ("masks", labels if mask is None else mask)):
        (root / name).mkdir(parents=True)
        write_tiff(root / name / "a.tif", pixels, (spacing or (1.0, 1.0, 1.0))[-pixels.ndim :], spacing is not None)
    return root


def test_volumes_are_generated_in_several_formats_and_replayed_byte_for_byte(
    run: Run, bundle: Path, tmp_path: Path, tree_bytes: TreeBytes
) -> None:
    out = tmp_path / "out"
    start = ["generate", "--bundle", bundle, "--out", out, "--dim", 3, "--seed", 4, *SMALL]
    code, stdout, stderr = run(*start, "--count", 1, "--format", "folder,cellpose,ome-zarr")
    assert (code, stdout.strip()) == (0, str(out))
    assert "1 annotated volumes" in stderr
    files = tree_bytes(out)
    for name in ("dataset.json", "manifest.jsonl", "README.md"):
        assert name in files
    image, spacing = read_image(out / "folder" / "images" / "000000.tif")
    assert image.shape == (12, 64, 64)
    # The bundle knows of no micrometres, so the files state none.
    assert spacing is None
    assert any(name.startswith("cellpose/") for name in files)
    assert any(name.startswith("ome-zarr/") and ".zarr" in name for name in files)
    # Given again, the command has nothing to do.
    assert run(*start, "--count", 1, "--format", "folder,cellpose,ome-zarr", "--workers", 1)[0] == 0
    assert tree_bytes(out) == files
    reference = f"{out / 'manifest.jsonl'}#0"
    expect_one_error(run("replay", reference, "--out", tmp_path / "again"), "--bundle DIR")
    code, stdout, _ = run("replay", reference, "--out", tmp_path / "again", "--bundle", bundle)
    assert code == 0
    for name in ("images/000000.tif", "masks/000000.tif"):
        assert (tmp_path / "again" / name).read_bytes() == files[f"folder/{name}"]


def test_wishes_for_volumes_reach_the_volumes_and_the_manifest(run: Run, bundle: Path, tmp_path: Path) -> None:
    wishes = ["--spacing", "2,1,1", "--axial-ratio", "0.3:0.4", "--arrangement", "volume", "--texture-rho", "0.7"]
    assert run("generate", "--bundle", bundle, "--out", tmp_path / "o", "--count", 1, *SMALL, *wishes)[0] == 0
    record = json.loads((tmp_path / "o" / "manifest.jsonl").read_text())
    options = record["params"]["options"]
    assert options["spacing"] == [2.0, 1.0, 1.0]
    assert options["axial_ratio"] == [0.3, 0.4]
    assert (options["arrangement"], options["texture_rho"]) == ("volume", 0.7)
    assert 0.3 <= record["cells"][0]["axial_ratio"] <= 0.4


BAD_GENERATE = {
    "flat size": (["--size", "64x64"], ["64x64", "--size 48x256x256"]),
    "too flat": (["--size", "3x64x64"], ["3x64x64"]),
    "wrong spacing": (["--spacing", "0.5"], ["0.5", "z,y,x"]),
    "wrong arrangement": (["--arrangement", "heap"], ["--arrangement"]),
    "packing": (["--packing", "0.95"], ["--packing"]),
    "wrong prior": (["--shape-prior", "guess"], ["--shape-prior"]),
    "wrong ratio": (["--axial-ratio", "0.6:0.4"], ["0.6:0.4"]),
    "impossible ratio": (["--axial-ratio", "7"], ["0.05 and 3"]),
    "two noises": (["--texture-rho", "0.5", "--texture-length", "2"], ["two ways"]),
    "endless texture": (["--texture-length", "inf"], ["--texture-length"]),
    "missing bank": (["--shape-bank", "nowhere.bank"], ["nowhere.bank", "--save-bank"]),
    "no bank": (["--shape-bank", __file__], ["test_cli_volumes.py", "no bank"]),
    "images": (["--dim", "2"], ["--dim 2", "generates volumes"]),
    "image format": (["--format", "coco"], ["coco"]),
}


@pytest.mark.parametrize("case", BAD_GENERATE)
def test_bad_wish_of_generate_is_one_error(run: Run, bundle: Path, tmp_path: Path, case: str) -> None:
    arguments, texts = BAD_GENERATE[case]
    result = run("generate", "--bundle", bundle, "--out", tmp_path / "out", "--count", 1, *arguments)
    expect_one_error(result, *texts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--dim", "3"], "generates images"), (["--texture-rho", "0.7"], "--texture-rho is for volumes")],
)
def test_volumes_of_a_bundle_for_images_are_one_error(
    run: Run, nuclei: Cascade, tmp_path: Path, arguments: list[str], text: str
) -> None:
    expect_one_error(run("generate", "--bundle", "nuclei", "--out", tmp_path / "out", *arguments), text)
    assert not (tmp_path / "out").exists()


def test_shapes_are_made_from_masks_and_kept_for_volumes(run: Run, bundle: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", discs(3))
    out, bank = tmp_path / "shapes", tmp_path / "cells.bank"
    start = ["shapes", "--bundle", bundle, "--masks", tmp_path / "cells.tif", "--shape-prior", "ellipsoid"]
    expect_one_error(run(*start, "--out", out), "pixel size", "--spacing")
    assert not out.exists()
    wishes = ["--spacing", "2", "--format", "ply, obj", "--per-mask", 2, "--save-bank", bank]
    code, stdout, _ = run(*start, "--out", out, *wishes)
    assert (code, stdout.strip()) == (0, str(out / "shapes.csv"))
    assert len((out / "shapes.csv").read_text().splitlines()) == 1 + 6
    assert (out / "cells_0003_01.obj").is_file()
    assert not list(out.glob("*.tif"))
    expect_one_error(run(*start, "--out", out, *wishes), out, "--overwrite")
    code, _, _ = run(
        *("generate", "--bundle", bundle, "--out", tmp_path / "o", "--count", 1, "--size", "12x64x64"),
        *("--cells", 1, "--shape-bank", bank),
    )
    assert code == 0
    record = json.loads((tmp_path / "o" / "manifest.jsonl").read_text())
    assert record["cells"][0]["axial_ratio"] is None


def test_shapes_of_new_cells_need_no_masks(run: Run, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "shapes"
    assert run("shapes", "--bundle", bundle, "--out", out, "--count", 2, "--shape-prior", "ellipsoid")[0] == 0
    assert {path.name for path in out.iterdir()} == {
        "shapes.csv", "cell_000000.ply", "cell_000000.tif", "cell_000001.ply", "cell_000001.tif"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--format", "stl"], "'stl'"),
        (["--kind", "tissue"], "--kind"),
        (["--axial-ratio", "9"], "--axial-ratio"),
        (["--shape-prior", "guess"], "--prior"),
        (["--voxel", "1,1"], "z,y,x"),
        (["--masks", "nowhere.tif"], "nowhere.tif"),
        (["--bundle", "nuclei"], "nuclei"),
    ],
)
def test_bad_wish_of_shapes_is_one_error(
    run: Run, bundle: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    expect_one_error(run("shapes", "--bundle", bundle, "--out", tmp_path / "s", "--count", 1, *arguments), text)
    assert not (tmp_path / "s").exists()


def ellipsoid_file(path: Path, *, drop: int = 0) -> Path:
    """Write a mesh of 0.6 x 0.8 x 1, its last triangles left out."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    ball.apply_scale((0.3, 0.4, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.Trimesh(ball.vertices, ball.faces[: len(ball.faces) - drop]).export(path)
    return path


def test_shapes_are_imported_and_generated_from(run: Run, bundle: Path, tmp_path: Path) -> None:
    ellipsoid_file(tmp_path / "made" / "one.ply", drop=3)
    ellipsoid_file(tmp_path / "made" / "two" / "mesh.ply")
    out, bank = tmp_path / "shapes", tmp_path / "cells.bank"
    wishes = ["--up", "flat", "--spacing", "2,1,1", "--format", "obj,tif,slices", "--save-bank", bank]
    code, stdout, _ = run("shapes", "--import", tmp_path / "made", "--diameter", 20, "--out", out, *wishes)
    assert (code, stdout.strip()) == (0, str(out / "shapes.csv"))
    with (out / "shapes.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["name"] for row in rows] == ["one", "two"]
    assert rows[0]["repairs"].startswith("closed 1 holes")
    for row in rows:
        assert float(row["axial_ratio"]) == pytest.approx(0.6, abs=0.01)
        assert float(row["volume"]) == pytest.approx(4 / 3 * np.pi * 10 * 8 * 6, rel=0.02)
        inside = np.argwhere(tifffile.imread(out / f"{row['name']}.tif"))
        assert np.ptp(inside, axis=0).tolist() == pytest.approx([5, 15, 19], abs=1)
        assert len(list((out / row["name"]).iterdir())) == np.ptp(inside[:, 0]) + 1
        assert (out / f"{row['name']}.obj").is_file()
    expect_one_error(run("shapes", "--import", tmp_path / "made", "--diameter", 20, "--out", out), "--overwrite")
    code, _, _ = run(
        *("generate", "--bundle", bundle, "--out", tmp_path / "o", "--count", 1, "--size", "12x64x64"),
        *("--cells", 1, "--shape-bank", bank),
    )
    assert code == 0
    record = json.loads((tmp_path / "o" / "manifest.jsonl").read_text())
    assert record["cells"][0]["features"]["volume"] == pytest.approx(4 / 3 * np.pi * 10 * 8 * 6, rel=0.15)


def test_imported_shapes_take_the_size_of_their_masks(run: Run, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", discs(1))
    mesh = ellipsoid_file(tmp_path / "cells_0001.ply")
    start = ["shapes", "--import", mesh, "--masks", tmp_path / "cells.tif", "--spacing", "0.5", "--format", "tif"]
    assert run(*start, "--out", tmp_path / "out")[0] == 0
    with (tmp_path / "out" / "shapes.csv").open() as lines:
        row = next(csv.DictReader(lines))
    assert float(row["projected_area"]) == pytest.approx(np.sum(discs(1) > 0) / 4, rel=0.03)
    expect_one_error(run(*start, "--out", tmp_path / "two", "--area", 9), "--masks and --area both")


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ([], ["know no size", "diameter"]),
        (["--diameter", "9", "--unit", "1"], ["know no size"]),
        (["--diameter", "-3"], ["--diameter"]),
        (["--diameter", "9", "--up", "north"], ["--up"]),
        (["--diameter", "9", "--voxel", "1,1"], ["z,y,x"]),
        (["--diameter", "9", "--per-mask", "2"], ["--per-mask"]),
        (["--diameter", "9", "--axial-ratio", "0.5"], ["--axial-ratio"]),
        (["--diameter", "9", "--shape-prior", "ellipsoid"], ["--shape-prior ellipsoid"]),
        (["--diameter", "9", "--format", "stl"], ["'stl'", "slices"]),
    ],
)
def test_bad_wish_of_an_import_is_one_error(run: Run, tmp_path: Path, arguments: list[str], texts: list[str]) -> None:
    mesh = ellipsoid_file(tmp_path / "cell.ply")
    expect_one_error(run("shapes", "--import", mesh, "--out", tmp_path / "s", *arguments), *texts)
    assert not (tmp_path / "s").exists()


def test_files_that_cannot_be_imported_are_one_error(run: Run, bundle: Path, tmp_path: Path) -> None:
    size = ["--diameter", 9, "--out", tmp_path / "s"]
    expect_one_error(run("shapes", "--import", tmp_path / "nowhere.ply", *size), "nowhere.ply", "no such file")
    tifffile.imwrite(tmp_path / "picture.tif", discs())
    expect_one_error(run("shapes", "--import", tmp_path / "picture.tif", *size), "picture.tif", ".ply")
    Image.fromarray(np.full((256, 256, 3), 255, dtype=np.uint8)).save(tmp_path / "input.png")
    expect_one_error(run("shapes", "--import", tmp_path / "input.png", *size), "input.png", "no grid of 16 views")
    half = ellipsoid_file(tmp_path / "half.ply", drop=900)
    expect_one_error(run("shapes", "--import", half, *size), "half.ply", "made up")
    expect_one_error(run("shapes", "--bundle", bundle, *size), "--diameter is for imported shapes")


def test_cells_too_wide_for_a_bundle_are_one_error_before_anything_is_made(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    bank = tmp_path / "wide.bank"
    start = ["shapes", "--import", ellipsoid_file(tmp_path / "cell.ply"), "--diameter", 5000, "--format", "tif"]
    assert run(*start, "--save-bank", bank, "--out", tmp_path / "s")[0] == 0
    arguments = ["generate", "--bundle", bundle, "--out", tmp_path / "out", "--count", 1, *SMALL, "--shape-bank", bank]
    expect_one_error(run(*arguments), "wide.bank", "um wide")
    assert not (tmp_path / "out").exists()


def fit(run: Run, root: Path, *arguments: object) -> tuple[int, str, str]:
    start = ["fit", "--dim", 3, "--images", root / "images", "--masks", root / "masks", "--out", root / "b"]
    return run(*start, "--steps", 1, *arguments)


def nothing_is_left(root: Path) -> bool:
    return {path.name for path in root.iterdir()} <= {"images", "masks"}


def one_slice_only(root: Path) -> None:
    write_stack(root, balls(), discs())


def one_slice_of_many(root: Path) -> None:
    mask = np.zeros_like(balls())
    mask[5] = discs()
    write_stack(root, balls(), mask)


def few_cells(root: Path) -> None:
    labels = balls()
    write_stack(root, np.where(labels < 3, labels, 0))


def swapped(root: Path) -> None:
    write_stack(root, balls(), np.moveaxis(balls(), 0, 2))


BAD_STACKS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no spacing": (lambda root: write_stack(root, balls(), spacing=None), ["voxel size", "--spacing z,y,x"]),
    "three slices": (lambda root: write_stack(root, balls()[3:6]), ["only 3 slices"]),
    "thinner than its cells": (lambda root: write_stack(root, balls()[3:8]), ["thinner than its cells"]),
    "z step too small": (lambda root: write_stack(root, balls(), spacing=(0.05, 0.5, 0.5)), ["too thin to hold them"]),
    "mask of one slice only": (one_slice_only, ["the mask is 2D", "_z012.tif", "--sparse"]),
    "one slice of many": (one_slice_of_many, ["--sparse"]),
    "few cells": (few_cells, ["at least 5"]),
    "axes swapped": (swapped, ["(X, Y, Z)"]),
    "no cells": (lambda root: write_stack(root, balls(), np.zeros_like(balls())), ["masks"]),
}


@pytest.mark.parametrize("case", BAD_STACKS)
def test_stacks_that_cannot_be_learned_from_are_one_error(run: Run, bundle: Path, tmp_path: Path, case: str) -> None:
    write, texts = BAD_STACKS[case]
    write(tmp_path)
    expect_one_error(fit(run, tmp_path, "--from", bundle), *texts)
    assert nothing_is_left(tmp_path)


def test_dark_cells_are_one_error_before_anything_is_trained(run: Run, bundle: Path, tmp_path: Path) -> None:
    write_stack(tmp_path, balls())
    image = tmp_path / "images" / "a.tif"
    write_tiff(image, 1000 - tifffile.imread(image), (1.0, 0.5, 0.5), True)
    expect_one_error(fit(run, tmp_path, "--from", bundle), "phase contrast", "without --dim 3")
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--spacing", "0.5,0.25"], "spacing"),
        (["--arrangement", "heap"], "--arrangement"),
        (["--kind", "tissue"], "--kind"),
        (["--psf", "-1"], "no spacing"),
        (["--psf", "nowhere.tif"], "nowhere.tif: there is no such file"),
        (["--from", "nucleus"], "nucleus"),
        (["--label-components", "--layout", "zip"], "zip"),
    ],
)
def test_bad_wish_of_fit_is_one_error(run: Run, bundle: Path, tmp_path: Path, arguments: list[str], text: str) -> None:
    write_stack(tmp_path, balls())
    expect_one_error(fit(run, tmp_path, "--from", bundle, *arguments), text)
    assert nothing_is_left(tmp_path)


def test_a_psf_without_voxel_size_is_one_error(run: Run, bundle: Path, tmp_path: Path) -> None:
    write_stack(tmp_path, balls())
    psf = tmp_path / "psf.tif"
    tifffile.imwrite(psf, np.ones((5, 5, 5), dtype=np.float32))
    expect_one_error(fit(run, tmp_path, "--from", bundle, "--psf", psf), "voxel size", "--psf-spacing")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cytocascade.cli", *map(str, arguments)]


@pytest.mark.slow
def test_killed_generate_is_continued_to_the_same_bytes(bundle: Path, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    def generate(out: str) -> list[str]:
        start = ["generate", "--bundle", bundle, "--out", tmp_path / out, "--count", 5, "--seed", 5, *SMALL]
        return command(*start, "--format", "folder,cellpose,ome-zarr,ctc")

    subprocess.run(generate("whole"), check=True, capture_output=True)
    manifest = tmp_path / "killed" / "manifest.jsonl"
    kill_when(generate("killed"), lambda: manifest.exists() and manifest.read_bytes().count(b"\n") >= 2)
    assert not (tmp_path / "killed" / "README.md").exists()
    subprocess.run(generate("killed"), check=True, capture_output=True)
    assert tree_bytes(tmp_path / "killed") == tree_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_killed_fit_is_continued_to_the_same_bytes(bundle: Path, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    write_stack(tmp_path, balls())

    def fit_to(out: str) -> list[str]:
        start = ["fit", "--dim", 3, "--images", tmp_path, "--name", "drawn", "--from", bundle]
        return command(*start, "--out", tmp_path / out, "--steps", 2)

    subprocess.run(fit_to("whole"), check=True, capture_output=True)
    work = tmp_path / "killed.fit"
    kill_when(fit_to("killed"), lambda: (work / "masks.safetensors").exists())
    assert not (tmp_path / "killed").exists()
    subprocess.run(fit_to("killed"), check=True, capture_output=True)
    assert tree_bytes(tmp_path / "killed") == tree_bytes(tmp_path / "whole")
    subprocess.run(
        command("generate", "--bundle", tmp_path / "killed", "--out", tmp_path / "o", "--count", 1, *SMALL),
        check=True,
        capture_output=True,
    )
