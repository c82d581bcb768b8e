from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage as ndi

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.axial_statistics import (
    AxialCorrelation,
    measure_axial_correlation,
    measure_stacks,
    pool_correlations,
    texture_correlation,
    texture_share,
)
from cytocascade.types import AnnotatedStack, Array, FloatArray

SPACING = (0.5, 0.25, 0.25)
CULTURED = Path(__file__).parents[3] / "shared" / "data" / "3d-cultured-nuclei"


def cylinders(depth: int = 12, radius: float = 18.0) -> Array:
    """Two upright cells side by side, there in all slices but the first and last two."""
    y, x = np.mgrid[:48, :96]
    labels = np.zeros((depth, 48, 96), np.uint16)
    labels[2:-2, np.hypot(y - 23, x - 23) <= radius] = 1
    labels[2:-2, np.hypot(y - 23, x - 70) <= radius] = 2
    return labels


def stack_of(labels: Array, *, length: float = 1.0, noise: float = 0.0, seed: int = 0) -> FloatArray:
    """Return cells whose texture decorrelates as exp(-d^2 / (2 length^2)) along z, with dome and camera noise."""
    generator = np.random.default_rng(seed)
    depth = len(labels)
    wide = generator.standard_normal((depth + 60, *labels.shape[1:]))
    # A Gaussian of standard deviation s decorrelates with length sqrt(2) s.
    texture = ndi.gaussian_filter(wide, (length / SPACING[0] / np.sqrt(2), 0.7, 0.7))[30:-30]
    texture /= texture.std()
    x = np.arange(labels.shape[2]) / labels.shape[2]
    light = (labels > 0) * (100 + 30 * x + 15 * texture + 4 * np.arange(depth)[:, None, None])
    return np.asarray(10 + light + noise * generator.standard_normal(labels.shape), dtype=np.float32)


def test_known_decay_is_measured() -> None:
    labels = cylinders()
    found = measure_axial_correlation(stack_of(labels), labels, SPACING, reach=3.0)
    assert found is not None
    distance = np.asarray(found.distance)
    assert distance == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    assert found.correlation == pytest.approx(np.exp(-(distance**2) / 2), abs=0.09)
    assert found.texture_share == pytest.approx(1, abs=0.05)


def test_camera_noise_is_taken_out() -> None:
    labels = cylinders()
    clean, noisy = (
        measure_axial_correlation(stack_of(labels, noise=sigma), labels, SPACING, reach=2.0) for sigma in (0.0, 12.0)
    )
    assert clean is not None
    assert noisy is not None
    share = 15**2 / (15**2 + 12**2)
    assert noisy.texture_share == pytest.approx(share, abs=0.07)
    assert noisy.correlation[0] < clean.correlation[0] - 0.2
    assert noisy.noise_free == pytest.approx(clean.noise_free, abs=0.1)


def test_few_annotated_slices_tell_the_same() -> None:
    labels = cylinders(depth=24)
    image = stack_of(labels, noise=5.0)
    whole = measure_axial_correlation(image, labels, SPACING, reach=2.0)
    some = np.zeros_like(labels)
    some[[7, 16]] = labels[[7, 16]]
    sparse = measure_axial_correlation(image, some, SPACING, annotated=[7, 16], reach=2.0)
    assert whole is not None
    assert sparse is not None
    assert sparse.noise_free == pytest.approx(whole.noise_free, abs=0.12)


def test_slices_beyond_a_cell_are_no_texture_of_it() -> None:
    labels = cylinders(depth=9)
    image = stack_of(labels, length=50.0)
    some = np.where(np.arange(9)[:, None, None] == 6, labels, 0)
    found = measure_axial_correlation(image, some, SPACING, annotated=[6])
    assert found is not None
    # Cells reach from slice 2 to 6, so there are four slices below the annotated one and none above.
    assert found.distance == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert min(found.correlation) > 0.9
    assert max(found.pixels) == min(found.pixels)


def test_outlines_and_trends_do_not_count() -> None:
    labels = cylinders()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:48j, -1:1:96j]
    image = (labels > 0) * (100 + 50 * x - 30 * y**2 + rng.normal(0, 1, labels.shape))
    found = measure_axial_correlation(image, labels, SPACING)
    assert found is not None
    assert np.abs(found.correlation).max() < 0.1


