from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.bundle import Bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions
from cytocascade.imaging.exposure import MOST_SATURATED
from cytocascade.types import GeneratedSample
from cytocascade.volumes.generation import draw_volume_sample, expose, prepare_volume, render_volume_sample

FAST = {"size": (14, 72, 72), "cells": 2, "shape_prior": "ellipsoid", "texture_steps": 2, "mask_steps": 8}


def volume(bundle: Bundle, *, seed: int = 1, index: int = 0, workers: int = 1, **options: object) -> GeneratedSample:
    wishes = GenerationOptions.checked(**{**FAST, **options})
    params = draw_volume_sample(bundle, wishes, seed, index)
    return render_volume_sample(bundle, params, seed=seed, index=index, workers=workers)


@pytest.fixture(scope="module")
def sample(tiny_volumes: Bundle) -> GeneratedSample:
    return volume(tiny_volumes)


def test_a_volume_has_the_wished_shape_spacing_and_type(sample, tiny_volumes):
    assert sample.image.shape == sample.labels.shape == (14, 72, 72)
    assert sample.image.dtype.name == tiny_volumes.imaging.output.dtype
    assert sample.spacing == tiny_volumes.config.spacing
    assert sample.labels.dtype == np.uint16


def test_labels_are_consecutive_whole_bodies(sample):
    count = int(sample.labels.max())
    assert 1 <= count <= 2
    assert len(sample.cells) == count
    for label in range(1, count + 1):
        assert ndi.label(sample.labels == label)[1] == 1


def test_cells_are_brighter_than_the_background(sample):
    inside = sample.labels > 0
    outside = ndi.binary_erosion(~inside, iterations=6)
    assert sample.image[inside].mean() > sample.image[outside].mean() + 3 * sample.image[outside].std() / 10


def test_a_cell_has_several_slices_and_its_caps_fade(sample):
    heights = np.flatnonzero((sample.labels > 0).any(axis=(1, 2)))
    assert 3 <= len(heights) <= 14


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(tiny_volumes, sample):
    again = volume(tiny_volumes, workers=2)
    assert np.array_equal(again.image, sample.image)
    assert np.array_equal(again.labels, sample.labels)


def test_another_index_gives_another_volume(tiny_volumes, sample):
    assert not np.array_equal(volume(tiny_volumes, index=1).labels, sample.labels)


def test_records_tell_volume_extent_and_axial_ratio(sample):
    for record in sample.cells:
        voxels = (sample.labels == record["label"]).sum()
        assert record["features"]["volume"] == pytest.approx(voxels * np.prod(sample.spacing), rel=1e-4)
        assert 0.3 < record["axial_ratio"] < 0.7


def test_a_wished_axial_ratio_is_kept(tiny_volumes):
    flat, tall = (volume(tiny_volumes, axial_ratio=ratio) for ratio in (0.25, 0.5))
    height = [np.flatnonzero((one.labels > 0).any(axis=(1, 2))).size for one in (flat, tall)]
    assert height[0] < height[1]
    assert all(record["axial_ratio"] == pytest.approx(0.25) for record in flat.cells)


def test_another_spacing_changes_the_voxels_not_the_micrometres(tiny_volumes, sample):
    z, y, x = sample.spacing
    fine = volume(tiny_volumes, spacing=(z / 2, y, x), size=(28, 72, 72))
    assert fine.spacing == (z / 2, y, x)
    # The largest cell: of a small one, single voxels are a large part.
    volumes = [max(record["features"]["volume"] for record in one.cells) for one in (sample, fine)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.1)


def test_the_learned_prior_runs_even_with_an_untrained_network(tiny_volumes):
    made = volume(tiny_volumes, shape_prior="multiview", shape_steps=2, cells=1)
    assert made.labels.max() == 1


def test_the_paper_noise_and_ours_differ(tiny_volumes, sample):
    paper = volume(tiny_volumes, texture_rho=0.7)
    assert np.array_equal(paper.labels, sample.labels)
    assert not np.array_equal(paper.image, sample.image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (2, 72, 72)}, "cannot be generated"),
        ({"size": (72, 72)}, "cannot be generated"),
        ({"texture_rho": 0.5, "texture_length": 1.0}, "two ways"),
        ({"axial_ratio": 9.0}, "axial ratios"),
        ({"shape_bank": "nowhere.safetensors"}, "no such file"),
        ({"shape_prior": "guess"}, "shape-prior"),
    ],
)
def test_impossible_wishes_are_told(tiny_volumes, options, words):
    with pytest.raises(CytoCascadeError, match=words):
        volume(tiny_volumes, **options)


def test_options_for_volumes_are_refused_for_images(nuclei):
    from cytocascade.generation import draw_sample

    with pytest.raises(CytoCascadeError, match="is for volumes"):
        draw_sample(nuclei.bundle, GenerationOptions.checked(texture_rho=0.7), 0, 0)


def test_an_image_bundle_makes_no_volumes(nuclei):
    with pytest.raises(CytoCascadeError, match="no volumes"):
        draw_volume_sample(nuclei.bundle, GenerationOptions(), 0, 0)


def test_bright_volumes_do_not_saturate(tiny_volumes):
    drawn = draw_volume_sample(tiny_volumes, GenerationOptions.checked(**FAST), 1, 0)
    gain = float(np.median([record.gain for record in tiny_volumes.imaging.records]))
    top = round(drawn["background"]["level"] + 3 * gain)
    output = tiny_volumes.imaging.output.model_copy(update={"high": top, "levels": []})
    narrow = replace(tiny_volumes, imaging=tiny_volumes.imaging.model_copy(update={"output": output}))
    bright = {**drawn, "background": {**drawn["background"], "gain": 4 * gain}}
    prepared = prepare_volume(narrow, bright)
    now, before = (
        (expose(narrow, params, prepared)[prepared.labels > 0] == top).mean()
        for params in (bright, {**bright, "exposed": False})
    )
    assert now < 2 * MOST_SATURATED
    assert before > 10 * MOST_SATURATED
