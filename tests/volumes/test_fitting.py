from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cytocascade.bundle import Bundle, load_bundle, save_bundle
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.fitting import FitOptions, StageProgress
from cytocascade.images.stacks import StackDataset
from cytocascade.imaging.psf import ConePsf, axial_kernel
from cytocascade.textures.axial_noise import DEFAULT_LENGTH
from cytocascade.types import AnnotatedImage, AnnotatedStack
from cytocascade.volumes.fitting import DEFAULT_AXIAL_SIGMA, VolumeOptions, fit_volumes

from .conftest import AXIAL_SIGMA, HEIGHT, SPACING, WIDTH

pytestmark = pytest.mark.usefixtures("small_trials")

TreeBytes = Callable[[Path], dict[str, bytes]]
InterruptAt = Callable[[str, int], StageProgress]
DrawStack = Callable[..., AnnotatedStack]

OPTIONS = FitOptions(steps=2, batch=4, budget=None, seed=1)


def dataset_of(*stacks: AnnotatedStack, images: tuple[AnnotatedImage, ...] = ()) -> StackDataset:
    return StackDataset(stacks, images, "folder", Path("drawn"), tuple(() for _ in (*stacks, *images)))


@pytest.fixture(scope="module")
def dataset(drawn_stacks: tuple[AnnotatedStack, ...]) -> StackDataset:
    return dataset_of(*drawn_stacks)


@pytest.fixture(scope="module")
def undisturbed(
    tiny_volumes: Bundle, dataset: StackDataset, tmp_path_factory: pytest.TempPathFactory, small_trials: None
) -> Path:
    """A bundle that was fitted in one go."""
    out = tmp_path_factory.mktemp("fit") / "drawn"
    fit_volumes(dataset, out, OPTIONS, base=tiny_volumes)
    return out


@pytest.fixture(scope="module")
def fitted(undisturbed: Path) -> Bundle:
    return load_bundle(undisturbed)


