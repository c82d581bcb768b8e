from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from _phase import draw_phase
from scipy import ndimage as ndi

from cytocascade import network_fitting
from cytocascade.bundle import load_bundle
from cytocascade.cascade import Cascade
from cytocascade.composition import clean_field
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting import FitOptions, StageProgress, fit, usual_base
from cytocascade.generation import draw_sample
from cytocascade.generation_options import GenerationOptions
from cytocascade.network_fitting import _starting_model
from cytocascade.preparation import prepare_field
from cytocascade.textures.model import CALM
from cytocascade.types import AnnotatedImage, GeneratedSample

TreeBytes = Callable[[Path], dict[str, bytes]]
DrawImage = Callable[..., AnnotatedImage]
InterruptAt = Callable[[str, int], StageProgress]

pytestmark = pytest.mark.usefixtures("small_calibration")

OPTIONS = FitOptions(steps=2, batch=4, budget=None, seed=1)


@pytest.fixture(scope="module")
def undisturbed(
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    tmp_path_factory: pytest.TempPathFactory,
    small_calibration: None,
) -> Path:
    """A bundle that was fitted in one go."""
    out = tmp_path_factory.mktemp("fit") / "drawn"
    fit(drawn_images, out, OPTIONS, base=nuclei.bundle)
    return out


def test_fitted_bundle_is_complete(undisturbed: Path, nuclei: Cascade, drawn_images: list[AnnotatedImage]) -> None:
    bundle = load_bundle(undisturbed)
    config = bundle.config
    assert config.name == "drawn"
    assert config.modality == "fluorescence"
    assert (config.spacing, config.spacing_known, config.shape) == ((0.5, 0.5), True, (128, 128))
    assert config.training["cells"] == 18
    assert config.training["images"] == ["drawn-0", "drawn-1"]
    assert config.training["steps"] == {"masks": 2, "textures": 2}
    assert config.training["base"] == {"name": "nuclei", "hash": nuclei.bundle.hash}
    assert len(bundle.cells.rows) == 18
    for text in ("drawn-0", "18 whole cells", "0.5 x 0.5 um", nuclei.bundle.hash[:12], "arXiv 2411.11515"):
        assert text in bundle.card
    assert not undisturbed.with_name("drawn.fit").exists()


def test_dark_spots_are_counted_in_the_fitted_images(undisturbed: Path) -> None:
    assert load_bundle(undisturbed).config.dark_spots is not None


def test_fitted_images_get_a_style_of_their_own(undisturbed: Path, nuclei: Cascade) -> None:
    bundle = load_bundle(undisturbed)
    for name in ("masks", "textures"):
        base, fitted = getattr(nuclei.bundle, name).config, getattr(bundle, name).config
        assert fitted.styles == base.styles + 1
        assert fitted.model_copy(update={"styles": base.styles}) == base
        assert bundle.config.style == base.styles


def test_few_cells_leave_part_of_what_the_base_knows(
    undisturbed: Path,
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network_fitting, "BASE_WORTH", 0)
    fit(drawn_images, tmp_path / "all", OPTIONS, base=nuclei.bundle)
    for name in ("masks", "textures"):
        base = dict(getattr(nuclei.bundle, name).named_parameters())
        trained = dict(getattr(load_bundle(tmp_path / "all"), name).named_parameters())
        for key, kept in getattr(load_bundle(undisturbed), name).named_parameters():
            if base[key].shape == kept.shape:
                expected = torch.lerp(base[key], trained[key], 18 / 28)
                # Bundles keep half precision.
                assert torch.allclose(kept, expected, atol=1e-5, rtol=2e-3), key
    moved = torch.stack(
        [(trained[key] - base[key]).abs().max() for key in trained if base[key].shape == trained[key].shape]
    )
    assert moved.max() > 1e-4


def test_base_is_not_changed(undisturbed: Path, nuclei: Cascade) -> None:
    again = Cascade.from_pretrained("nuclei").bundle
    for name in ("masks", "textures"):
        theirs = getattr(again, name).state_dict()
        assert all((value == theirs[key]).all() for key, value in getattr(nuclei.bundle, name).state_dict().items())


def test_fitted_bundle_generates_images_like_the_fitted_ones(
    undisturbed: Path, drawn_images: list[AnnotatedImage]
) -> None:
    sample: GeneratedSample = next(Cascade.from_pretrained(undisturbed).generate(1, seed=0, workers=1))
    real = drawn_images[0]
    assert sample.image.shape == real.image.shape
    assert sample.image.dtype == real.image.dtype
    assert sample.spacing == real.spacing
    assert np.median(sample.image[sample.labels == 0]) == pytest.approx(200, rel=0.25)
    areas = [cell["features"]["area"] for cell in sample.cells if not cell["cut"]]
    assert np.median(areas) == pytest.approx((real.labels > 0).sum() / 9 * 0.25, rel=0.35)
    bright = sample.image[sample.labels > 0].mean() - np.median(sample.image[sample.labels == 0])
    assert bright == pytest.approx(real.image[real.labels > 0].mean() - 200, rel=0.5)


