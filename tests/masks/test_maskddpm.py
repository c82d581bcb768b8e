from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from cytocascade.cascade import Cascade
from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import CROP_MARGIN, CROP_SIZE, signed_distance
from cytocascade.images.descriptors import describe_shape
from cytocascade.masks.maskddpm import MAX_ATTEMPTS, clean_mask, mask_batches, sample_masks
from cytocascade.masks.representation import FIELD_SIZE
from cytocascade.types import BoolArray, FloatArray

SIDE = CROP_SIZE + 2 * CROP_MARGIN


def disc(radius: float, centre: tuple[float, float] = (31.5, 31.5), side: int = CROP_SIZE) -> BoolArray:
    y, x = np.mgrid[:side, :side]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def distance_of(mask: BoolArray) -> FloatArray:
    return signed_distance(mask, (1.0, 1.0))


def test_whole_cell_is_kept_as_it_is() -> None:
    mask = disc(15)
    found = clean_mask(distance_of(mask))
    assert found is not None
    assert found.dtype == np.float32
    assert np.array_equal(found > 0, mask)
    near = np.abs(distance_of(mask)) < 3
    assert np.allclose(found[near], distance_of(mask)[near], atol=0.1)


def test_empty_mask_is_refused() -> None:
    assert clean_mask(np.full((64, 64), -3.0, np.float32)) is None


def test_tiny_mask_is_refused() -> None:
    assert clean_mask(distance_of(disc(1.5))) is None


def test_two_cells_are_refused() -> None:
    assert clean_mask(distance_of(disc(9, (20, 20)) | disc(9, (44, 44)))) is None


def test_cells_that_meet_at_a_corner_only_are_two() -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[10:30, 10:30] = mask[30:50, 30:50] = True
    assert clean_mask(distance_of(mask)) is None


def test_speck_is_removed() -> None:
    mask = disc(15)
    dirty = mask.copy()
    dirty[3:5, 3:5] = True
    found = clean_mask(distance_of(dirty))
    assert found is not None
    assert np.array_equal(found > 0, mask)


def test_pin_hole_is_filled() -> None:
    mask = disc(15)
    dirty = mask.copy()
    dirty[31:33, 31:33] = False
    found = clean_mask(distance_of(dirty))
    assert found is not None
    assert np.array_equal(found > 0, mask)


def test_large_hole_is_refused() -> None:
    assert clean_mask(distance_of(disc(15) & ~disc(5))) is None


@pytest.mark.parametrize("centre", [(10, 31), (53, 31), (31, 10), (31, 53)])
def test_cell_at_the_border_of_the_crop_is_refused(centre: tuple[float, float]) -> None:
    assert clean_mask(distance_of(disc(12, centre))) is None


@pytest.fixture
def crops() -> tuple[FloatArray, FloatArray]:
    """Return signed distances and shape descriptors of four discs."""
    radii = [12.0, 15.0, 18.0, 21.0]
    centre = ((SIDE - 1) / 2,) * 2
    distance = np.stack([distance_of(disc(radius, centre, SIDE)) for radius in radii])
    shape = np.asarray([[2 * np.log(np.pi * r * r / 800), 0.0, 0.0] for r in radii], dtype=np.float32)
    return distance, shape


def test_batch_is_a_pure_function_of_the_step(crops: tuple[FloatArray, FloatArray]) -> None:
    one, other = (mask_batches(*crops, None, batch=6, seed=3) for _ in range(2))
    assert torch.equal(one(5).target, other(5).target)
    one(0)
    assert torch.equal(one(5).target, other(5).target)
    assert not torch.equal(one(5).target, one(6).target)
    assert not torch.equal(one(5).target, mask_batches(*crops, None, batch=6, seed=4)(5).target)


def test_batch_has_the_shape_that_the_network_wants(crops: tuple[FloatArray, FloatArray]) -> None:
    batch = mask_batches(*crops, [0, 1, 0, 1], batch=6, seed=3)(0)
    assert batch.target.shape == batch.weight.shape == (6, 1, FIELD_SIZE, FIELD_SIZE)
    assert batch.condition.scalars is not None
    assert batch.condition.scalars.shape == (6, 3)
    assert batch.condition.style is not None
    assert set(batch.condition.style.tolist()) <= {0, 1}
    assert float(batch.target.abs().max()) <= 1