def test_correlation_of_two_slices() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 40, 40))
    inside = np.ones((40, 40), dtype=bool)
    assert texture_correlation(one, 3 * one + 7, inside) == pytest.approx(1)
    assert texture_correlation(one, -one, inside) == pytest.approx(-1)
    assert texture_correlation(one, 0.6 * one + 0.8 * other, inside) == pytest.approx(0.6, abs=0.05)
    assert texture_correlation(one, np.full((40, 40), 5.0), inside) is None
    assert texture_correlation(one, other, inside & (np.arange(40) < 1)) is None


def test_share_is_extrapolated_as_a_gaussian() -> None:
    distance = np.asarray([0.5, 1.0, 1.5])
    assert texture_share(list(distance), list(0.6 * np.exp(-(distance**2) / 3))) == pytest.approx(0.6)
    assert texture_share([0.5, 1.0], [1.0, 0.2]) == 1
    assert texture_share([0.5, 1.0], [0.3, 0.4]) == pytest.approx(0.3)
    assert texture_share([0.5, 1.0], [0.5, -0.1]) == 1
    assert texture_share([0.5], [0.5]) == 1


def test_stacks_are_pooled_by_pixels() -> None:
    few = AxialCorrelation(distance=[0.5, 1.0], correlation=[0.9, 0.8], pixels=[100, 100], texture_share=1.0)
    many = AxialCorrelation(distance=[0.5, 1.0], correlation=[0.5, 0.4], pixels=[300, 300], texture_share=1.0)
    pooled = pool_correlations([few, many])
    assert pooled is not None
    assert pooled.correlation == pytest.approx([0.6, 0.5])
    assert pooled.pixels == [400, 400]
    coarse = AxialCorrelation(distance=[1.0], correlation=[0.8], pixels=[100], texture_share=1.0)
    mixed = pool_correlations([few, coarse])
    assert mixed is not None
    assert mixed.distance == [1.0]
    assert mixed.correlation == pytest.approx([0.8])
    assert pool_correlations([]) is None


def test_interpolation_starts_at_one_without_noise() -> None:
    found = AxialCorrelation(distance=[1.0, 2.0], correlation=[0.4, 0.2], pixels=[9, 9], texture_share=0.5)
    assert found.noise_free == pytest.approx([0.8, 0.4])
    assert found.at(np.asarray([0, 0.5, -1.5])) == pytest.approx([1, 0.9, 0.6])
    assert found.at(np.asarray([0, 0.5]), noise_free=False) == pytest.approx([0.5, 0.45])
    assert AxialCorrelation.model_validate_json(found.model_dump_json()) == found


def test_a_stack_of_one_slice_or_without_cells_tells_nothing() -> None:
    labels = cylinders()
    assert measure_axial_correlation(stack_of(labels)[:1], labels[:1], SPACING) is None
    assert measure_axial_correlation(stack_of(labels), np.zeros_like(labels), SPACING) is None


def test_shapes_that_differ_are_refused() -> None:
    labels = cylinders()
    with pytest.raises(CytoCascadeError, match="no stack with labels"):
        measure_axial_correlation(stack_of(labels)[:-1], labels, SPACING)


@pytest.mark.slow
@pytest.mark.skipif(not CULTURED.is_dir(), reason="needs the real stacks in ../shared/data")
def test_few_annotated_slices_of_real_stacks_tell_what_all_do() -> None:
    stacks, sparse = [], []
    for path in sorted((CULTURED / "images").glob("*.tif")):
        image, labels = tifffile.imread(path), tifffile.imread(CULTURED / "masks" / path.name)
        spacing = (0.5, 0.3788, 0.3788)
        stacks.append(AnnotatedStack(image, labels, tuple(range(len(image))), spacing, path.stem))
        some = tuple(z for z in range(3, len(image), 6) if labels[z].any())
        shown = np.where(np.isin(np.arange(len(image)), some)[:, None, None], labels, 0)
        sparse.append(AnnotatedStack(image, shown, some, spacing, path.stem))
    whole, few = measure_stacks(stacks), measure_stacks(sparse)
    assert whole is not None
    assert few is not None
    assert 0.85 < whole.noise_free[0] < 0.97
    assert few.noise_free[:6] == pytest.approx(whole.noise_free[:6], abs=0.07)
