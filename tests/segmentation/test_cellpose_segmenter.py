from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from cytocascade.errors import CytoCascadeError
from cytocascade.segmentation.base import SegmenterOptions, TrainingSource
from cytocascade.segmentation.cellpose import Cellpose, CellposeSegmenter
from cytocascade.segmentation.cellpose_network import cellpose_network
from cytocascade.segmentation.registry import load_segmenter

from .conftest import TINY, balls, discs

models = pytest.importorskip("cellpose.models")


@pytest.fixture(scope="module")
def trained() -> CellposeSegmenter:
    """A network that finds the discs more or less."""
    options = TINY.model_copy(update={"steps": 48, "batch": 2, "learning_rate": 3e-3})
    return Cellpose().train([TrainingSource([discs(0), discs(1)], 1.0)], options, seed=0)


@pytest.fixture(scope="module")
def kept(trained: CellposeSegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segmenters") / "kept"
    trained.save(folder)
    return folder


@pytest.fixture
def copied(kept: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copied"
    folder.mkdir()
    for file in kept.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def untrained(**given: Any) -> CellposeSegmenter:
    options = TINY.model_copy(update=given)
    return CellposeSegmenter(cellpose_network(options, 12.0, 0), options, 12.0)


def test_cells_are_found_after_a_short_training(trained: CellposeSegmenter) -> None:
    unseen = discs(5)
    labels = trained.segment(unseen.image)
    assert (labels.shape, labels.dtype) == ((64, 64), np.uint16)
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert 6 <= labels.max() <= 14
    cells, found = unseen.labels > 0, labels > 0
    assert (cells & found).sum() / (cells | found).sum() > 0.6


def test_labels_do_not_depend_on_how_grey_levels_are_stored(trained: CellposeSegmenter) -> None:
    image = discs(5).image // 4 * 4
    expected = trained.segment(image)
    assert expected.any()
    for other in ((image // 4).astype(np.uint8), image.astype(np.float32) / 2**40, image.astype(np.int64) - 1000):
        assert np.array_equal(trained.segment(other), expected)


@pytest.mark.parametrize("shape", [(5, 9), (1, 1), (1, 200), (40, 3), (1, 20, 24), (2, 17, 18), (3, 4, 5)])
def test_images_of_every_size_are_segmented(trained: CellposeSegmenter, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 99, shape).astype(np.uint8)
    labels = trained.segment(image, (5.0, 1.0, 1.0)[-len(shape) :])
    assert labels.shape == shape
    assert labels.dtype == np.uint16
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, labels.max() + 1))


def test_a_small_cut_of_a_cell_is_still_a_cell(trained: CellposeSegmenter) -> None:
    image, labels = discs(5).image, discs(5).labels
    rows, columns = (slice(at.min() - 1, at.max() + 2) for at in np.nonzero(labels == 5))
    found = trained.segment(image[rows, columns])
    assert found.shape[0] < 16
    assert found[labels[rows, columns] == 5].astype(bool).mean() > 0.6


def test_a_slice_is_segmented_like_an_image(trained: CellposeSegmenter) -> None:
    image = discs(5).image
    assert np.array_equal(trained.segment(image[None], (2.0, 1.0, 1.0)), trained.segment(image)[None])


@pytest.mark.parametrize("shape", [(40, 40), (8, 30, 30)])
def test_a_constant_image_holds_no_cells(trained: CellposeSegmenter, shape: tuple[int, ...]) -> None:
    labels = trained.segment(np.full(shape, 700, dtype=np.uint16))
    assert (labels.shape, labels.dtype, labels.max()) == (shape, np.uint16, 0)


@pytest.mark.parametrize("image", [np.zeros(5), np.zeros((2, 3, 4, 5)), np.zeros((0, 4)), np.array([[1.0, np.nan]])])
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(CytoCascadeError):
        CellposeSegmenter(None, TINY, 12.0).segment(image)


def test_a_kept_segmenter_gives_the_same_labels(trained: CellposeSegmenter, kept: Path) -> None:
    assert {file.name for file in kept.iterdir()} == {"segmenter.json", "weights.safetensors", "cellpose_model"}
    loaded = load_segmenter(kept)
    assert isinstance(loaded, CellposeSegmenter)
    assert (loaded.options, loaded.cell_diameter) == (trained.options, trained.cell_diameter)
    assert np.array_equal(loaded.segment(discs(6).image), trained.segment(discs(6).image))


def test_the_device_is_not_kept(tmp_path: Path, kept: Path) -> None:
    assert "device" not in json.loads((kept / "segmenter.json").read_text())["options"]


def test_cellpose_itself_opens_the_kept_model_and_gives_the_same_labels(trained: CellposeSegmenter, kept: Path) -> None:
    model = models.CellposeModel(pretrained_model=str(kept / "cellpose_model"), gpu=False)
    assert float(model.diam_mean) == trained.options.diameter
    assert float(model.diam_labels) == pytest.approx(trained.cell_diameter)
    image = discs(5).image
    labels = model.eval(image, channels=[0, 0])[0]
    assert labels.max() > 5
    assert np.mean(labels != trained.segment(image)) < 0.002


def test_a_flow_threshold_drops_doubtful_cells(trained: CellposeSegmenter) -> None:
    def found(threshold: float) -> int:
        options = trained.options.model_copy(update={"flow_threshold": threshold})
        return int(CellposeSegmenter(trained.net, options, trained.cell_diameter).segment(discs(5).image).max())

    assert found(1e-4) == 0
    assert found(1e-4) < trained.segment(discs(5).image).max() <= found(0.0)


def test_the_usual_flow_threshold_leaves_no_trace_in_what_is_hashed() -> None:
    assert "flow_threshold" not in SegmenterOptions().model_dump(mode="json")
    assert SegmenterOptions(flow_threshold=0.6).model_dump(mode="json")["flow_threshold"] == 0.6


def test_defaults_of_cellpose_stay_as_they_are(trained: CellposeSegmenter) -> None:
    before = dict(models.normalize_default)
    trained.segment(discs().image)
    assert models.normalize_default == before


class Recorder:
    """Stands in for Cellpose's model, and remembers how it was called."""

    def eval(self, grey: np.ndarray, **given: Any) -> list[np.ndarray]:
        self.given = given
        return [np.zeros(grey.shape, dtype=np.uint16)]


@pytest.mark.parametrize(
    ("diameter", "side", "smallest", "largest"),
    [(30.0, 300, 15, 0.4), (5.0, 100, 4, 0.4), (60.0, 150, 15, 0.5), (60.0, 60, 15, 1.0)],
)
def test_limits_of_size_leave_room_for_usual_cells(
    monkeypatch: pytest.MonkeyPatch, diameter: float, side: int, smallest: int, largest: float
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(CellposeSegmenter, "_model", lambda self: recorder)
    image = np.random.default_rng(0).integers(0, 99, (side, side)).astype(np.uint8)
    CellposeSegmenter(None, SegmenterOptions(), diameter).segment(image)
    assert recorder.given["min_size"] == smallest
    assert recorder.given["max_size_fraction"] == pytest.approx(largest, abs=0.01)
    assert recorder.given["diameter"] == diameter


def test_settings_that_are_damaged_are_refused(copied: Path) -> None:
    settings = json.loads((copied / "segmenter.json").read_text())
    for change in (
        {"cell_diameter": -3},
        {"cell_diameter": "wide"},
        {"options": {**settings["options"], "batch": 0}},
        {"options": None},
        {"surplus": 1},
    ):
        (copied / "segmenter.json").write_text(json.dumps({**settings, **change}))
        with pytest.raises(CytoCascadeError, match="settings of the segmenter cannot be read") as caught:
            load_segmenter(copied)
        assert caught.value.path == copied / "segmenter.json"
        assert len(str(caught.value).splitlines()) == 2


def test_a_segmenter_of_another_method_is_refused(copied: Path) -> None:
    settings = json.loads((copied / "segmenter.json").read_text())
    (copied / "segmenter.json").write_text(json.dumps({**settings, "method": "stardist"}))
    with pytest.raises(CytoCascadeError, match="settings of the segmenter cannot be read"):
        Cellpose().load(copied)


@pytest.mark.parametrize("damage", ["missing", "cut", "of another network"])
def test_weights_that_are_damaged_are_refused(copied: Path, damage: str) -> None:
    file = copied / "weights.safetensors"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    else:
        tensors = load_file(file)
        save_file({name: tensors[name] for name in sorted(tensors)[1:]}, file)
    with pytest.raises(CytoCascadeError, match="weights cannot be read") as caught:
        load_segmenter(copied)
    assert caught.value.path == file


def test_a_volume_is_seen_with_its_anisotropy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def record(net: Any, grey: np.ndarray, **given: Any) -> np.ndarray:
        seen.append({"shape": grey.shape, **given})
        return np.zeros(grey.shape, dtype=np.uint16)

    monkeypatch.setattr("cytocascade.segmentation.cellpose_segmenter.label_volume", record)
    segmenter = untrained()
    volume = balls().image
    for spacing in ((2.0, 0.5, 0.5), (3.0, 0.5, 2.0), None):
        assert segmenter.segment(volume, spacing).shape == volume.shape
    assert [one["anisotropy"] for one in seen] == pytest.approx([4, 3, 1])
    assert [one["rescale"] for one in seen] == [1, 1, 1]
    assert [one["shape"] for one in seen] == [(14, 48, 48), (14, 48, 48), (16, 48, 48)]
    assert all(one["min_size"] == 15 and one["max_size_fraction"] == 0.4 for one in seen)