@pytest.fixture(scope="module")
def from_images(
    tiny_volumes: Bundle, drawn_images: list[AnnotatedImage], tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A bundle that was fitted to 2D images alone."""
    images = dataset_of(images=tuple(drawn_images))
    return fit_volumes(images, tmp_path_factory.mktemp("fit") / "flat", OPTIONS, base=tiny_volumes)


def test_a_fitted_bundle_is_for_volumes_of_the_size_of_the_stacks(fitted: Bundle, undisturbed: Path) -> None:
    config = fitted.config
    assert (config.dim, config.spacing, config.spacing_known, config.shape) == (3, SPACING, True, (16, 96, 96))
    assert config.training["images"][:2] == ["drawn-0_z005", "drawn-0_z007"]
    assert fitted.volume is not None
    assert fitted.volume.stacks == 2
    assert not undisturbed.with_name("drawn.fit").exists()


def test_a_fitted_bundle_survives_saving(fitted: Bundle, tmp_path: Path) -> None:
    save_bundle(fitted, tmp_path / "again")
    again = load_bundle(tmp_path / "again")
    assert (again.hash, again.volume, again.config) == (fitted.hash, fitted.volume, fitted.config)


def test_shapes_are_those_of_the_base(fitted: Bundle, tiny_volumes: Bundle) -> None:
    ours, theirs = (dict(bundle.shapes.state_dict()) for bundle in (fitted, tiny_volumes))
    for name, value in theirs.items():
        assert np.allclose(ours[name].float(), value, atol=2e-3), name
    assert fitted.volume.priors == tiny_volumes.volume.priors


def test_heights_are_measured_where_nothing_is_annotated(fitted: Bundle, tiny_volumes: Bundle) -> None:
    statistics = fitted.volume.shapes
    assert statistics.measured
    assert len(statistics.ratios) == 18
    # They are drawn a tenth longer than WIDTH on average; both ends of a cell fade within a plane or two.
    assert np.median(statistics.extents) == pytest.approx(1.1 * WIDTH, rel=0.1)
    assert np.median(statistics.ratios) == pytest.approx(HEIGHT / (1.1 * WIDTH), rel=0.2)
    assert fitted.volume.arrangement.cell_height == pytest.approx(HEIGHT, rel=0.1)
    # What the base knows is far from that.
    assert np.median(statistics.ratios) > max(tiny_volumes.volume.shapes.ratios)


def test_cells_are_found_to_lie_in_a_layer_at_half_height(fitted: Bundle) -> None:
    arrangement = fitted.volume.arrangement
    assert arrangement.kind == "layer"
    middle = np.mean(arrangement.substrate) + arrangement.cell_height / 2
    assert middle == pytest.approx(8.0, abs=0.5)


def test_the_blur_along_z_is_about_the_true_one(fitted: Bundle) -> None:
    kernel = axial_kernel(fitted.volume.microscope.psf, SPACING)
    heights = (np.arange(len(kernel)) - len(kernel) // 2) * SPACING[0]
    assert np.sqrt((kernel * heights**2).sum()) == pytest.approx(AXIAL_SIGMA, rel=0.35)
    assert fitted.volume.microscope.edges >= 18


def test_slices_are_about_as_alike_as_drawn(fitted: Bundle) -> None:
    noise = fitted.volume.texture_noise
    assert noise.rho is None
    # Drawn as a Gaussian of 1 um, and blurred.
    assert 0.7 < noise.length < 4.0
    assert 0 <= fitted.volume.grain_noise <= 1
    assert fitted.volume.area_factor == pytest.approx(1.0, abs=0.05)


def test_the_card_tells_about_z(fitted: Bundle) -> None:
    for text in ("1 x 0.5 x 0.5 um", "| stacks | 2 |", "layer (", "measured in the stacks", "nuclei", "prior, not a"):
        assert text in fitted.card


def test_a_fitted_bundle_generates_volumes_like_the_stacks(
    fitted: Bundle, undisturbed: Path, drawn_stacks: tuple[AnnotatedStack, ...]
) -> None:
    options = {"cells": 6, "shape_prior": "ellipsoid", "texture_steps": 3}
    sample = next(Cascade(fitted).generate(1, seed=2, workers=1, **options))
    real = drawn_stacks[0]
    assert sample.image.shape == real.image.shape
    assert sample.image.dtype == real.image.dtype
    assert np.median(sample.image[sample.labels == 0]) == pytest.approx(200, rel=0.1)
    inside = sample.image[sample.labels > 0].mean() - 200.0
    assert inside == pytest.approx(real.image[real.labels > 0].mean() - 200.0, rel=0.4)
    whole = [cell["features"] for cell in sample.cells if not cell["cut"]]
    assert np.median([one["volume"] for one in whole]) == pytest.approx(np.pi / 6 * HEIGHT * WIDTH**2, rel=0.4)
    assert np.median([one["extent"][0] for one in whole]) == pytest.approx(HEIGHT, abs=1.5)


@pytest.mark.usefixtures("saved_every_step")
@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("textures", 1),
        pytest.param("masks", 2, marks=pytest.mark.slow),
        pytest.param("volume", 4, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_fit_is_continued_to_the_same_bytes(
    undisturbed: Path,
    tiny_volumes: Bundle,
    dataset: StackDataset,
    tmp_path: Path,
    tree_bytes: TreeBytes,
    interrupt_at: InterruptAt,
    stage: str,
    number: int,
) -> None:
    out = tmp_path / "drawn"
    with pytest.raises(KeyboardInterrupt):
        fit_volumes(dataset, out, OPTIONS, base=tiny_volumes, progress=interrupt_at(stage, number))
    assert not out.exists()
    stages: list[str] = []
    fit_volumes(
        dataset, out, OPTIONS, base=tiny_volumes, progress=lambda stage, done, total, remark: stages.append(stage)
    )
    assert tree_bytes(out) == tree_bytes(undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["drawn"]
    # What was done is not done again.
    assert ("masks" in stages) == (stage == "masks")


def test_a_finished_fit_is_recognised(undisturbed: Path, tiny_volumes: Bundle, dataset: StackDataset) -> None:
    stages: list[str] = []
    again = fit_volumes(
        dataset, undisturbed, OPTIONS, base=tiny_volumes, progress=lambda stage, *_: stages.append(stage)
    )
    assert again.hash == load_bundle(undisturbed).hash
    assert not stages


@pytest.mark.parametrize(
    "changed",
    [
        {"options": OPTIONS.model_copy(update={"seed": 2})},
        {"volumes": VolumeOptions(arrangement="volume")},
        {"volumes": VolumeOptions(planes=24)},
        {"volumes": VolumeOptions(kind="cell")},
    ],
)
def test_other_options_do_not_pass_for_a_finished_or_interrupted_fit(
    undisturbed: Path,
    tiny_volumes: Bundle,
    dataset: StackDataset,
    tmp_path: Path,
    interrupt_at: InterruptAt,
    changed: dict[str, object],
) -> None:
    wishes: dict[str, object] = {"options": OPTIONS, **changed}
    with pytest.raises(CytoCascadeError, match="exists already"):
        fit_volumes(dataset, undisturbed, base=tiny_volumes, **wishes)
    with pytest.raises(KeyboardInterrupt):
        fit_volumes(dataset, tmp_path / "b", OPTIONS, base=tiny_volumes, progress=interrupt_at("cells", 1))
    with pytest.raises(CytoCascadeError, match="interrupted fit of other images or options"):
        fit_volumes(dataset, tmp_path / "b", base=tiny_volumes, **wishes)


def test_other_slices_or_shapes_do_not_pass_for_a_finished_fit(
    undisturbed: Path, tiny_volumes: Bundle, dataset: StackDataset
) -> None:
    first = dataset.stacks[0]
    # The same pixels, but one slice without cells is now said to be annotated.
    other = dataset_of(replace(first, annotated=(0, *first.annotated)), dataset.stacks[1])
    flat = replace(tiny_volumes, shapes=None, volume=None, hash="other")
    for data, base in ((other, tiny_volumes), (dataset, flat)):
        with pytest.raises(CytoCascadeError, match="exists already"):
            fit_volumes(data, undisturbed, OPTIONS, base=base)


def test_2d_images_alone_give_a_layer_of_cells_with_the_heights_of_the_prior(
    from_images: Bundle, tiny_volumes: Bundle
) -> None:
    config, volume = from_images.config, from_images.volume
    assert (config.dim, config.spacing) == (3, (1.0, 0.5, 0.5))
    assert config.shape[1:] == (128, 128)
    assert volume.stacks == 0
    assert volume.arrangement.kind == "layer"
    assert not volume.shapes.measured
    assert volume.shapes.ratios == tiny_volumes.volume.priors[0].ratios
    assert volume.microscope.psf == ConePsf(axial=DEFAULT_AXIAL_SIGMA, spread=0.3)
    assert volume.texture_noise.length == DEFAULT_LENGTH
    # A volume holds its cells twice over.
    assert config.shape[0] * config.spacing[0] > 2 * volume.arrangement.cell_height
    for text in ("none: defaults", "the prior's"):
        assert text in from_images.card


def test_a_bundle_from_2d_images_generates_volumes(from_images: Bundle) -> None:
    sample = next(Cascade(from_images).generate(1, seed=0, cells=2, shape_prior="ellipsoid", texture_steps=2))
    assert sample.labels.max() == 2
    heights = np.flatnonzero((sample.labels > 0).any(axis=(1, 2)))
    assert 3 <= len(heights) <= sample.labels.shape[0]


def test_wishes_go_before_what_the_stacks_tell(
    tiny_volumes: Bundle, drawn_stacks: tuple[AnnotatedStack, ...], tmp_path: Path
) -> None:
    wishes = VolumeOptions(arrangement="volume", psf=ConePsf(axial=2.5), planes=9, kind="cell")
    bundle = fit_volumes(
        dataset_of(drawn_stacks[0]), tmp_path / "b", OPTIONS, volumes=wishes, base=tiny_volumes, name="mine"
    )
    assert bundle.config.name == "mine"
    assert bundle.config.shape == (9, 96, 96)
    assert bundle.volume.arrangement.kind == "volume"
    assert "by the data: layer" in bundle.volume.arrangement.reason
    assert bundle.volume.microscope.psf == ConePsf(axial=2.5)
    assert bundle.volume.shapes.kind == "cell"


def test_phase_contrast_is_refused_before_anything_is_trained(
    tiny_volumes: Bundle, draw_stack: DrawStack, tmp_path: Path
) -> None:
    stages: list[str] = []
    with pytest.raises(CytoCascadeError, match="phase contrast") as caught:
        fit_volumes(
            dataset_of(draw_stack(light=-150.0)),
            tmp_path / "b",
            OPTIONS,
            base=tiny_volumes,
            progress=lambda stage, *_: stages.append(stage),
        )
    assert "--dim 3" in str(caught.value.hint)
    assert "masks" not in stages
    assert not list(tmp_path.iterdir())


def test_too_few_cells_are_refused_before_anything_is_trained(
    tiny_volumes: Bundle, draw_stack: DrawStack, tmp_path: Path
) -> None:
    stages: list[str] = []
    with pytest.raises(CytoCascadeError, match="at least 5 are needed"):
        fit_volumes(
            dataset_of(draw_stack(rows=2, annotated=(7,))),
            tmp_path / "b",
            OPTIONS,
            base=tiny_volumes,
            progress=lambda stage, *_: stages.append(stage),
        )
    assert set(stages) == {"cells"}
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "wrong", [{"planes": 3}, {"step": 0.0}, {"kind": "tissue"}, {"arrangement": "heap"}, {"depth": 4}]
)
def test_impossible_wishes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VolumeOptions(**wrong)  # type: ignore[arg-type]