def test_size_of_a_deformed_cell_follows_its_area(crops: tuple[FloatArray, FloatArray]) -> None:
    batch = mask_batches(*crops, None, batch=64, seed=0)(0)
    assert batch.condition.scalars is not None
    area = 4 * (batch.target > 0).sum(dim=(1, 2, 3)).float()
    wanted = 800 * torch.exp(batch.condition.scalars[:, 0] / 2)
    assert float((area / wanted - 1).abs().mean()) < 0.06


def test_only_picked_cells_are_in_the_batch(crops: tuple[FloatArray, FloatArray]) -> None:
    pick = np.asarray([0, 0, 1, 0], dtype=np.float32)
    batch = mask_batches(*crops, [5, 6, 7, 8], batch=16, seed=0, pick=pick)(0)
    assert batch.condition.style is not None
    assert set(batch.condition.style.tolist()) == {7}


def test_caller_s_descriptors_are_not_changed(crops: tuple[FloatArray, FloatArray]) -> None:
    before = crops[1].copy()
    mask_batches(*crops, None, batch=6, seed=3)(0)
    assert np.array_equal(crops[1], before)


def test_untrained_network_is_told_in_words() -> None:
    config = DenoiserConfig(
        size=FIELD_SIZE, scalars=3, widths=(8, 16), stem_width=4, groups=4, layers=1, attention=False
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Denoiser(config).eval()
    with pytest.raises(CytoCascadeError, match=f"no whole cells after {MAX_ATTEMPTS} attempts") as caught:
        sample_masks(model, range(3), np.zeros((3, 3), np.float32), steps=2)
    assert "not trained enough" in str(caught.value)


def test_no_wish_gives_no_mask(nuclei: Cascade) -> None:
    found = sample_masks(nuclei.bundle.masks, [], np.zeros((0, 3), np.float32))
    assert found.distance.shape == (0, CROP_SIZE, CROP_SIZE)
    assert (found.drawn, found.rejected) == (0, 0)


@pytest.mark.parametrize("conditioned", [True, False])
def test_shipped_network_draws_single_whole_cells(nuclei: Cascade, conditioned: bool) -> None:
    shape = np.zeros((8, 3), np.float32) if conditioned else None
    found = sample_masks(nuclei.bundle.masks, range(8), shape, steps=8)
    assert found.drawn == 8 + found.rejected
    for distance in found.distance:
        mask = distance > 0
        assert ndi.label(mask)[1] == 1
        assert np.array_equal(ndi.binary_fill_holes(mask), mask)
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
        assert mask.sum() >= 12


def test_shipped_network_draws_the_wished_size(nuclei: Cascade) -> None:
    shape = np.zeros((8, 3), np.float32)
    shape[:4, 0], shape[4:, 0] = -1.0, 0.8
    area = (sample_masks(nuclei.bundle.masks, range(8), shape, steps=8).distance > 0).sum(axis=(1, 2))
    assert np.allclose(area, 800 * np.exp(shape[:, 0] / 2), rtol=0.25)
    assert area[:4].max() < area[4:].min()


def test_masks_do_not_depend_on_the_number_of_workers(nuclei: Cascade) -> None:
    shape = np.zeros((3, 3), np.float32)
    one, two = (sample_masks(nuclei.bundle.masks, range(3), shape, steps=3, workers=w) for w in (1, 2))
    assert np.array_equal(one.distance, two.distance)


def test_finer_samples_are_diffused_as_finer_fields() -> None:
    y, x = (np.mgrid[:192, :192] - 95.5) / 2
    fine = (np.asarray([12.0, 16.0])[:, None, None] - np.hypot(y, x)).astype(np.float32)
    shape = np.stack([describe_shape(one > 0) for one in fine[:, 32:-32, 32:-32]])
    batch = mask_batches(fine, shape, None, batch=24, seed=0)(0)
    assert batch.target.shape == (24, 1, 2 * FIELD_SIZE, 2 * FIELD_SIZE)
    assert batch.condition.scalars is not None
    area = (batch.target > 0).sum(dim=(1, 2, 3)).float()
    wanted = 800 * torch.exp(batch.condition.scalars[:, 0] / 2)
    assert float((area / wanted - 1).abs().mean()) < 0.06


def test_distances_of_finer_masks_are_in_canonical_pixels() -> None:
    y, x = (np.mgrid[:128, :128] - 63.5) / 2
    # Truncated, as the network's own are.
    found = clean_mask(np.clip(20.0 - np.hypot(y, x), -8, 8).astype(np.float32))
    assert found is not None
    assert found.max() == pytest.approx(20, abs=0.6)
    assert np.abs(found - (20.0 - np.hypot(y, x)))[np.abs(found) < 10].max() < 0.8
