"""The experiment from images to verdict."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.measure import label

from cytocascade.benefit import experiment as module
from cytocascade.benefit.experiment import run_benefit
from cytocascade.benefit.options import BenefitOptions
from cytocascade.benefit.results import read_benefit
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting import kept_fit
from cytocascade.segmentation import registry
from cytocascade.segmentation.base import SegmenterOptions
from cytocascade.types import AnnotatedImage


class Threshold:
    """A segmenter whose threshold is learned: halfway between cells and background of what it was trained on."""

    def __init__(self, level: float) -> None:
        self.level = level

    def segment(self, image, spacing=None):
        return label(image > self.level).astype(np.uint16)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "segmenter.json").write_text(json.dumps({"method": "threshold", "level": self.level}))


class ThresholdMethod:
    name = "threshold"
    trainings = 0

    computes_in = "bf16"

    def version(self) -> str:
        return "1.0"

    def precision(self, options) -> str:
        return self.computes_in

    def train(
        self, sources, options, *, seed, cache=None, checkpoint=None, progress=None, monitor=None, monitor_every=1
    ):
        type(self).trainings += 1
        bright = [image.image[image.labels > 0].mean() for source in sources for image in source.images]
        dark = [image.image[image.labels == 0].mean() for source in sources for image in source.images]
        trained = Threshold(float((np.mean(bright) + np.mean(dark)) / 2) + seed % 2)
        for step in range(1, options.steps + 1):
            if progress is not None:
                progress(step, options.steps, 1 / step)
        if monitor is not None:
            monitor(options.steps, trained)
        return trained

    def load(self, folder, *, device="cpu"):
        return Threshold(json.loads((folder / "segmenter.json").read_text())["level"])


@pytest.fixture
def method(monkeypatch):
    monkeypatch.setattr(ThresholdMethod, "trainings", 0)
    monkeypatch.setitem(registry.METHODS, "threshold", ThresholdMethod())
    return ThresholdMethod


def options(**given) -> BenefitOptions:
    usual = {
        "budget": "2",
        "arms": ("real", "real+copypaste", "all-real"),
        "seeds": 2,
        "amount": 1.0,
        "segmenter": "threshold",
        "training": SegmenterOptions(steps=2),
        "base": "scratch",
    }
    return BenefitOptions(**(usual | given))


@pytest.fixture(scope="module")
def images(draw_image) -> list[AnnotatedImage]:
    return [draw_image(number) for number in range(10)]


def test_every_arm_and_seed_is_run_and_all_is_written(images, tmp_path, method):
    found = run_benefit(images, tmp_path / "out", options())
    assert not found.missing
    assert [(run.arm, run.seed) for run in found.runs] == [
        (arm, seed) for arm in ("real", "real+copypaste", "all-real") for seed in (0, 1)
    ]
    assert method.trainings == 6
    kept = json.loads((tmp_path / "out" / "benefit.json").read_bytes())
    assert set(kept["arms"]["real"]["SEG"]) == {"mean", "low", "high"}
    assert 0 < kept["arms"]["real"]["SEG"]["mean"] <= 1
    assert read_benefit(tmp_path / "out" / "benefit.json") == found
    assert "Does it help" in (tmp_path / "out" / "index.html").read_text()


def test_a_repeated_call_trains_nothing_again(images, tmp_path, method):
    first = run_benefit(images, tmp_path / "out", options())
    again = run_benefit(images, tmp_path / "out", options())
    assert method.trainings == 6
    assert again == first


def test_seeds_and_arms_can_be_added_later(images, tmp_path, method):
    run_benefit(images, tmp_path / "out", options(arms=("real",), seeds=1))
    found = run_benefit(images, tmp_path / "out", options(arms=("real", "copypaste"), seeds=2))
    assert method.trainings == 4
    assert not found.missing


def test_an_interrupted_experiment_goes_on(images, tmp_path, method, monkeypatch):
    undisturbed = run_benefit(images, tmp_path / "whole", options())
    plain, calls = ThresholdMethod.train, []

    def interrupted(self, *args, **given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, *args, **given)

    monkeypatch.setattr(ThresholdMethod, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_benefit(images, tmp_path / "out", options())
    partial = read_benefit(tmp_path / "out" / "benefit.json")
    assert len(partial.runs) == 2
    assert len(partial.missing) == 4
    found = run_benefit(images, tmp_path / "out", options())
    assert [run.images for run in found.runs] == [run.images for run in undisturbed.runs]


class Resumable(ThresholdMethod):
    """Goes on from its checkpoint; is interrupted once, before the step `stop`."""

    stop = 3

    def train(self, sources, options, *, seed, checkpoint, progress, monitor, monitor_every, **given):
        trained = super().train(sources, options, seed=seed)
        start = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for step in range(start + 1, options.steps + 1):
            if step == self.stop:
                type(self).stop = 0
                raise KeyboardInterrupt
            progress(step, options.steps, 1 / step)
            if step % monitor_every == 0:
                monitor(step, trained)
            checkpoint.write_text(str(step))
        return trained


def test_the_curve_of_an_interrupted_training_is_whole(images, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.METHODS, "threshold", Resumable())
    given = options(arms=("real",), seeds=1, training=SegmenterOptions(steps=5))
    monkeypatch.setattr(Resumable, "stop", 0)
    whole = run_benefit(images, tmp_path / "whole", given)
    monkeypatch.setattr(Resumable, "stop", 3)
    with pytest.raises(KeyboardInterrupt):
        run_benefit(images, tmp_path / "out", given)
    found = run_benefit(images, tmp_path / "out", given)
    assert [point.step for point in found.runs[0].curve] == [1, 2, 3, 4, 5]
    assert found.runs[0].curve == whole.runs[0].curve
    assert [file.suffix for file in (tmp_path / "out" / "runs").iterdir()] == [".json"]


def test_the_curve_of_another_training_is_left_behind(images, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.METHODS, "threshold", Resumable())
    monkeypatch.setattr(Resumable, "stop", 3)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_benefit(images, out, options(arms=("real",), seeds=1, training=SegmenterOptions(steps=5)))
    (out / "runs" / "real-0.checkpoint").unlink()
    other = options(arms=("real",), seeds=1, training=SegmenterOptions(steps=10))
    found = run_benefit(images, out, other, overwrite=True)
    assert [point.step for point in found.runs[0].curve] == [2, 4, 6, 8, 10]


def test_the_time_that_was_given_is_kept(images, tmp_path, method, monkeypatch):
    seconds = iter(range(0, 1000, 10))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(seconds))
    found = run_benefit(images, tmp_path / "out", options(), time_limit=35)
    assert 0 < len(found.runs) < 6
    assert "Preliminary" in found.verdict or found.missing


def test_the_folder_of_another_experiment_is_refused_and_replaced_on_demand(images, tmp_path, method):
    out = tmp_path / "out"
    run_benefit(images, out, options(arms=("real",)))
    with pytest.raises(CytoCascadeError, match="another experiment is here"):
        run_benefit(images[::-1], out, options(arms=("real",)))
    assert run_benefit(images[::-1], out, options(arms=("real",)), overwrite=True).runs


def test_images_with_cells_that_are_not_annotated_are_refused(images, tmp_path, method):
    sparse = [replace(images[0], sparse=True), *images[1:]]
    with pytest.raises(CytoCascadeError, match="not annotated completely"):
        run_benefit(sparse, tmp_path / "out", options(arms=("real",)))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_never_removed(images, tmp_path, method):
    (tmp_path / "precious.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(CytoCascadeError, match=r"something else|other files"):
            run_benefit(images, tmp_path, options(arms=("real",)), overwrite=overwrite)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_runs_with_other_steps_are_not_mixed(images, tmp_path, method):
    run_benefit(images, tmp_path / "out", options(arms=("real",)))
    other = options(arms=("real",), training=SegmenterOptions(steps=3))
    with pytest.raises(CytoCascadeError, match="made with other images, options or precision"):
        run_benefit(images, tmp_path / "out", other)
    replaced = run_benefit(images, tmp_path / "out", other, overwrite=True)
    assert [run.steps for run in replaced.runs] == [3, 3]


def test_runs_of_machines_that_compute_otherwise_are_not_mixed(images, tmp_path, method, monkeypatch):
    begun = run_benefit(images, tmp_path / "out", options(arms=("real",)))
    assert begun.experiment.segmenter.options["precision"] == "bf16"
    monkeypatch.setattr(method, "computes_in", "fp32")
    more = options(arms=("real", "all-real"))
    with pytest.raises(CytoCascadeError, match="other images, options or precision") as caught:
        run_benefit(images, tmp_path / "out", more)
    assert "computed in fp32; --precision" in str(caught.value.hint)
    method.trainings = 0
    replaced = run_benefit(images, tmp_path / "out", more, overwrite=True)
    assert method.trainings == 4
    assert replaced.experiment.segmenter.options["precision"] == "fp32"


def test_bf16_by_wish_and_by_machine_are_the_same(images, tmp_path, method):
    run_benefit(images, tmp_path / "out", options(arms=("real",)))
    method.trainings = 0
    wished = SegmenterOptions(steps=2, precision="bf16")
    run_benefit(images, tmp_path / "out", options(arms=("real",), training=wished))
    assert method.trainings == 0


def test_tuning_scores_validation_images_only(images, tmp_path, method):
    found = run_benefit(images, tmp_path / "out", options(score_on="validation", arms=("real", "all-real"), budget="1"))
    scored = [one.name for one in found.runs[0].images]
    assert scored == found.experiment.validation_images
    assert not set(scored) & set(found.experiment.all_training_images)
    assert not set(scored) & set(found.experiment.test_images)


def test_the_best_segmenter_is_kept(images, tmp_path, method):
    out = tmp_path / "out"
    run_benefit(images, out, options(), keep=True)
    kept = registry.load_segmenter(out / "segmenter").level
    assert kept > 0
    assert not (out / "segmenters").exists()
    trainings = method.trainings
    run_benefit(images, out, options(), keep=True)
    assert method.trainings == trainings


def test_a_segmenter_that_was_not_kept_is_trained_again(images, tmp_path, method):
    first = run_benefit(images, tmp_path / "out", options())
    again = run_benefit(images, tmp_path / "out", options(), keep=True)
    assert method.trainings == 7
    assert registry.load_segmenter(tmp_path / "out" / "segmenter").level > 0
    assert [run.images for run in again.runs] == [run.images for run in first.runs]


def test_a_cascade_is_fitted_on_the_budget_alone(images, tmp_path, method, monkeypatch):
    seen = []

    def fit(taken, out, fitting, **_):
        seen.extend(image.name for image in taken)
        raise CytoCascadeError("enough seen", hint="")

    monkeypatch.setattr(module, "fit", fit)
    with pytest.raises(CytoCascadeError, match="enough seen"):
        run_benefit(images, tmp_path / "out", options(arms=("real", "real+synthetic")))
    tested = run_benefit(images, tmp_path / "real", options(arms=("real",))).experiment
    assert seen == tested.training_images
    assert not set(seen) & set(tested.test_images)


def test_an_interrupted_fit_of_other_options_is_replaced_on_demand(images, tmp_path, method, monkeypatch):
    out, fitted = tmp_path / "out", []

    def fit(taken, folder, fitting, *, base, progress, **given):
        def make(state):
            fitted.append(fitting.steps)
            state.settings["steps"]["masks"] = fitting.steps
            raise KeyboardInterrupt if fitting.steps == 1 else CytoCascadeError("begun anew")

        given = {"resume": True, "overwrite": False} | given
        kept_fit(folder, f"{fitting.steps}", make, **given)

    monkeypatch.setattr(module, "fit", fit)
    old, new = (options(arms=("real+synthetic",), fit_seconds=None, fit_steps=steps) for steps in (1, 2))
    with pytest.raises(KeyboardInterrupt):
        run_benefit(images, out, old)
    with pytest.raises(CytoCascadeError, match=r"interrupted fit.*\n.*--overwrite"):
        run_benefit(images, out, new)
    with pytest.raises(CytoCascadeError, match="begun anew"):
        run_benefit(images, out, new, overwrite=True)
    assert fitted == [1, 2]


def test_a_cascade_of_other_options_is_replaced_on_demand_with_what_it_made(images, tmp_path, method, monkeypatch):
    out, made = tmp_path / "out", []

    def fit(taken, folder, fitting, *, overwrite=False, **_):
        known = folder / "steps"
        if known.exists() and known.read_text() != str(fitting.steps) and not overwrite:
            raise CytoCascadeError("exists already", path=folder)
        folder.mkdir(exist_ok=True)
        known.write_text(str(fitting.steps))

    def make_and_keep(maker, source, index, folder):
        made.append(index)
        for file in module.image_files(folder, index):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"image")
        raise CytoCascadeError("made one")

    monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(module, "make_and_keep", make_and_keep)
    old, new = (options(arms=("real+synthetic",), fit_seconds=None, fit_steps=steps) for steps in (1, 2))
    with pytest.raises(CytoCascadeError, match="made one"):
        run_benefit(images, out, old)
    with pytest.raises(CytoCascadeError, match="exists already"):
        run_benefit(images, out, new)
    with pytest.raises(CytoCascadeError, match="made one"):
        run_benefit(images, out, new, overwrite=True)
    assert made == [0, 0]
    assert (out / "cascade" / "steps").read_text() == "2"