def test_cells_of_very_different_sizes_are_magnified(nuclei: Cascade, tmp_path: Path) -> None:
    fit([draw_phase()], tmp_path / "phase", OPTIONS, base=nuclei.bundle)
    bundle = load_bundle(tmp_path / "phase")
    assert bundle.config.modality == "phase"
    assert bundle.config.zoom is not None
    # Textures are told the factor as well.
    assert bundle.textures.config.scalars == nuclei.bundle.textures.config.scalars + 1
    # They have more detail than pixels at the one scale of all.
    finer = {"size": 64, "fold": 4, "styles": bundle.masks.config.styles}
    assert bundle.masks.config == nuclei.bundle.masks.config.model_copy(update=finer)
    assert (bundle.fineness, nuclei.bundle.fineness) == (2, 1)
    sample = next(Cascade(bundle).generate(1, seed=0, size=(200, 300), cells=4, workers=1))
    assert 0 < sample.labels.max() <= 4


def test_what_images_show_tells_the_base(drawn_images: list[AnnotatedImage]) -> None:
    assert usual_base(drawn_images) == "nuclei"
    assert usual_base([draw_phase()]) == "phase"


def test_base_that_knows_magnified_cells_serves_others_too(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path
) -> None:
    phase = fit([draw_phase()], tmp_path / "phase", OPTIONS, base=nuclei.bundle)
    plain = fit(drawn_images, tmp_path / "plain", OPTIONS, base=phase)
    assert plain.config.zoom is None
    assert (plain.fineness, plain.masks.config.fold) == (1, 2)
    assert plain.textures.config.scalars == phase.textures.config.scalars
    assert next(Cascade(plain).generate(1, seed=0, workers=1)).labels.max() > 0


