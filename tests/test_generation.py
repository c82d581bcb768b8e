from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _phase import as_phase
from pydantic import ValidationError

from cytocascade.bundle import Bundle
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.generation import draw_sample, render_sample
from cytocascade.generation_options import GenerationOptions
from cytocascade.images.features import FEATURE_NAMES
from cytocascade.images.zoom import Zoom
from cytocascade.textures.spots import USUAL_SHARE
from cytocascade.types import GeneratedSample

FEW: dict[str, Any] = {"size": (96, 112), "cells": 4, "mask_steps": 4, "texture_steps": 3}


def digest(sample: GeneratedSample) -> str:
    """Return a hash of everything in a sample."""
    text = json.dumps([sample.params, sample.cells, sample.spacing, sample.index, sample.seed], allow_nan=False)
    parts = [text.encode(), sample.image.tobytes(), sample.labels.tobytes()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def make(nuclei: Cascade, index: int = 0, *, seed: int = 1, workers: int = 1, **changes: Any) -> GeneratedSample:
    options = GenerationOptions(**{**FEW, **changes})
    return nuclei.sample(index, seed=seed, options=options, workers=workers)


def test_sample_is_an_image_with_its_labels(nuclei: Cascade) -> None:
    sample = make(nuclei)
    assert sample.image.shape == sample.labels.shape == (96, 112)
    assert sample.image.dtype == np.uint16
    assert sample.labels.dtype == np.uint16
    assert sample.spacing == nuclei.bundle.config.spacing
    assert (sample.index, sample.seed) == (0, 1)


def test_labels_match_the_listed_cells(nuclei: Cascade) -> None:
    sample = make(nuclei)
    present = np.unique(sample.labels)[1:].tolist()
    assert present == list(range(1, len(present) + 1))
    assert [cell["label"] for cell in sample.cells] == present
    for cell in sample.cells:
        area = (sample.labels == cell["label"]).sum() * np.prod(sample.spacing)
        assert cell["features"]["area"] == pytest.approx(area, rel=1e-4)
        assert set(cell["features"]) == set(FEATURE_NAMES)
        rows, columns = np.nonzero(sample.labels == cell["label"])
        at_frame = rows.min() == 0 or columns.min() == 0 or rows.max() == 95 or columns.max() == 111
        assert cell["cut"] == at_frame


def test_cells_are_brighter_than_the_background(nuclei: Cascade) -> None:
    sample = make(nuclei)
    assert sample.image[sample.labels > 0].mean() > 1.2 * np.median(sample.image[sample.labels == 0])


def test_same_seed_and_index_give_the_same_bytes(nuclei: Cascade) -> None:
    assert digest(make(nuclei)) == digest(make(nuclei))


def test_other_index_or_seed_gives_another_sample(nuclei: Cascade) -> None:
    assert len({digest(make(nuclei, index, seed=seed)) for index in (0, 1) for seed in (1, 2)}) == 4


@pytest.mark.parametrize("cells", [1, 5, 30])
def test_number_of_workers_leaves_no_trace(nuclei: Cascade, cells: int) -> None:
    # 30 cells are more than one chunk of the sampler.
    wishes = {"cells": cells, "size": (192, 192), "mask_steps": 3, "texture_steps": 2}
    one, two = (make(nuclei, workers=workers, **wishes) for workers in (1, 2))
    assert digest(one) == digest(two)


def test_params_are_json_and_bring_the_sample_back(nuclei: Cascade) -> None:
    sample = make(nuclei, 3)
    params = json.loads(json.dumps(sample.params, allow_nan=False))
    assert digest(render_sample(nuclei.bundle, params, seed=1, index=3)) == digest(sample)


def test_rendering_draws_nothing(nuclei: Cascade) -> None:
    params = draw_sample(nuclei.bundle, GenerationOptions(**FEW), 1, 0)
    one, other = (render_sample(nuclei.bundle, params, seed=seed, index=seed) for seed in (1, 99))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.labels, other.labels)


