from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.segmentation.training_images import mean_diameter, normalised, training_images
from cytocascade.types import AnnotatedImage

from .conftest import balls, discs


def test_an_image_is_normalised_exactly_as_by_cellpose() -> None:
    transforms = pytest.importorskip("cellpose.transforms")
    image = np.random.default_rng(0).gamma(2.0, 700.0, (40, 50))
    for dtype in (np.uint8, np.uint16, np.float32):
        grey = (image / 30 if dtype is np.uint8 else image).astype(dtype)
        assert np.array_equal(normalised(grey), transforms.normalize99(grey.astype(np.float32)))


def test_normalising_leaves_the_image_alone() -> None:
    image = discs().image.astype(np.float32)
    before = image.copy()
    normalised(image)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("factor", [1e-8, 1e-3, 1e8])
def test_the_range_of_floats_does_not_matter(factor: float) -> None:
    image = discs().image.astype(np.float32)
    assert np.allclose(normalised(image * np.float32(factor)), normalised(image), atol=1e-4)


def test_few_bright_pixels_on_an_empty_background_are_seen() -> None:
    image = np.zeros((100, 100), dtype=np.uint16)
    image[5:9, 5:9] = 700
    assert np.array_equal(normalised(image), image / np.float32(700))


@pytest.mark.parametrize("value", [0, 7, 0.1, 1e6])
def test_a_constant_image_becomes_zero(value: float) -> None:
    image = np.full((9, 9), value, dtype=np.float32)
    image[4, 4] *= np.float32(1 + 2e-7)  # as rounding leaves it
    assert not normalised(image).any()


def test_images_are_kept_as_one_channel_of_floats() -> None:
    (found,) = training_images([discs()], 4)
    assert (found.image.shape, found.image.dtype) == ((64, 64), np.float32)
    assert np.array_equal(found.labels, discs().labels)


def test_images_without_cells_stay_among_others() -> None:
    found = training_images([discs(), discs(1, cells=False)], 4)
    assert [bool(one.labels.any()) for one in found] == [True, False]


@pytest.mark.parametrize("images", [[], [discs(cells=False)]], ids=["none", "empty"])
def test_no_cells_at_all_are_refused(images: list[AnnotatedImage]) -> None:
    with pytest.raises(CytoCascadeError, match="no cells"):
        training_images(images, 4)
    with pytest.raises(CytoCascadeError, match="no cells"):
        mean_diameter(images)


def test_a_volume_becomes_isotropic_slices_of_three_sides() -> None:
    volume = balls(spacing=(2.0, 1.0, 1.0))
    found = training_images([volume], 4)
    shapes = [one.image.shape for one in found]
    assert set(shapes) == {(48, 48), (28, 48)}  # 14 slices, 2 pixels apart
    assert 4 <= shapes.count((48, 48)) <= 7
    assert 10 <= shapes.count((28, 48)) <= 24
    assert len(training_images([volume], 2)) > 1.5 * len(found)
    for one in found:
        assert one.labels.any()
        light = one.image.astype(np.float32)
        assert light[one.labels > 0].mean() > light[one.labels == 0].mean() + 0.5


def test_cells_are_round_in_slices_of_every_side() -> None:
    for spacing in ((2.0, 1.0, 1.0), (1.0, 1.0, 1.0)):
        for one in training_images([balls(spacing=spacing)], 3):
            rows, columns = np.nonzero(one.labels == one.labels.max())
            if rows.min() > 4 and rows.max() < len(one.labels) - 5 and np.ptp(columns) > 8:
                assert abs(np.ptp(rows) - np.ptp(columns)) <= 3


def test_slices_of_volumes_take_three_bytes_per_pixel() -> None:
    for one in training_images([balls()], 4):
        assert (one.image.dtype, one.labels.dtype) == (np.float16, np.uint8)
        assert one.image.base is None
        assert one.labels.base is None


def test_slices_keep_more_labels_than_a_byte_holds() -> None:
    labels = np.zeros((3, 150, 150), dtype=np.uint16)
    labels[:] = np.kron(np.arange(1, 901).reshape(30, 30), np.ones((5, 5), int))
    volume = AnnotatedImage(labels.copy(), labels, (1.0, 1.0, 1.0), "crowd")
    assert max(int(one.labels.max()) for one in training_images([volume], 4)) == 900


def test_outliers_stay_finite_in_slices() -> None:
    volume = balls()
    image = volume.image.astype(np.float32)
    image[7, 3, 3] = 1e9
    assert all(np.isfinite(one.image).all() for one in training_images([replace(volume, image=image)], 1))


def test_diameters_are_those_of_cellpose() -> None:
    utils = pytest.importorskip("cellpose.utils")
    one, other = discs(radius=6), discs(1, radius=8)
    expected = [utils.diameters(image.labels.astype(int))[0] for image in (one, other)]
    assert mean_diameter([one]) == pytest.approx(expected[0])
    assert mean_diameter([one, other, discs(cells=False)]) == pytest.approx(np.mean(expected))


def test_the_diameter_of_a_ball_is_that_of_its_widest_slice() -> None:
    assert mean_diameter([balls()]) == pytest.approx(12, abs=0.7)


def test_diameters_do_not_depend_on_the_values_of_labels() -> None:
    image = discs()
    large = np.where(image.labels > 0, image.labels.astype(np.uint32) + np.uint32(4_000_000_000), 0).astype(np.uint32)
    assert mean_diameter([replace(image, labels=large)]) == mean_diameter([image])


def test_specks_count_as_cells_of_five_pixels() -> None:
    labels = np.zeros((9, 9), dtype=np.uint16)
    labels[4, 4] = 1
    assert mean_diameter([AnnotatedImage(labels, labels, (1.0, 1.0), "speck")]) == 5
