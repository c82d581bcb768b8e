from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.benefit.clippings import (
    Move,
    completed,
    cut_cells,
    edge_falloff,
    emptied,
    moved,
    prepare_sheet,
)
from cytocascade.benefit.copy_paste import CopyPaste, copy_paste, find_place, touching_share
from cytocascade.errors import CytoCascadeError
from cytocascade.types import AnnotatedImage

Draw = Callable[..., AnnotatedImage]


@pytest.fixture(scope="module")
def pasted(drawn_images: list[AnnotatedImage]) -> CopyPaste:
    return CopyPaste(drawn_images)


def drawn_volume() -> AnnotatedImage:
    rng = np.random.default_rng(5)
    z, y, x = np.ogrid[:12, :72, :72]
    labels = np.zeros((12, 72, 72), dtype=np.uint16)
    for number, (cy, cx) in enumerate([(20, 20), (22, 52), (50, 36)], start=1):
        labels[((z - 6) / 3.2) ** 2 + ((y - cy) / 9) ** 2 + ((x - cx) / 7) ** 2 <= 1] = number
    light = ndi.gaussian_filter(np.where(labels > 0, 120.0, 0.0), (0.5, 1, 1))
    image = np.clip(20 + light + rng.normal(0, 3, labels.shape), 0, 255).astype(np.uint8)
    return AnnotatedImage(image, labels, (1.0, 0.5, 0.5), "volume", spacing_known=True)


def is_a_cell_whole(labels: np.ndarray) -> bool:
    return all(ndi.label(labels == number)[1] == 1 for number in range(1, int(labels.max()) + 1))


def test_same_seed_and_index_give_the_same_bytes(drawn_images: list[AnnotatedImage], pasted: CopyPaste) -> None:
    pasted.make(7, seed=4)
    one, other = copy_paste(drawn_images, 2, seed=4), pasted.make(2, seed=4)
    assert one.image.tobytes() == other.image.tobytes()
    assert one.labels.tobytes() == other.labels.tobytes()


def test_other_index_or_seed_gives_another_image(pasted: CopyPaste) -> None:
    assert len({pasted.make(index, seed=seed).image.tobytes() for index in (0, 1, 2) for seed in (1, 2)}) == 6


def test_params_are_json_and_bring_the_image_back(pasted: CopyPaste) -> None:
    params = pasted.draw(3, seed=1)
    again = json.loads(json.dumps(params, allow_nan=False))
    assert pasted.render(again).image.tobytes() == pasted.make(3, seed=1).image.tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_have_dtype_range_and_labels_of_the_real_ones(draw_image: Draw, dtype: type) -> None:
    real = draw_image(3, light=120.0, background=40.0)
    real = replace(real, image=real.image.astype(dtype))
    for index in (0, 1):
        made = copy_paste([real], index, seed=0)
        assert made.image.dtype == dtype
        assert made.image.shape == made.labels.shape == real.image.shape
        assert np.unique(made.labels).tolist() == list(range(int(made.labels.max()) + 1))
        # As bright as the real cells, give or take the drawn gains.
        assert made.image[made.labels > 0].mean() == pytest.approx(real.image[real.labels > 0].mean(), rel=0.25)


def test_cells_are_added_to_a_real_image_that_stays_as_it_is(pasted: CopyPaste) -> None:
    params = pasted.draw(4, seed=9)
    made = pasted.render(params)
    base, move = pasted.sheets[params["base"]].source, params["base_move"]

    def turned(values: np.ndarray) -> np.ndarray:
        flipped = values[:, ::-1] if move["mirrored"] else values
        return np.rot90(flipped, round(move["angle"] / 90))

    old = turned(base.labels) > 0
    assert len(np.unique(made.labels)) > len(np.unique(base.labels))
    assert (made.labels[old] > 0).all()
    assert made.labels.max() == params["count"]
    # Of the old cells' pixels only those in the rim of a pasted cell have changed.
    difference = np.abs(made.image[old].astype(float) - turned(base.image)[old])
    assert np.quantile(difference, 0.5) == 0