def test_what_a_base_was_never_told_has_no_influence_yet(nuclei: Cascade) -> None:
    base = nuclei.bundle.textures
    wider = _starting_model(base, base.config.model_copy(update={"scalars": base.config.scalars + 1}), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    noisy, outline = torch.randn(2, 2, 1, 64, 64, generator=generator)
    told = torch.tensor([[0.3, -0.2], [1.0, 0.5]])
    time = torch.tensor([500, 100])
    with torch.no_grad():
        before = base(noisy, time, outline, told)
        after = wider(noisy, time, outline, torch.cat([told, torch.tensor([[0.7], [1.1]])], dim=1))
    assert torch.allclose(before, after, atol=1e-5)


def test_two_fits_with_one_seed_are_identical(
    undisturbed: Path, nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path, tree_bytes: TreeBytes
) -> None:
    found = fit(drawn_images, tmp_path / "drawn", OPTIONS, base=nuclei.bundle)
    assert tree_bytes(tmp_path / "drawn") == tree_bytes(undisturbed)
    assert found.hash == load_bundle(undisturbed).hash


def test_another_seed_gives_another_bundle(
    undisturbed: Path, nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path
) -> None:
    options = OPTIONS.model_copy(update={"seed": 2})
    fit(drawn_images, tmp_path / "drawn", options, base=nuclei.bundle)
    for name in ("masks.safetensors", "textures.safetensors"):
        assert (tmp_path / "drawn" / name).read_bytes() != (undisturbed / name).read_bytes()


@pytest.mark.usefixtures("saved_every_step")
@pytest.mark.parametrize(
    ("stage", "number"),
    [("cells", 1), ("masks", 1), ("masks", 2), ("masks", 3), ("textures", 2), ("statistics", 2), ("calibration", 1)],
)
def test_interrupted_fit_is_continued_to_the_same_bytes(
    undisturbed: Path,
    nuclei: Cascade,
    drawn_images: list[AnnotatedImage],
    tmp_path: Path,
    tree_bytes: TreeBytes,
    interrupt_at: InterruptAt,
    stage: str,
    number: int,
) -> None:
    out = tmp_path / "drawn"
    with pytest.raises(KeyboardInterrupt):
        fit(drawn_images, out, OPTIONS, base=nuclei.bundle, progress=interrupt_at(stage, number))
    assert not out.exists()
    assert (tmp_path / "drawn.fit" / "fit.json").is_file()
    stages: list[tuple[str, int]] = []
    fit(
        drawn_images,
        out,
        OPTIONS,
        base=nuclei.bundle,
        progress=lambda stage, done, total, _: stages.append((stage, done)),
    )
    assert tree_bytes(out) == tree_bytes(undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["drawn"]
    # What was done is not done again.
    if stage in ("textures", "statistics", "calibration"):
        assert "masks" not in {name for name, _ in stages}
    if (stage, number) == ("textures", 2):
        assert ("textures", 1) not in stages
        assert ("textures", 2) in stages


def test_interrupted_fit_of_other_options_or_images_is_not_mixed_up(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path, interrupt_at: InterruptAt
) -> None:
    out = tmp_path / "drawn"
    stop = interrupt_at("cells", 1)
    with pytest.raises(KeyboardInterrupt):
        fit(drawn_images, out, OPTIONS, base=nuclei.bundle, progress=stop)
    other = [replace(drawn_images[0], image=drawn_images[0].image + 1), drawn_images[1]]
    for images, options, base in (
        (drawn_images, OPTIONS.model_copy(update={"seed": 9}), nuclei.bundle),
        (drawn_images, OPTIONS.model_copy(update={"steps": 3}), nuclei.bundle),
        (drawn_images, OPTIONS, None),
        (other, OPTIONS, nuclei.bundle),
    ):
        with pytest.raises(CytoCascadeError, match="interrupted fit of other images or options") as caught:
            fit(images, out, options, base=base)
        assert caught.value.path == tmp_path / "drawn.fit"
        assert "--no-resume" in str(caught.value.hint)
    with pytest.raises(KeyboardInterrupt):
        fit(other, out, OPTIONS, base=nuclei.bundle, resume=False, progress=interrupt_at("cells", 1))
    with pytest.raises(KeyboardInterrupt):
        fit(other, out, OPTIONS, base=nuclei.bundle, progress=interrupt_at("cells", 1))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_damaged_state_of_an_interrupted_fit_is_named(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path, text: str
) -> None:
    state = tmp_path / "drawn.fit" / "fit.json"
    state.parent.mkdir()
    state.write_text(text)
    with pytest.raises(CytoCascadeError, match=r"fit\.json") as caught:
        fit(drawn_images, tmp_path / "drawn", OPTIONS, base=nuclei.bundle)
    assert "--no-resume" in str(caught.value.hint)


def test_existing_bundle_is_replaced_only_if_asked(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path
) -> None:
    out = tmp_path / "drawn"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(CytoCascadeError, match="exists already") as caught:
        fit(drawn_images, out, OPTIONS, base=nuclei.bundle)
    assert caught.value.path == out
    assert (out / "mine.txt").exists()
    fit(drawn_images, out, OPTIONS, base=nuclei.bundle, overwrite=True, name="other")
    assert not (out / "mine.txt").exists()
    assert load_bundle(out).config.name == "other"


def test_budget_is_turned_into_steps_that_are_recorded(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path, interrupt_at: InterruptAt
) -> None:
    out = tmp_path / "drawn"
    options = FitOptions(budget=1e-6, batch=1)
    with pytest.raises(KeyboardInterrupt):
        fit(drawn_images, out, options, base=nuclei.bundle, progress=interrupt_at("masks", 3))
    # Twenty steps are the least.
    assert '"masks": 20' in (tmp_path / "drawn.fit" / "fit.json").read_text()
    bundle = fit(drawn_images, out, options, base=nuclei.bundle)
    assert bundle.config.training["steps"] == {"masks": 20, "textures": 20}
    assert "masks 20, textures 20" in bundle.card


def test_sparse_annotation_is_fitted_and_told(nuclei: Cascade, draw_image: DrawImage, tmp_path: Path) -> None:
    images = [draw_image(number, unlabelled=3, sparse=True) for number in range(2)]
    options = OPTIONS.model_copy(update={"steps": 1, "batch": 1})
    bundle = fit(images, tmp_path / "drawn", options, base=nuclei.bundle)
    assert bundle.config.training["cells"] == 12
    assert bundle.config.training["sparse"]
    assert "texture_temperature" not in bundle.config.model_dump()
    assert "Only some cells were annotated" in bundle.card
    assert bundle.config.training["calibration"][0]["background"] == pytest.approx(200, rel=0.1)


def test_too_few_cells_are_refused_before_anything_is_trained(
    nuclei: Cascade, draw_image: DrawImage, tmp_path: Path
) -> None:
    with pytest.raises(CytoCascadeError, match="at least 5 are needed"):
        fit([draw_image(0, rows=2)], tmp_path / "drawn", OPTIONS, base=nuclei.bundle)
    # Nothing stays behind, so that mended images are not taken for those of another fit.
    assert list(tmp_path.iterdir()) == []


def test_cells_in_phase_contrast_show_no_more_of_their_surroundings_than_their_halo(
    nuclei: Cascade, tmp_path: Path
) -> None:
    bundle = fit([draw_phase()], tmp_path / "phase", OPTIONS, base=nuclei.bundle)
    assert bundle.config.halo is not None
    assert bundle.config.texture_temperature == CALM
    params = draw_sample(bundle, GenerationOptions(size=(200, 300), cells=4), 0, 0)
    prepared = prepare_field(bundle, params)
    # Light that is as bright in all of the crop: what is not faded out would be seen.
    prepared = replace(prepared, signal=np.ones_like(prepared.signal))
    light = clean_field(replace(bundle, imaging=bundle.imaging.model_copy(update={"debris": None})), params, prepared)
    distance = ndi.distance_transform_edt(prepared.labels == 0)
    assert np.abs(light.light[(distance > 0) & (distance < 0.7 * bundle.config.halo)]).min() > 0
    assert np.abs(light.light[distance > 2.2 * bundle.config.halo + 2]).max() < 0.01 * np.abs(light.light).max()
