from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from _pipelines import save_mask_pipeline
from diffusers import DDPMPipeline
from pydantic import ValidationError

from cytocascade import mask_fitting
from cytocascade.bundle import load_bundle, save_bundle
from cytocascade.cascade import Cascade
from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting import FitOptions, FitState, StageProgress, fingerprint_of, fit
from cytocascade.generation import draw_sample
from cytocascade.generation_options import GenerationOptions
from cytocascade.images.cells import SingleCells, extract_cells
from cytocascade.images.descriptors import describe_cells
from cytocascade.masks.pipeline_files import PIPELINE_FILES, pipeline_hash
from cytocascade.masks.pipeline_training import MaskUNetConfig
from cytocascade.masks.pipelines import MaskSource, PipelineMasks
from cytocascade.types import AnnotatedImage

TreeBytes = Callable[[Path], dict[str, bytes]]
InterruptAt = Callable[[str, int], StageProgress]

pytestmark = pytest.mark.usefixtures("small_calibration")

STEPS = FitOptions(steps=2, batch=4, budget=None, seed=1)
MASKS = {f"masks/{name}" for name in PIPELINE_FILES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_mask_pipeline(tmp_path_factory.mktemp("pipeline") / "ddpm-masks", channels=3)


@pytest.fixture(scope="module")
def given(folder: Path) -> FitOptions:
    """Options that take a finished pipeline."""
    return FitOptions(**{**STEPS.model_dump(), "masks_from": folder, "mask_candidates": 1})


@pytest.fixture(scope="module")
def fitted(
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    given: FitOptions,
    tmp_path_factory: pytest.TempPathFactory,
    small_calibration: None,
) -> Path:
    """A bundle that was fitted with it."""
    out = tmp_path_factory.mktemp("fit") / "drawn"
    fit(drawn_images, out, given, base=nuclei.bundle)
    return out


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fits train a network of few weights."""
    monkeypatch.setattr(mask_fitting, "MASK_UNET", MaskUNetConfig(size=16, widths=(8, 16), groups=4))


def masks_of(cascade: Cascade) -> PipelineMasks:
    assert isinstance(cascade.bundle.masks, PipelineMasks)
    return cascade.bundle.masks


def test_given_pipeline_is_kept_in_the_bundle(fitted: Path, folder: Path, tree_bytes: TreeBytes) -> None:
    files = set(tree_bytes(fitted))
    assert files >= MASKS
    assert "masks.safetensors" not in files
    assert not {file for file in files if file.endswith((".bin", ".ckpt", ".pt"))}
    bundle = load_bundle(fitted)
    source = bundle.config.mask_source
    assert source == MaskSource(origin="ddpm-masks", sha256=pipeline_hash(folder), candidates=1)
    assert (source.sampler, source.eta, source.scale) == ("ddim", 1.0, None)
    assert masks_of(Cascade(bundle)).pipeline.shape == (3, 32, 32)
    assert bundle.config.training["steps"] == {"textures": 2}
    assert str(folder.parent) not in (fitted / "bundle.json").read_text()
    for text in ("ddpm-masks", pipeline_hash(folder)[:12], "DDIM (eta 1), best of 1", "textures 2, batch 4"):
        assert text in bundle.card


def test_bundle_generates_whole_cells_of_the_fitted_size(fitted: Path, drawn_images: list[AnnotatedImage]) -> None:
    cascade = Cascade.from_pretrained(fitted)
    sample, again = (next(cascade.generate(1, seed=3, cells=6, mask_steps=3, workers=w)) for w in (1, 2))
    assert sample.image.shape == drawn_images[0].image.shape
    assert np.array_equal(sample.image, again.image)
    assert np.array_equal(sample.labels, again.labels)
    areas = [cell["features"]["area"] for cell in sample.cells if not cell["cut"]]
    assert np.median(areas) == pytest.approx((drawn_images[0].labels > 0).sum() / 9 * 0.25, rel=0.35)
    larger = next(cascade.generate(1, seed=3, cells=6, mask_steps=3, area_scale=2.0))
    assert np.median([cell["features"]["area"] for cell in larger.cells]) > 1.5 * np.median(areas)


def test_steps_that_will_be_taken_are_recorded(fitted: Path, nuclei: Cascade) -> None:
    for bundle, steps in ((load_bundle(fitted), 50), (nuclei.bundle, 16)):
        assert draw_sample(bundle, GenerationOptions(), 1, 0)["options"]["mask_steps"] == steps
        assert draw_sample(bundle, GenerationOptions(mask_steps=3), 1, 0)["options"]["mask_steps"] == 3


def test_hash_covers_the_pipeline(fitted: Path, tmp_path: Path, tree_bytes: TreeBytes) -> None:
    bundle = load_bundle(fitted)
    save_bundle(bundle, tmp_path / "copy")
    assert tree_bytes(tmp_path / "copy") == tree_bytes(fitted)
    file = tmp_path / "copy" / "masks" / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace("0.02", "0.03"))
    assert load_bundle(tmp_path / "copy").hash != bundle.hash


@pytest.mark.parametrize("name", PIPELINE_FILES)
def test_missing_file_of_the_pipeline_is_named(fitted: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(fitted, tmp_path / "copy")
    (tmp_path / "copy" / "masks" / name).unlink()
    with pytest.raises(CytoCascadeError, match=f"masks/{name} is missing"):
        load_bundle(tmp_path / "copy")


def test_exported_masks_are_loaded_and_run_by_diffusers(fitted: Path, tmp_path: Path, nuclei: Cascade) -> None:
    folder = Cascade.from_pretrained(fitted).export_masks(tmp_path / "out")
    pipeline = DDPMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(num_inference_steps=3, generator=torch.Generator().manual_seed(0), output_type="np").images
    assert picture.shape == (1, 32, 32, 3)
    assert 0.05 < (picture > 0.5).mean() < 0.5
    with pytest.raises(CytoCascadeError, match="come from our own network") as caught:
        nuclei.export_masks(tmp_path / "none")
    assert "--mask-backend diffusers" in str(caught.value.hint)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_interrupted_fit_is_continued_to_the_same_bytes(
    fitted: Path,
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    given: FitOptions,
    tmp_path: Path,
    tree_bytes: TreeBytes,
    interrupt_at: InterruptAt,
) -> None:
    out = tmp_path / "drawn"
    with pytest.raises(KeyboardInterrupt):
        fit(drawn_images, out, given, base=nuclei.bundle, progress=interrupt_at("textures", 2))
    fit(drawn_images, out, given, base=nuclei.bundle)
    assert tree_bytes(out) == tree_bytes(fitted)


def test_fingerprint_depends_on_the_pipeline_not_on_its_place(
    folder: Path, given: FitOptions, drawn_images: list[AnnotatedImage], tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "moved")
    moved = given.model_copy(update={"masks_from": tmp_path / "moved"})
    known = fingerprint_of(drawn_images, given, None)
    assert fingerprint_of(drawn_images, moved, None) == known
    assert fingerprint_of(drawn_images, given.model_copy(update={"mask_eta": 0.5}), None) != known
    assert fingerprint_of(drawn_images, given.model_copy(update={"masks_from": None}), None) != known
    (tmp_path / "moved" / "model_index.json").write_text((folder / "model_index.json").read_text().replace("0.", "1."))
    assert fingerprint_of(drawn_images, moved, None) != known


def test_wrong_pipeline_is_refused_before_anything_is_done(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], given: FitOptions, tmp_path: Path
) -> None:
    wrong = given.model_copy(update={"masks_from": tmp_path / "nowhere"})
    with pytest.raises(CytoCascadeError, match="no such folder"):
        fit(drawn_images, tmp_path / "out", wrong, base=nuclei.bundle)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def cells(drawn_images: list[AnnotatedImage]) -> SingleCells:
    return extract_cells(drawn_images)


def masks_after(
    folder: Path, cells: SingleCells, options: FitOptions, progress: StageProgress | None = None
) -> PipelineMasks:
    """Return the masks of a fit whose state is in `folder`."""
    state = FitState.open(folder, "x", True)
    report = progress or (lambda stage, done, total, remark: None)
    found = mask_fitting.fit_masks(cells, describe_cells(cells), None, options, state, report)
    assert isinstance(found, PipelineMasks)
    return found


def test_scale_of_the_pictures_and_sampler_are_kept(given: FitOptions, cells: SingleCells, tmp_path: Path) -> None:
    options = given.model_copy(update={"mask_spacing": 0.8, "mask_sampler": "dpm", "mask_eta": 0.5})
    source = masks_after(tmp_path / "fit", cells, options).source
    assert source.scale == pytest.approx(0.8 / cells.crop_spacing)
    assert (source.sampler, source.eta) == ("dpm", 0.5)


def test_ddim_pipelines_add_no_noise_unless_told(cells: SingleCells, tmp_path: Path) -> None:
    folder = save_mask_pipeline(tmp_path / "ddim", "DDIMPipeline")
    options = STEPS.model_copy(update={"masks_from": folder})
    source = masks_after(tmp_path / "fit", cells, options).source
    assert (source.sampler, source.eta, source.origin) == ("ddim", 0.0, "ddim")


@pytest.mark.usefixtures("saved_every_step", "tiny_network")
def test_trained_pipeline_is_resumed_to_the_same_bytes(
    cells: SingleCells, tmp_path: Path, tree_bytes: TreeBytes, interrupt_at: InterruptAt
) -> None:
    options = STEPS.model_copy(update={"mask_backend": "diffusers"})
    found = masks_after(tmp_path / "one", cells, options)
    assert found.source == MaskSource(origin="fit", sampler="dpm", scale=4.0)
    with pytest.raises(KeyboardInterrupt):
        masks_after(tmp_path / "two", cells, options, interrupt_at("masks", 2))
    assert {file.name for file in (tmp_path / "two").iterdir()} == {"fit.json", "masks.checkpoint.safetensors"}
    masks_after(tmp_path / "two", cells, options)
    assert tree_bytes(tmp_path / "one" / "masks") == tree_bytes(tmp_path / "two" / "masks")
    # What is done is not done again.
    masks_after(tmp_path / "two", cells, options, interrupt_at("masks", 1))
    other = options.model_copy(update={"seed": 2})
    masks_after(tmp_path / "other", cells, other)
    assert tree_bytes(tmp_path / "one" / "masks") != tree_bytes(tmp_path / "other" / "masks")


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_network")
def test_fits_from_a_bundle_with_a_pipeline_know_its_data_sets(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An untrained network makes no cells, which calibration would need.
    monkeypatch.setattr("cytocascade.fitting.calibrate", lambda bundle, *_, **__: bundle.config)
    options = STEPS.model_copy(update={"mask_backend": "diffusers", "steps": 1})
    bundle = fit(drawn_images, tmp_path / "base", options, base=nuclei.bundle)
    assert bundle.config.training["steps"] == {"masks": 1, "textures": 1}
    assert "trained on these cells; DPM-Solver++, best of 4" in bundle.card
    # One goes on from its network; the other starts one of our own kind anew, beside the known textures.
    for backend, kind in (("diffusers", PipelineMasks), ("compact", Denoiser)):
        further = options.model_copy(update={"mask_backend": backend})
        again = fit(drawn_images, tmp_path / backend, further, base=bundle)
        assert isinstance(again.masks, kind)
        assert again.config.style == bundle.config.style + 1 == again.textures.config.styles - 1
        if isinstance(again.masks, Denoiser):
            assert again.masks.config.styles == again.textures.config.styles


@pytest.mark.usefixtures("tiny_network")
def test_training_goes_on_from_the_pipeline_of_a_base(nuclei: Cascade) -> None:
    network = mask_fitting.new_network(mask_fitting.MASK_UNET, 3)
    masks = PipelineMasks(mask_fitting.as_pipeline(network), MaskSource(origin="fit"))
    start = mask_fitting._base_network(replace(nuclei.bundle, masks=masks))
    assert start is not None
    assert start.unet is not network.unet
    assert torch.equal(start.unet.conv_out.weight, network.unet.conv_out.weight)
    masks.pipeline.schedule["prediction_type"] = "epsilon"
    assert mask_fitting._base_network(replace(nuclei.bundle, masks=masks)) is None
    assert mask_fitting._base_network(nuclei.bundle) is None


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"masks_from": "x", "mask_backend": "diffusers"}, "give one of them"),
        ({"mask_spacing": 1.0}, "belongs to the pipeline"),
        ({"mask_eta": 1.0}, "mask_eta is for pipelines"),
        ({"mask_candidates": 2}, "mask_candidates is for pipelines"),
        ({"masks_from": "x", "mask_sampler": "pndm"}, "mask_sampler"),
    ],
)
def test_contradicting_options_are_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        FitOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_pipeline_trained_by_fit_generates(
    drawn_images: list[AnnotatedImage], nuclei: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_fitting, "MASK_UNET", MaskUNetConfig(widths=(16, 32, 64)))
    options = FitOptions(steps=300, batch=8, budget=None, learning_rate=2e-3, mask_backend="diffusers")
    cascade = Cascade(fit(drawn_images, tmp_path / "out", options, base=nuclei.bundle))
    sample = next(cascade.generate(1, seed=0, cells=5))
    assert sample.labels.max() == 5
    assert DDPMPipeline.from_pretrained(cascade.export_masks(tmp_path / "masks")).unet.config.sample_size == 32