def test_every_second_image_is_arranged_anew(pasted: CopyPaste) -> None:
    made = pasted.make(5, seed=2)
    assert not pasted.draw(5, seed=2)["kept"]
    layouts = [np.rot90(part, k) for sheet in pasted.sheets for k in range(4) for part in _both(sheet.source.labels)]
    overlaps = [((made.labels > 0) & (labels > 0)).sum() / (labels > 0).sum() for labels in layouts]
    assert max(overlaps) < 0.7


def _both(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return labels, labels[:, ::-1]


def test_pasted_cells_have_as_much_noise_as_real_ones(pasted: CopyPaste) -> None:
    def noise(image: np.ndarray, where: np.ndarray) -> float:
        kernel = np.asarray([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6
        return float(ndi.convolve(image.astype(float), kernel)[where].std())

    real = pasted.sheets[0].source
    inside, outside = ndi.binary_erosion(real.labels > 0, iterations=3), ndi.distance_transform_edt(real.labels == 0)
    expected = noise(real.image, inside)
    for index in (1, 3):
        made = pasted.make(index, seed=6)
        away = ndi.distance_transform_edt(made.labels == 0)
        assert noise(made.image, ndi.binary_erosion(made.labels > 0, iterations=3)) == pytest.approx(expected, rel=0.3)
        for low, high in ((1, 5), (5, 40)):
            near = noise(real.image, (outside > low) & (outside <= high))
            assert noise(made.image, (away > low) & (away <= high)) == pytest.approx(near, rel=0.3)


def test_removing_cells_leaves_background_of_the_same_level_and_noise(drawn_images: list[AnnotatedImage]) -> None:
    sheet = prepare_sheet(drawn_images[0])
    empty = emptied(sheet, np.random.default_rng(0))
    cells = sheet.source.labels > 0
    away = ndi.distance_transform_edt(~cells) > 8
    assert empty[cells].mean() == pytest.approx(sheet.source.image[away].mean(), abs=4.0)
    assert empty[cells].std() == pytest.approx(sheet.source.image[away].std(), rel=0.25)


def test_a_quarter_turn_moves_pixels_and_a_free_turn_keeps_the_light(drawn_images: list[AnnotatedImage]) -> None:
    cell = cut_cells(prepare_sheet(drawn_images[0]))[0]
    exact = moved(cell, Move(90.0, mirrored=True, upside_down=False, zoom=1.0, gain=1.0))
    assert np.array_equal(exact.light, np.rot90(cell.light[:, ::-1]))
    free = moved(cell, Move(33.0, mirrored=False, upside_down=False, zoom=1.1, gain=0.5))
    inside = cell.depth > 0
    assert (free.depth > 0).sum() == pytest.approx(1.21 * inside.sum(), rel=0.05)
    assert free.light[free.depth > 0].mean() == pytest.approx(0.5 * cell.light[inside].mean(), rel=0.05)


def test_a_cell_cut_out_of_a_cluster_gets_the_rim_of_a_lonely_one(draw_image: Draw) -> None:
    image = draw_image(0)
    labels = image.labels.copy()
    cell = int(labels[64, 64])
    rows, columns = np.nonzero(labels == cell)
    split = labels.copy()
    right = np.zeros(labels.shape, dtype=bool)
    right[rows, columns] = columns > np.median(columns)
    split[right] = 99
    cells = cut_cells(prepare_sheet(replace(image, labels=split)))
    half = min(cells, key=lambda one: one.exposed)
    assert half.exposed < 0.9
    whole = completed(half, edge_falloff(cells))
    foreign = (half.own == 0) & (half.depth < -3.0)
    assert half.light[foreign].mean() > 100
    assert whole.light[foreign].mean() < 0.2 * half.light[foreign].mean()
    deep = half.depth > 4
    assert np.array_equal(whole.light[deep], half.light[deep])


def test_places_are_free_and_touching_ones_are_in_contact() -> None:
    occupied = np.zeros((80, 80), dtype=int)
    occupied[30:50, 30:50] = 1
    mask = np.ones((12, 12), dtype=bool)
    contacts = 0
    for number in range(20):
        corner = find_place(mask, occupied, np.random.default_rng(number), touching=True)
        assert corner is not None
        laid = np.zeros((120, 120), dtype=bool)
        laid[corner[0] + 20 : corner[0] + 32, corner[1] + 20 : corner[1] + 32] = True
        seen = laid[20:100, 20:100]
        assert not (seen & (occupied > 0)).any()
        contacts += bool((ndi.binary_dilation(seen, iterations=3) & (occupied > 0)).any())
    assert contacts >= 15
    assert find_place(mask, np.ones((30, 30), dtype=int), np.random.default_rng(0)) is None


def test_cells_next_to_each_other_are_counted() -> None:
    labels = np.zeros((20, 30), dtype=int)
    labels[4:8, 2:6], labels[4:8, 7:11], labels[4:8, 20:24] = 1, 2, 3
    assert touching_share(labels) == pytest.approx(2 / 3)


def test_a_smaller_image_can_be_wished_and_a_larger_one_is_refused(pasted: CopyPaste) -> None:
    assert pasted.make(0, seed=1, shape=(64, 80)).image.shape == (64, 80)
    with pytest.raises(CytoCascadeError, match="512x512"):
        pasted.make(0, seed=1, shape=(512, 512))


def test_images_without_cells_are_refused(drawn_images: list[AnnotatedImage]) -> None:
    empty = replace(drawn_images[0], labels=np.zeros_like(drawn_images[0].labels))
    for nothing in ([], [empty]):
        with pytest.raises(CytoCascadeError, match="at least one annotated cell"):
            CopyPaste(nothing)


def test_unlabelled_cells_are_not_pasted_over(draw_image: Draw) -> None:
    real = draw_image(2, unlabelled=3, sparse=True)
    whole = draw_image(2)
    hidden = (whole.labels > 0) & (real.labels == 0)
    made, params = CopyPaste([real]), None
    for index in (0, 2):
        params = made.draw(index, seed=3)
        turned = hidden[:, ::-1] if params["base_move"]["mirrored"] else hidden
        turned = np.rot90(turned, round(params["base_move"]["angle"] / 90))
        core = ndi.binary_erosion(turned, iterations=2)
        assert not (made.render(params).labels[core] > 0).any()


def test_dark_cells_in_halos_replace_the_background() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:140, :140]
    labels, image = np.zeros((140, 140), dtype=np.uint16), np.full((140, 140), 120.0)
    for number, (cy, cx) in enumerate([(30, 30), (30, 100), (100, 60), (105, 110)], start=1):
        away = np.hypot(y - cy, x - cx)
        labels[away < 12] = number
        image += 60 * np.exp(-0.5 * ((away - 14) / 1.5) ** 2) - 50 * (away < 12)
    image += rng.normal(0, 3, image.shape)
    real = AnnotatedImage(np.clip(image, 0, 255).astype(np.uint8), labels, (1.0, 1.0), "phase")
    made = CopyPaste([real])
    assert made.modality == "phase"
    for index in (0, 1):
        sample = made.make(index, seed=1)
        assert sample.image[ndi.binary_erosion(sample.labels > 0, iterations=2)].mean() < 90
        # The halo came along.
        away = ndi.distance_transform_edt(sample.labels == 0)
        assert sample.image[(away > 1.5) & (away < 3)].mean() > 140


@pytest.mark.parametrize("index", [0, 1])
def test_volumes_are_volumes_with_whole_cells_at_their_height(index: int) -> None:
    real = drawn_volume()
    made = copy_paste([real], index, seed=3)
    assert made.image.shape == real.image.shape
    assert made.image.dtype == np.uint8
    assert made.spacing == real.spacing
    assert made.labels.max() >= 2
    assert is_a_cell_whole(made.labels)
    assert made.image[made.labels > 0].mean() == pytest.approx(real.image[real.labels > 0].mean(), rel=0.25)
    heights = [np.argwhere(made.labels == number)[:, 0].mean() for number in range(1, int(made.labels.max()) + 1)]
    assert np.abs(np.asarray(heights) - 5.5).max() < 2.5
