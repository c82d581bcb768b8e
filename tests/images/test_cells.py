from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import (
    CROP_MARGIN,
    CROP_SIZE,
    LARGEST_EXTENT,
    choose_crop_spacing,
    detect_modality,
    extract_cells,
    signed_distance,
)
from cytocascade.images.descriptors import describe_cells
from cytocascade.types import AnnotatedImage

SIDE = CROP_SIZE + 2 * CROP_MARGIN
CENTRES = [(30, 30), (30, 90), (90, 30), (90, 90), (150, 30), (150, 90)]


def discs(
    centres: list[tuple[float, float]] = CENTRES,
    *,
    radius: float = 12.0,
    light: float = 400.0,
    background: float = 100.0,
    shape: tuple[int, int] = (180, 120),
    spacing: tuple[float, float] = (0.5, 0.5),
    noise: float = 2.0,
    sparse: bool = False,
    unlabelled: int = 0,
) -> AnnotatedImage:
    """Return discs of a known radius in micrometres * 2, the last `unlabelled` of them without a label."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    labels = np.zeros(shape, dtype=np.uint16)
    image = np.full(shape, background) + np.random.default_rng(0).normal(0, noise, shape)
    for number, (cy, cx) in enumerate(centres):
        mask = ((y - cy) * spacing[0] * 2) ** 2 + ((x - cx) * spacing[1] * 2) ** 2 <= radius**2
        image[mask] += light
        if number < len(centres) - unlabelled:
            labels[mask] = number + 1
    return AnnotatedImage(image.astype(np.float32), labels, spacing, "discs", True, sparse)


def test_largest_cells_fill_the_crop_but_for_the_rim() -> None:
    # A disc of radius 12 px at 0.5 um is 12 um wide.
    assert choose_crop_spacing([discs()]) == pytest.approx(12.5 / LARGEST_EXTENT, rel=0.05)


def test_one_giant_does_not_shrink_all_others() -> None:
    centres = [(20 + 40 * i, 20 + 40 * j) for i in range(5) for j in range(5)]
    image = discs(centres, radius=6, shape=(300, 300))
    image.labels[200:290, 200:290] = 99
    assert choose_crop_spacing([image]) < 2.6 * choose_crop_spacing([discs(centres, radius=6, shape=(300, 300))])


def test_images_without_cells_have_no_scale() -> None:
    image = discs()
    with pytest.raises(CytoCascadeError, match="no labelled cells"):
        choose_crop_spacing([replace(image, labels=np.zeros_like(image.labels))])


def test_cells_are_cut_out_at_a_common_size() -> None:
    cells = extract_cells([discs()])
    assert len(cells) == 6
    assert cells.signal.shape == cells.distance.shape == cells.known.shape == (6, SIDE, SIDE)
    assert cells.signal.dtype == cells.distance.dtype == np.float32
    assert cells.modality == "fluorescence"
    assert not any(cells.excluded.values())


def test_area_in_the_crop_is_the_physical_area() -> None:
    cells = extract_cells([discs()])
    area = (cells.distance > 0).sum(axis=(1, 2)) * cells.crop_spacing**2
    assert np.allclose(area, np.pi * 6**2, rtol=0.03)
    assert np.allclose(cells.features["area"], np.pi * 6**2, rtol=0.03)


def test_given_scale_is_kept() -> None:
    cells = extract_cells([discs()], crop_spacing=0.4)
    assert cells.crop_spacing == 0.4
    assert np.allclose((cells.distance > 0).sum(axis=(1, 2)), np.pi * 15**2, rtol=0.06)


def test_signal_is_one_inside_and_nought_outside() -> None:
    cells = extract_cells([discs()])
    for signal, distance in zip(cells.signal, cells.distance):
        assert signal[distance > 3].mean() == pytest.approx(1, abs=0.02)
        assert signal[(distance < -4) & (distance > -12)].mean() == pytest.approx(0, abs=0.03)


def test_level_and_calibration_lead_back_to_the_intensities() -> None:
    cells = extract_cells([discs(), discs(light=800.0, background=300.0)])
    assert np.allclose(cells.level, np.repeat([400, 800], 6), rtol=0.03)
    assert cells.image.tolist() == [0] * 6 + [1] * 6
    first, second = cells.calibration
    assert (first.background, second.background) == (pytest.approx(100, abs=3), pytest.approx(300, abs=6))
    assert (first.gain, second.gain) == (pytest.approx(400, rel=0.03), pytest.approx(800, rel=0.03))
    assert first.noise == pytest.approx(2.0, rel=0.3)
    assert cells.gain.tolist() == pytest.approx([first.gain] * 6 + [second.gain] * 6)


def test_gains_that_differ_by_chance_are_drawn_together() -> None:
    rng = np.random.default_rng(0)

    def image(number: int, exposure: float) -> AnnotatedImage:
        plain = discs()
        levels = np.concatenate([[0], exposure * rng.lognormal(0, 0.6, len(CENTRES))])
        return replace(plain, image=(100 + levels[plain.labels]).astype(np.uint16), name=str(number))

    def gains(exposures: list[float]) -> np.ndarray:
        images = [image(number, exposure) for number, exposure in enumerate(exposures)]
        return np.log([entry.gain for entry in extract_cells(images, modality="fluorescence").calibration])

    assert gains([400, 400, 400, 400]).std() < 0.1
    assert gains([100, 400, 1600, 6400]).std() == pytest.approx(np.log([1, 4, 16, 64]).std(), rel=0.2)


def test_anisotropic_pixels_give_round_crops() -> None:
    centres = [(15, 30), (15, 90), (45, 30), (45, 90), (75, 30), (75, 90)]
    cells = extract_cells([discs(centres, spacing=(1.0, 0.5), shape=(90, 120))])
    assert len(cells) == 6
    inside = cells.distance > 0
    height, width = inside.any(axis=2).sum(axis=1), inside.any(axis=1).sum(axis=1)
    assert np.allclose(height / width, 1, atol=0.12)
    assert np.allclose(inside.sum(axis=(1, 2)) * cells.crop_spacing**2, np.pi * 6**2, rtol=0.08)


def test_cells_cut_by_the_frame_are_left_out_and_counted() -> None:
    cells = extract_cells([discs([*CENTRES, (0, 60), (179, 60)])])
    assert len(cells) == 6
    assert cells.excluded["cut by the frame"] == 2


def test_specks_are_left_out_and_counted() -> None:
    image = discs()
    image.labels[60:63, 60:64] = 50
    cells = extract_cells([image])
    assert len(cells) == 6
    assert cells.excluded["too small"] == 1


def test_cells_larger_than_the_crop_are_left_out_and_counted() -> None:
    image = discs()
    image.labels[:] = np.where(image.labels == 6, 0, image.labels)
    image.labels[105:178, 5:115] = np.where(image.labels[105:178, 5:115] == 0, 60, image.labels[105:178, 5:115])
    cells = extract_cells([image], crop_spacing=0.25)
    assert cells.excluded["larger than the crop"] == 1
    assert len(cells) == 5


def test_cells_that_do_not_shine_are_left_out_and_counted() -> None:
    image = discs()
    y, x = np.mgrid[:180, :120]
    image.labels[(y - 60) ** 2 + (x - 60) ** 2 <= 100] = 50
    cells = extract_cells([image])
    assert cells.excluded["no signal"] == 1
    assert len(cells) == 6


def test_too_few_cells_are_refused_with_the_reasons() -> None:
    with pytest.raises(CytoCascadeError, match=r"only 4 usable cells.*1 cut by the frame") as caught:
        extract_cells([discs([*CENTRES[:4], (0, 60)])])
    assert caught.value.hint


def test_neighbours_are_not_known() -> None:
    image = discs([(30, 30), (30, 58), *CENTRES[2:], (30, 100)])
    cells = extract_cells([image])
    first = cells.select(np.asarray([0]))
    # The neighbour lies to the right: its light must not be learned as this cell's surroundings.
    beyond = first.signal[0] > 0.5
    outside = first.distance[0] < -1
    assert (beyond & outside).any()
    assert not first.known[0][beyond & outside].any()
    assert first.known[0][first.distance[0] > 2].all()


def test_outside_of_the_frame_is_not_known() -> None:
    cells = extract_cells([discs([(14, 60), *CENTRES[2:], (60, 60)])])
    first = cells.known[0]
    assert not first[0].any()
    assert first[SIDE - 1].any()


def test_unlabelled_cells_are_known_only_if_annotation_is_complete() -> None:
    centres = [(30, 30), *CENTRES[2:], (30, 90), (30, 60)]
    complete = extract_cells([discs(centres, unlabelled=1)], crop_spacing=0.35)
    sparse = extract_cells([discs(centres, unlabelled=1, sparse=True)], crop_spacing=0.35)
    stray = (sparse.signal[0] > 0.5) & (sparse.distance[0] < -6)
    assert stray.sum() > 100
    assert not sparse.known[0][stray].any()
    assert complete.known[0][stray].mean() > 0.5
    assert sparse.known[0].mean() > 0.3


def test_sparse_background_is_not_raised_by_unlabelled_cells() -> None:
    centres = [*CENTRES, (60, 60), (120, 60), (10, 60), (170, 60)]
    cells = extract_cells([discs(centres, unlabelled=4, sparse=True)])
    assert cells.calibration[0].background == pytest.approx(100, abs=5)
    assert np.allclose(cells.level, 400, rtol=0.05)


def test_shining_cells_are_fluorescence() -> None:
    assert detect_modality([discs()]) == "fluorescence"


def test_dark_cells_are_phase_contrast() -> None:
    assert detect_modality([discs(light=-60.0)]) == "phase"


def test_phase_contrast_is_measured_in_units_of_the_image() -> None:
    image = discs(light=0.0)
    inside = image.labels > 0
    stripes = np.where(np.arange(120) % 8 < 4, 50.0, -50.0).astype(np.float32)
    image.image[inside] += np.broadcast_to(stripes, image.image.shape)[inside]
    cells = extract_cells([image])
    assert cells.modality == "phase"
    assert cells.calibration[0].gain == pytest.approx(100, rel=0.05)
    assert np.allclose(cells.level, cells.calibration[0].gain)


def test_selection_keeps_what_belongs_together() -> None:
    cells = extract_cells([discs(), discs(light=800.0)])
    chosen = cells.select(np.asarray([7, 2]))
    assert len(chosen) == 2
    assert chosen.image.tolist() == [1, 0]
    assert np.array_equal(chosen.signal[0], cells.signal[7])
    assert chosen.features["area"][1] == cells.features["area"][2]
    assert len(cells.select(cells.image == 1)) == 6


def test_signed_distance_of_a_disc_is_the_distance_to_its_outline() -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(y, x)
    found = signed_distance(radius <= 20, (1.0, 1.0))
    assert found.dtype == np.float32
    assert np.abs(found - (20 - radius)).max() < 1.0
    assert ((found > 0) == (radius <= 20)).all()


def test_signed_distance_is_in_micrometres() -> None:
    mask = np.zeros((9, 21), dtype=bool)
    mask[:, 5:16] = True
    found = signed_distance(mask, (0.5, 0.5))
    assert found[4, 10] == pytest.approx(5.5 * 0.5)
    assert found[4, 0] == pytest.approx(-4.5 * 0.5)


def test_finer_crops_show_the_same_cells_with_more_samples() -> None:
    plain, fine = (extract_cells([discs()], crop_spacing=1.0, fineness=f) for f in (1, 2))
    assert (plain.fineness, fine.fineness) == (1, 2)
    assert fine.signal.shape[-1] == 2 * SIDE
    blocks = fine.distance.reshape(len(fine), SIDE, 2, SIDE, 2).mean(axis=(2, 4))
    near = np.abs(plain.distance) < 8
    assert np.abs(blocks - plain.distance)[near].max() < 0.4
    # How large and how bright cells are does not depend on it.
    assert np.allclose(describe_cells(fine)[:, [0, 3]], describe_cells(plain)[:, [0, 3]], atol=0.1)
