from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation import Evaluation, VolumeEvaluation, evaluate_folders, folders
from cytocascade.types import AnnotatedImage

from .scenes import scenes
from .volumes.scenes import SPACING, volumes


def write(folder: Path, images: Sequence[AnnotatedImage], *, spacing: tuple[float, ...] | None = None) -> Path:
    """Write the folder layout, as OME-TIFF if a spacing is to be stated."""
    for one in images:
        for kind, pixels in (("images", one.image), ("masks", one.labels)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            if spacing is None:
                tifffile.imwrite(folder / kind / f"{one.name}.tif", pixels)
                continue
            metadata: dict[str, object] = {"axes": "ZYX"}
            for axis, size in zip("ZYX", spacing):
                metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
            tifffile.imwrite(folder / kind / f"{one.name}.ome.tif", pixels, metadata=metadata)
    return folder


def test_volumes_are_recognised_compared_and_reported(tmp_path: Path) -> None:
    real, synthetic = (write(tmp_path / name, volumes(start, 2)) for name, start in (("real", 0), ("synthetic", 50)))
    found = evaluate_folders(real, synthetic, tmp_path / "out", spacing=SPACING, features="none")
    assert isinstance(found, VolumeEvaluation)
    assert found.real.spacing == SPACING
    written = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert VolumeEvaluation.model_validate(written) == found


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take seconds."""
    monkeypatch.setattr(folders, "write_report", lambda evaluation, pictures, out: None)


@pytest.mark.usefixtures("no_report")
def test_images_are_recognised_as_images(tmp_path: Path) -> None:
    real, synthetic = (write(tmp_path / name, scenes(start, 2)) for name, start in (("real", 0), ("synthetic", 60)))
    assert isinstance(evaluate_folders(real, synthetic, tmp_path / "out", features="none"), Evaluation)


@pytest.mark.usefixtures("no_report")
def test_synthetic_volumes_keep_the_voxel_size_they_state(tmp_path: Path) -> None:
    real = write(tmp_path / "real", volumes(0, 2))
    synthetic = write(tmp_path / "synthetic", volumes(50, 2), spacing=(1.0, 0.4, 0.4))
    found = evaluate_folders(real, synthetic, tmp_path / "out", spacing=SPACING, features="none")
    assert isinstance(found, VolumeEvaluation)
    assert found.real.spacing == SPACING
    assert found.synthetic.spacing == (1.0, 0.4, 0.4)


def test_images_against_volumes_are_refused_with_the_file(tmp_path: Path) -> None:
    real, synthetic = write(tmp_path / "real", volumes(0, 2)), write(tmp_path / "synthetic", scenes(0, 2))
    with pytest.raises(CytoCascadeError, match="synthetic set holds a 2D image, but the real set holds a volume") as no:
        evaluate_folders(real, synthetic, tmp_path / "out", features="none")
    assert no.value.path == synthetic / "images" / "000.tif"
    assert not (tmp_path / "out").exists()


def test_volumes_of_unknown_voxel_size_are_refused(tmp_path: Path) -> None:
    real, synthetic = (write(tmp_path / name, volumes(start, 2)) for name, start in (("real", 0), ("synthetic", 50)))
    with pytest.raises(CytoCascadeError, match="voxel size of the real volume '000' is unknown"):
        evaluate_folders(real, synthetic, tmp_path / "out", features="none")
    with pytest.raises(CytoCascadeError, match="the spacing has 2 values"):
        evaluate_folders(real, synthetic, tmp_path / "out", spacing=(0.4, 0.4), features="none")


def test_asking_for_images_where_volumes_lie_is_refused(tmp_path: Path) -> None:
    real = write(tmp_path / "real", volumes(0, 2))
    with pytest.raises(CytoCascadeError, match="3D stack"):
        evaluate_folders(real, real, tmp_path / "out", dim=2, features="none")