def test_rendering_leaves_the_params_alone(nuclei: Cascade) -> None:
    params = draw_sample(nuclei.bundle, GenerationOptions(**FEW), 1, 0)
    before = json.dumps(params)
    render_sample(nuclei.bundle, params, seed=1, index=0)
    assert json.dumps(params) == before


@pytest.mark.parametrize("count", [0, 1, 4])
def test_number_of_cells_is_as_wished(nuclei: Cascade, count: int) -> None:
    sample = make(nuclei, cells=count, size=(128, 128))
    assert sample.params["placement"]["count"] == count
    assert len(sample.cells) + sample.params["masks"]["unplaced"] == count
    assert sample.labels.max() == len(sample.cells)


def test_number_of_cells_is_drawn_from_its_range(nuclei: Cascade) -> None:
    options = GenerationOptions(cells=(3, 5), size=(128, 128))
    counts = [draw_sample(nuclei.bundle, options, 1, index)["placement"]["count"] for index in range(60)]
    assert set(counts) == {3, 4, 5}


def test_number_of_cells_follows_the_area_of_the_field(nuclei: Cascade) -> None:
    def mean(side: int) -> float:
        options = GenerationOptions(size=(side, side))
        counts = [draw_sample(nuclei.bundle, options, 1, index)["placement"]["count"] for index in range(40)]
        return float(np.mean(counts))

    assert mean(512) / max(mean(256), 0.5) == pytest.approx(4, rel=0.5)


def test_default_size_is_that_of_the_fitted_images(nuclei: Cascade) -> None:
    params = draw_sample(nuclei.bundle, GenerationOptions(), 1, 0)
    assert tuple(params["shape"]) == nuclei.bundle.config.shape


@pytest.mark.parametrize("size", [(8, 64), (64,), (64, 64, 64), (64, 0)])
def test_impossible_size_is_refused_in_words(nuclei: Cascade, size: tuple[int, ...]) -> None:
    with pytest.raises(CytoCascadeError, match="cannot be generated") as caught:
        make(nuclei, size=size)
    assert "--size" in str(caught.value.hint)


def test_brightness_scale_is_a_factor_on_the_light(nuclei: Cascade) -> None:
    plain, bright = make(nuclei), make(nuclei, brightness_scale=1.5)
    assert np.array_equal(plain.labels, bright.labels)
    ratio = [b["features"]["signal"] / a["features"]["signal"] for a, b in zip(plain.cells, bright.cells)]
    assert np.median(ratio) == pytest.approx(1.5, rel=0.1)


def test_area_scale_makes_larger_cells(nuclei: Cascade) -> None:
    plain, large = (make(nuclei, area_scale=scale, cells=6, size=(192, 192)) for scale in (0.7, 1.4))
    area = [np.median([cell["features"]["area"] for cell in sample.cells]) for sample in (plain, large)]
    assert area[1] > 1.4 * area[0]


def test_guidance_changes_the_light_and_not_the_labels(nuclei: Cascade) -> None:
    plain, guided = make(nuclei), make(nuclei, guidance=2.0)
    assert np.array_equal(plain.labels, guided.labels)
    assert not np.array_equal(plain.image, guided.image)


def test_samples_that_were_drawn_before_light_was_aligned_stay_as_they_were(nuclei: Cascade) -> None:
    now = draw_sample(nuclei.bundle, GenerationOptions(**FEW), 1, 0)
    before = {key: value for key, value in now.items() if key != "aligned"}
    new, old = (render_sample(nuclei.bundle, params, seed=1, index=0) for params in (now, before))
    np.testing.assert_array_equal(new.labels, old.labels)
    assert (new.image != old.image).any()
    assert "aligned" not in old.params
    older = {key: value for key, value in before.items() if key != "concave"}
    oldest = render_sample(nuclei.bundle, older, seed=1, index=0)
    assert (oldest.labels != old.labels).any()


