from __future__ import annotations

import numpy as np
import pytest

from cytocascade.pictures import MARGIN, PAPER, label_colours
from cytocascade.types import Array
from cytocascade.volume_pictures import surface_picture, volume_sheet

SPACING = (2.0, 0.5, 0.5)


def blocks(shape: tuple[int, int, int], *boxes: tuple[slice, slice, slice]) -> Array:
    labels = np.zeros(shape, dtype=np.uint16)
    for label, box in enumerate(boxes, start=1):
        labels[box] = label
    return labels


@pytest.fixture(scope="module")
def labels() -> Array:
    return blocks((8, 48, 64), np.s_[2:6, 10:30, 8:28], np.s_[3:5, 20:40, 36:56])


@pytest.fixture(scope="module")
def image(labels: Array) -> Array:
    noise = np.random.default_rng(0).integers(0, 20, labels.shape)
    return (100 + noise + 200 * (labels > 0)).astype(np.uint16)


def hue(colour: Array) -> Array:
    """Return a colour without its brightness."""
    values = np.asarray(colour, dtype=np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-9)


def seen(picture: Array, label: int, most: int = 2) -> Array:
    """Return where a picture shows a label, by its hue, however it is lit; captions and the image are grey."""
    known = hue(label_colours(np.arange(most + 1)))
    coloured = np.ptp(picture.astype(int), axis=-1) > 45
    nearest = np.argmax(hue(picture) @ known[1:].T, axis=-1) + 1
    return np.asarray(coloured & (nearest == label))


def extent(mask: Array, axis: int) -> int:
    where = np.flatnonzero(mask.any(axis=1 - axis))
    return int(where[-1] - where[0] + 1)


def test_a_sheet_is_a_picture_in_colours_of_the_labels(image: Array, labels: Array) -> None:
    sheet = volume_sheet(image, labels, SPACING, title="Volume", width=100)
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    assert sheet.shape[2] == 3
    assert tuple(sheet[0, 0]) == PAPER
    for label in (1, 2):
        assert seen(sheet, label).sum() > 300


def test_planes_are_shown_at_their_true_proportions(image: Array, labels: Array) -> None:
    # The coloured column: 32 um wide and 200 pixels, so 6.25 pixels per micrometre.
    sheet = volume_sheet(image, labels, SPACING, width=200)
    first, second = seen(sheet, 1), seen(sheet, 2)
    column = np.s_[:, MARGIN + 205 : MARGIN + 2 * 200 + 20]
    rows = first[column].any(axis=1)
    edges = np.flatnonzero(np.diff(np.r_[False, rows, False].astype(int)))
    heights = (edges[1::2] - edges[::2]).tolist()
    # XY: 20 rows of 0.5 um. XZ: 4 planes of 2 um. YZ: 4 planes too.
    assert heights == pytest.approx([62, 50, 50], abs=3)
    part = slice(edges[0], edges[1])
    assert extent(first[column][part], 1) == pytest.approx(62, abs=3)
    assert extent(second[column][slice(edges[2], edges[3])], 1) == pytest.approx(62, abs=3)


def test_a_wider_plane_makes_a_larger_sheet(image: Array, labels: Array) -> None:
    small, large = (volume_sheet(image, labels, SPACING, width=width) for width in (60, 120))
    assert large.shape[1] > 1.6 * small.shape[1]
    assert large.shape[0] > small.shape[0]


def test_an_empty_volume_has_a_sheet(image: Array, labels: Array) -> None:
    sheet = volume_sheet(np.zeros_like(image), np.zeros_like(labels), SPACING, width=60)
    assert not seen(sheet, 1).any()
    assert not seen(sheet, 2).any()


def test_surfaces_are_shown_in_their_colours_on_paper(labels: Array) -> None:
    picture = surface_picture(labels, SPACING, width=160)
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (160, 3)
    assert tuple(picture[0, 0]) == PAPER
    for label in (1, 2):
        assert seen(picture, label).sum() > 200
    assert not seen(surface_picture(np.zeros_like(labels), SPACING, width=160), 1).any()


def test_from_above_the_surfaces_have_their_outlines() -> None:
    labels = blocks((8, 48, 64), np.s_[2:6, 10:30, 8:48])
    picture = surface_picture(labels, SPACING, width=128, azimuth=0.0, elevation=90.0)
    # 64 columns on 128 pixels.
    assert picture.shape[:2] == (96, 128)
    mask = seen(picture, 1, 1)
    assert (extent(mask, 0), extent(mask, 1)) == pytest.approx((40, 80), abs=3)


def test_from_the_side_the_surfaces_have_their_height() -> None:
    labels = blocks((8, 48, 64), np.s_[2:6, 10:30, 8:48])
    picture = surface_picture(labels, SPACING, width=128, azimuth=0.0, elevation=0.0)
    mask = seen(picture, 1, 1)
    # 4 pixels per micrometre: 4 planes of 2 um, 40 columns of 0.5 um.
    assert (extent(mask, 0), extent(mask, 1)) == pytest.approx((32, 80), abs=4)


@pytest.mark.parametrize("elevation", [35.0, 90.0])
def test_what_lies_behind_is_hidden(elevation: float) -> None:
    above, below = np.s_[6:7, 8:40, 8:40], np.s_[1:2, 18:30, 18:30]
    picture = surface_picture(blocks((8, 48, 48), above, below), (1.0, 1.0, 1.0), width=120, elevation=elevation)
    assert seen(picture, 1).sum() > 1000
    assert not seen(picture, 2).any()
    # Without the upper one the lower one is there.
    alone = surface_picture(blocks((8, 48, 48), np.s_[0:0, 0:0, 0:0], below), (1.0, 1.0, 1.0), width=120)
    assert seen(alone, 2).sum() > 100
