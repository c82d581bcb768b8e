from __future__ import annotations

import numpy as np
import pytest
from _phase import draw_phase

from cytocascade.images.cells import ZOOMED_EXTENT, choose_crop_spacing, extract_cells
from cytocascade.images.descriptors import describe_cells, for_networks, zoom_factors
from cytocascade.images.zoom import WORTH_IT, Zoom, major_axis
from cytocascade.types import AnnotatedImage

MIXED = draw_phase()


def fitted(image: AnnotatedImage) -> Zoom | None:
    return Zoom.fit([image], choose_crop_spacing([image]), extent=ZOOMED_EXTENT)


def test_major_axis_is_that_of_the_ellipse() -> None:
    assert major_axis(np.pi * 10 * 20, np.sqrt(1 - 0.5**2)) == pytest.approx(40)


def test_small_cells_are_magnified_until_they_fill_the_crop() -> None:
    zoom = fitted(MIXED)
    assert zoom is not None
    spacing = choose_crop_spacing([MIXED])
    plain = extract_cells([MIXED], crop_spacing=spacing, modality="phase")
    cells = extract_cells([MIXED], crop_spacing=spacing, modality="phase", zoom=zoom)
    assert len(cells) == len(plain)
    areas = (cells.distance > 0).sum(axis=(1, 2)) / (plain.distance > 0).sum(axis=(1, 2))
    assert areas == pytest.approx(cells.zoom**2, rel=0.15)
    assert cells.zoom[0] == pytest.approx(zoom.most)
    assert cells.zoom[5] == pytest.approx(1, abs=0.15)


def test_pixels_never_become_finer_than_those_of_the_image() -> None:
    zoom = fitted(MIXED)
    assert zoom is not None
    assert zoom.most == pytest.approx(choose_crop_spacing([MIXED]), abs=1e-3)
    assert float(zoom.factors(1.0, 0.0)) == pytest.approx(zoom.most)


def test_cells_of_one_size_are_left_as_they_are() -> None:
    assert fitted(draw_phase([(30, 30), (31, 30), (30, 31), (29, 30)])) is None
    assert WORTH_IT > 1


def test_descriptors_tell_the_true_size_whatever_the_magnification() -> None:
    spacing = choose_crop_spacing([MIXED])
    zoom = fitted(MIXED)
    plain = describe_cells(extract_cells([MIXED], crop_spacing=spacing, modality="phase"))
    cells = extract_cells([MIXED], crop_spacing=spacing, modality="phase", zoom=zoom)
    described = describe_cells(cells)
    assert described[:, 0] == pytest.approx(plain[:, 0], abs=0.25)
    # Whether measured on the image or on the crop, cells get the same factor.
    assert zoom_factors(described, zoom) == pytest.approx(cells.zoom, rel=0.06)
    seen = for_networks(described, cells.zoom, zoom)
    assert seen.shape == (len(cells), 6)
    assert np.exp(seen[:, 5]) == pytest.approx(cells.zoom, rel=1e-5)
    area = 800 * np.exp(seen[:, 0] / 2)
    assert area == pytest.approx((cells.distance > 0).sum(axis=(1, 2)), rel=0.1)


def test_without_magnification_networks_are_told_the_descriptors() -> None:
    described = np.ones((3, 5), dtype=np.float32)
    assert for_networks(described, zoom_factors(described, None), None) is described
    assert zoom_factors(described, None).tolist() == [1, 1, 1]
