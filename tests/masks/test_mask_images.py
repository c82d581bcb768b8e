from __future__ import annotations

import numpy as np
import pytest
import torch

from cytocascade.images.cells import CROP_SIZE, signed_distance
from cytocascade.masks.mask_images import FINE, fitting_scale, largest_mask, mask_area, on_crop, to_picture
from cytocascade.types import BoolArray, FloatArray


def disc(side: int, radius: float, centre: tuple[float, float] | None = None) -> BoolArray:
    y, x = np.mgrid[:side, :side]
    cy, cx = centre or ((side - 1) / 2, (side - 1) / 2)
    return (y - cy) ** 2 + (x - cx) ** 2 <= radius**2


def white(mask: BoolArray) -> FloatArray:
    return mask.astype(np.float32)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_pictures_lead_back_to_the_mask(size: int) -> None:
    mask = disc(CROP_SIZE, 15.5, (30, 33))
    distance = signed_distance(mask, (1.0, 1.0))
    picture = to_picture(torch.as_tensor(distance)[None, None], size)[0, 0]
    assert picture.shape == (size, size)
    assert (float(picture.min()), float(picture.max())) == (-1, 1)
    outline = largest_mask((picture.numpy() + 1) / 2)
    assert outline is not None
    back = on_crop(outline, size, CROP_SIZE / size)
    assert back is not None
    assert (back > 0).sum() == pytest.approx(mask.sum(), rel=0.06)
    # In the middle of the crop.
    assert np.argwhere(back > 0).mean(axis=0) == pytest.approx([31.5, 31.5], abs=0.6)


@pytest.mark.parametrize("size", [32, 64, 256, 300])
def test_area_is_counted_in_pixels_of_the_picture(size: int) -> None:
    mask = disc(size, 0.3 * size)
    outline = largest_mask(white(mask))
    assert outline is not None
    assert outline.shape[0] % size == 0
    assert outline.shape[0] >= FINE
    assert mask_area(outline, size) == pytest.approx(mask.sum(), rel=0.03)
    assert outline.max() == pytest.approx(0.3 * size, rel=0.1)


def test_largest_region_is_taken_and_its_holes_are_filled() -> None:
    mask = disc(64, 15, (25, 30))
    outline = largest_mask(white((mask & ~disc(64, 6, (25, 30))) | disc(64, 4, (52, 52))))
    assert outline is not None
    assert np.array_equal(outline[2::4, 2::4] > 0, mask)


@pytest.mark.parametrize("dark", [0.0, 0.49])
def test_black_pictures_hold_no_cell(dark: float) -> None:
    assert largest_mask(np.full((64, 64), dark, np.float32)) is None


def test_specks_are_no_cells() -> None:
    assert largest_mask(white(disc(64, 1.2))) is None


@pytest.mark.parametrize("centre", [(8, 31), (31, 55)])
def test_cells_at_the_border_are_refused(centre: tuple[float, float]) -> None:
    assert largest_mask(white(disc(64, 12, centre))) is None


def test_black_cells_on_white_are_refused() -> None:
    assert largest_mask(white(~disc(64, 12))) is None


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_masks_are_scaled(scale: float) -> None:
    outline = largest_mask(white(disc(64, 12)))
    assert outline is not None
    found = on_crop(outline, 64, scale)
    assert found is not None
    assert (found.dtype, found.shape) == (np.float32, (CROP_SIZE, CROP_SIZE))
    assert (found > 0).sum() == pytest.approx(np.pi * 12**2 * scale**2, rel=0.04)
    assert found.max() == pytest.approx(12 * scale, abs=2)


def test_masks_that_do_not_fit_are_refused() -> None:
    outline = largest_mask(white(disc(64, 12)))
    assert outline is not None
    assert on_crop(outline, 64, 3.0) is None
    assert fitting_scale(outline, 64) == pytest.approx(60 / 24, rel=0.05)
    assert on_crop(outline, 64, fitting_scale(outline, 64)) is not None
