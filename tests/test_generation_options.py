from __future__ import annotations

import pytest
from pydantic import ValidationError

from cytocascade.bundle import Bundle
from cytocascade.cascade import Cascade
from cytocascade.errors import CytoCascadeError
from cytocascade.generation_options import GenerationOptions, field_shape
from cytocascade.textures.model import TEXTURE_STEPS


def test_nothing_asked_for_is_nothing_on_the_command_line() -> None:
    assert GenerationOptions().command_line() == {}
    assert GenerationOptions().volume_only() == []


def test_options_are_written_as_the_command_line_reads_them() -> None:
    options = GenerationOptions(
        size=(12, 64, 64),
        cells=(2, 5),
        p_cluster=0.5,
        touching_rate=0.25,
        overlap_rate=0.1,
        brightness_scale=2.0,
        spacing=(2.0, 0.5, 0.25),
        arrangement="ball",
        axial_ratio=(0.4, 0.6),
        texture_length=1.5,
    )
    assert options.command_line() == {
        "cells": "2:5",
        "clustering": 0.5,
        "touching": 0.25,
        "overlap": 0.1,
        "brightness_scale": 2.0,
        "spacing": "2,0.5,0.25",
        "arrangement": "ball",
        "axial_ratio": "0.4:0.6",
        "texture_length": 1.5,
    }


def test_what_is_for_volumes_alone_is_told_from_what_is_for_both() -> None:
    assert GenerationOptions(cells=3, guidance=2.0, size=(64, 64)).volume_only() == []
    options = GenerationOptions(cells=3, shape_prior="hull", spacing=(1.0, 1.0, 1.0), texture_rho=0.0)
    assert set(options.volume_only()) == {"shape_prior", "spacing", "texture_rho"}


def test_options_survive_json() -> None:
    options = GenerationOptions(size=(8, 32, 32), axial_ratio=(0.4, 0.5), spacing=(1.0, 0.5, 0.5), cells=(1, 2))
    assert GenerationOptions.model_validate_json(options.model_dump_json()) == options
    assert GenerationOptions.model_validate(options.model_dump(mode="json")) == options


def test_what_concerns_the_arrangement_reaches_it_under_its_own_name() -> None:
    wanted = GenerationOptions(cells=7, p_cluster=0.2, touching_rate=0.3, overlap_rate=0.4).population()
    assert (wanted.count, wanted.p_cluster, wanted.touching_rate, wanted.overlap_rate) == (7, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"texture_rho": 0.5, "texture_length": 1.0}, "two ways"),
        ({"axial_ratio": 9.0}, "axial ratios lie between"),
        ({"axial_ratio": (0.01, 0.5)}, "axial ratios lie between"),
        ({"axial_ratio": float("nan")}, "--axial-ratio"),
        ({"axial_ratio": (0.6, 0.4)}, "smaller number first"),
        ({"spacing": (1.0, 0.0, 1.0)}, "positive micrometres"),
        ({"spacing": (1.0, 1.0)}, "--spacing"),
        ({"packing": 0.9}, "--packing"),
        ({"shape_prior": "guess"}, "--shape-prior"),
        ({"shape_steps": 1}, "--shape-steps"),
        ({"arrangement": "heap"}, "--arrangement"),
        ({"texture_length": 0.0}, "--texture-length"),
        ({"texture_length": float("inf")}, "--texture-length"),
        ({"texture_rho": float("inf")}, "--texture-rho"),
        ({"brightness_scale": float("inf")}, "--brightness-scale"),
        ({"guidance": float("nan")}, "--guidance"),
        ({"colour": "red"}, "--colour"),
    ],
)
def test_an_impossible_wish_is_named(wishes: dict[str, object], words: str) -> None:
    with pytest.raises(CytoCascadeError, match=words):
        GenerationOptions.checked(**wishes)
    with pytest.raises(ValidationError):
        GenerationOptions(**wishes)  # type: ignore[arg-type]


def test_the_shape_is_as_fitted_or_as_wished(nuclei: Cascade, tiny_volumes: Bundle) -> None:
    assert field_shape(nuclei.bundle.config, GenerationOptions()) == nuclei.bundle.config.shape
    assert field_shape(nuclei.bundle.config, GenerationOptions(size=(16, 20))) == (16, 20)
    assert field_shape(tiny_volumes.config, GenerationOptions()) == (14, 64, 64)
    assert field_shape(tiny_volumes.config, GenerationOptions(size=(4, 16, 17))) == (4, 16, 17)


@pytest.mark.parametrize("size", [(3, 64, 64), (12, 15, 64), (12, 64, 15), (64, 64), (1, 12, 64, 64)])
def test_a_volume_too_small_or_flat_is_refused(tiny_volumes: Bundle, size: tuple[int, ...]) -> None:
    with pytest.raises(CytoCascadeError, match="cannot be generated") as caught:
        field_shape(tiny_volumes.config, GenerationOptions(size=size))
    assert "x".join(map(str, size)) in str(caught.value)
    assert "--size 48x256x256" in str(caught.value.hint)


def test_a_volume_of_a_bundle_for_images_is_refused(nuclei: Cascade) -> None:
    with pytest.raises(CytoCascadeError, match="12x64x64 pixels cannot") as caught:
        field_shape(nuclei.bundle.config, GenerationOptions(size=(12, 64, 64)))
    assert "nuclei3d" in str(caught.value.hint)
    with pytest.raises(CytoCascadeError, match="--texture-rho is for volumes"):
        field_shape(nuclei.bundle.config, GenerationOptions(texture_rho=0.7))


def test_the_steps_of_textures_are_those_of_the_bundle_unless_asked_for(nuclei: Cascade) -> None:
    assert GenerationOptions().resolved(nuclei.bundle).texture_steps == TEXTURE_STEPS
    assert GenerationOptions(texture_steps=5).resolved(nuclei.bundle).texture_steps == 5
