from __future__ import annotations

import numpy as np
import pytest

from cytocascade.images.cells import extract_cells
from cytocascade.images.descriptors import DESCRIPTOR_NAMES, canonical_area, describe_cells, describe_shape
from cytocascade.types import AnnotatedImage


def ellipse(a: float, b: float, side: int = 64) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return (y / a) ** 2 + (x / b) ** 2 <= 1


def test_size_is_the_logarithm_of_the_area() -> None:
    small, large = describe_shape(ellipse(10, 10))[0], describe_shape(ellipse(20, 20))[0]
    assert large - small == pytest.approx(2 * np.log(4), abs=0.05)


def test_canonical_area_inverts_the_size() -> None:
    mask = ellipse(13, 17)
    assert canonical_area(describe_shape(mask)[0]) == pytest.approx(mask.sum(), rel=1e-5)


def test_eccentricity_of_an_ellipse_is_that_of_its_axes() -> None:
    wanted = np.sqrt(1 - (10 / 20) ** 2)
    assert describe_shape(ellipse(10, 20))[1] * 0.2 + 0.7 == pytest.approx(wanted, abs=0.01)


def test_dented_shapes_are_more_concave() -> None:
    dented = ellipse(18, 18)
    dented[25:39, 32:] = False
    assert describe_shape(dented)[2] > describe_shape(ellipse(18, 18))[2] + 1


def test_specks_beside_the_cell_do_not_count() -> None:
    mask = ellipse(12, 16)
    with_speck = mask.copy()
    with_speck[1, 1] = True
    assert np.array_equal(describe_shape(mask), describe_shape(with_speck))


def field(light: list[float], texture: float = 0.0) -> AnnotatedImage:
    rng = np.random.default_rng(0)
    image = np.full((60, 60 * len(light)), 100.0) + rng.normal(0, 1, (60, 60 * len(light)))
    labels = np.zeros(image.shape, dtype=np.uint16)
    for number, value in enumerate(light):
        mask = np.zeros(image.shape, dtype=bool)
        mask[:, 60 * number : 60 * number + 60] = ellipse(14, 14, 60)
        stripes = 1 + texture * np.where(np.arange(60)[:, None] // 6 % 2, 1, -1) * np.ones((1, image.shape[1]))
        image += mask * value * stripes
        labels[mask] = number + 1
    return AnnotatedImage(image.astype(np.float32), labels, (1.0, 1.0), "field")


def test_brightness_is_relative_to_the_typical_cell() -> None:
    described = describe_cells(extract_cells([field([100, 200, 200, 200, 400])]))
    assert described.shape == (5, len(DESCRIPTOR_NAMES))
    assert described.dtype == np.float32
    assert np.allclose(described[:, 3], np.log([0.5, 1, 1, 1, 2]), atol=0.05)


def test_contrast_is_the_logarithm_of_the_variation() -> None:
    flat = describe_cells(extract_cells([field([200] * 5)]))[:, 4]
    striped = describe_cells(extract_cells([field([200] * 5, texture=0.3)]))[:, 4]
    assert np.allclose(striped, np.log(0.3 / 0.3), atol=0.2)
    assert (flat < striped - 0.5).all()
