"""``cytocascade benefit`` on the command line."""

import json
from pathlib import Path

import pytest
import tifffile

pytest.importorskip("cellpose", reason="needs the extra [segment]")


@pytest.fixture(scope="module")
def folder(draw_image, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("annotated")
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for number in range(4):
        drawn = draw_image(number)
        tifffile.imwrite(root / "images" / f"{number}.tif", drawn.image)
        tifffile.imwrite(root / "masks" / f"{number}.tif", drawn.labels)
    return root


def asked(folder: Path, out: Path, *more: object) -> list[str]:
    given = ["benefit", "--images", folder / "images", "--masks", folder / "masks", "--out", out, *more]
    return [str(value) for value in given]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (("--arms", "real,unreal"), "no arm 'unreal'"),
        (("--budget", "lots"), "no budget"),
        (("--budget", "3"), "only 2 can be learned from"),
        (("--segmenter", "magic"), "no segmenter 'magic'"),
        (("--steps", "5", "--crop", "40", "--diameter", "2"), "diameter"),
        (("--time", "soon"), "soon"),
        (("--precision", "fp8"), "precision"),
        (("--variety", "0.5", "--from", "nowhere"), "nowhere"),
    ],
)
def test_bad_wishes_end_with_one_error_and_leave_nothing(folder, tmp_path, run, more, problem):
    code, _, error = run(*asked(folder, tmp_path / "out", *more))
    assert code == 2
    assert problem in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_real_images_alone_need_no_cascade_and_give_a_report(folder, tmp_path, run):
    out = tmp_path / "out"
    code, printed, error = run(
        *asked(folder, out, "--arms", "real,real+copypaste", "--budget", "1", "--seeds", "1", "--steps", "2"),
        "--batch", "2", "--crop", "64", "--workers", "1", "--amount", "1", "--precision", "bf16",
    )  # fmt: skip
    assert code == 0, error
    assert printed.strip() == str(out / "index.html")
    found = json.loads((out / "benefit.json").read_bytes())
    assert set(found["arms"]) == {"real", "real+copypaste"}
    assert found["experiment"]["segmenter"]["name"] == "cellpose"
    assert found["experiment"]["segmenter"]["options"]["precision"] == "bf16"
    assert not (out / "cascade").exists()


@pytest.mark.slow
def test_the_whole_experiment_gives_the_same_with_one_and_two_processes(folder, tmp_path, run, nuclei):
    results = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        code, _, error = run(
            *asked(folder, out, "--budget", "1", "--seeds", "1", "--steps", "20", "--fit-steps", "2", "--amount", "2"),
            "--batch", "2", "--crop", "64", "--workers", str(workers), "--keep",
            "--arms", "real,real+copypaste,real+simulator,real+synthetic,synthetic,all-real",
        )  # fmt: skip
        assert code == 0, error
        results.append(json.loads((out / "benefit.json").read_bytes()))
    assert results[0]["arms"] == results[1]["arms"]
    labels = tmp_path / "labels"
    code, _, error = run("segment", str(folder / "images"), "--segmenter", str(out / "segmenter"), "--out", str(labels))
    assert code == 0, error
    assert len(list(labels.glob("*_masks.tif"))) == 4