def test_dark_spots_take_light_from_the_drawn_cells_only(nuclei: Cascade) -> None:
    plain, spotted = (with_share(nuclei, share) for share in (0.0, 0.4))
    without = draw_sample(plain, GenerationOptions(**FEW), 1, 0)
    params = draw_sample(spotted, GenerationOptions(**FEW), 1, 0)
    # Nothing else is drawn differently for it.
    assert without["spots"] == [] != params["spots"]
    assert {**params, "spots": []} == without
    before, now = (render_sample(spotted, p, seed=1, index=0) for p in (without, params))
    np.testing.assert_array_equal(before.labels, now.labels)
    numbers = {spot[0] for spot in params["spots"]}
    darker = {cell["number"] for cell in now.cells if (now.image < before.image)[now.labels == cell["label"]].any()}
    whole = {cell["number"] for cell in now.cells if not cell["cut"]}
    assert numbers & whole
    assert numbers & whole <= darker <= numbers
    # Samples that were made before there were any stay as they were.
    old = render_sample(spotted, {name: value for name, value in params.items() if name != "spots"}, seed=1, index=0)
    np.testing.assert_array_equal(old.image, before.image)


def test_where_dark_spots_were_not_counted_there_are_as_many_as_usual_and_none_in_phase_contrast(
    nuclei: Cascade,
) -> None:
    many = GenerationOptions(cells=2000, size=(2000, 2000))
    assert nuclei.bundle.config.dark_spots is None
    spotted = {spot[0] for spot in draw_sample(nuclei.bundle, many, 1, 0)["spots"]}
    assert len(spotted) / 2000 == pytest.approx(USUAL_SHARE, abs=0.01)
    assert "spots" not in draw_sample(as_phase(nuclei.bundle), many, 1, 0)


def with_share(nuclei: Cascade, share: float) -> Bundle:
    return replace(nuclei.bundle, config=nuclei.bundle.config.model_copy(update={"dark_spots": share}))


def test_noise_share_concerns_cells_only(nuclei: Cascade) -> None:
    images = []
    for share in (0.0, 1.0):
        config = nuclei.bundle.config.model_copy(update={"noise_share": share})
        bundle = replace(nuclei.bundle, config=config)
        images.append(Cascade(bundle).sample(0, seed=1, options=GenerationOptions(**FEW)))
    changed = images[0].image != images[1].image
    labels = images[0].labels
    assert changed[labels > 0].mean() > 0.5
    assert changed[labels == 0].mean() < changed[labels > 0].mean()


def test_samples_tell_how_calm_their_textures_are(nuclei: Cascade) -> None:
    many = GenerationOptions(**FEW)
    calm, usual = (as_phase(nuclei.bundle, texture_temperature=value) for value in (0.5, 1.0))
    params = draw_sample(calm, many, 1, 0)
    assert params["texture_temperature"] == 0.5
    # What a sample was made with counts, not what its bundle would make another with; older ones do not tell.
    untold = {name: value for name, value in params.items() if name != "texture_temperature"}
    assert untold == draw_sample(usual, many, 1, 0)
    images = [render_sample(*made, seed=1, index=0).image for made in ((calm, params), (usual, params), (calm, untold))]
    np.testing.assert_array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_phase_bundle_renders_too(nuclei: Cascade) -> None:
    sample = Cascade(as_phase(nuclei.bundle)).sample(0, seed=1, options=GenerationOptions(**FEW))
    assert sample.labels.max() == len(sample.cells) > 0


def test_magnified_cells_are_as_large_as_others(nuclei: Cascade) -> None:
    areas = []
    # The largest nuclei are about 45 canonical pixels long, the usual ones 30.
    for zoom in (None, Zoom(reach=50, most=3)):
        cascade = Cascade(as_phase(nuclei.bundle, zoom=zoom))
        sample = cascade.sample(0, seed=1, options=GenerationOptions(size=(256, 256), cells=8))
        areas.append({c["number"]: c["features"]["area"] for c in sample.cells if not c["cut"]})
    common = sorted(areas[0].keys() & areas[1].keys())
    assert len(common) >= 4
    plain, magnified = (np.array([area[number] for number in common]) for area in areas)
    assert magnified == pytest.approx(plain, rel=0.1)


@pytest.mark.parametrize(
    "wrong", [{"p_cluster": 1.2}, {"area_scale": 9.0}, {"mask_steps": 1}, {"brightness_scale": 0}, {"colour": 1}]
)
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GenerationOptions(**wrong)
