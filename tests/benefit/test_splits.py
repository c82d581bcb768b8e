"""Which images are learned from, and which are tested on."""

import numpy as np
import pytest

from cytocascade.benefit.options import Arm, BenefitOptions, Budget
from cytocascade.benefit.splits import cell_count, split_images, window
from cytocascade.errors import CytoCascadeError
from cytocascade.types import AnnotatedImage


def drawn(name: str, cells: int, side: int = 120, depth: int | None = None) -> AnnotatedImage:
    labels = np.zeros((side, side), dtype=np.uint16)
    columns = int(np.ceil(np.sqrt(cells)))
    pitch = side // columns
    for number in range(cells):
        row, column = divmod(number, columns)
        labels[row * pitch + 1 : row * pitch + pitch - 2, column * pitch + 1 : column * pitch + pitch - 2] = number + 1
    if depth is not None:
        labels = np.repeat(labels[None], depth, axis=0)
    image = (labels > 0).astype(np.uint8) * 100
    return AnnotatedImage(image, labels, (1.0,) * labels.ndim, name)


def names(images) -> list[str]:
    return [image.name for image in images]


def split(count: int, budget: str, **given):
    images = [drawn(f"{i:03d}", 9 + i) for i in range(count)]
    settings = {"ordered": False, "test_fraction": 0.5, "seed": 0, "validate": False} | given
    return split_images(images, Budget.parsed(budget), **settings)


def test_no_image_is_both_learned_from_and_tested_on():
    for given in ({}, {"ordered": True}, {"validate": True}, {"test_fraction": 0.3}):
        found = split(16, "2", **given)
        learned = {*names(found.pool), *names(found.budget)}
        assert not learned & set(names(found.test))
        assert not set(names(found.budget)) & set(names(found.validation))


def test_videos_are_tested_on_their_last_frames():
    found = split(10, "1", ordered=True, test_fraction=0.4)
    assert names(found.test) == ["006", "007", "008", "009"]


def test_every_image_is_tested_on_or_may_be_learned_from():
    found = split(11, "1")
    assert sorted(names(found.test) + names(found.pool)) == [f"{i:03d}" for i in range(11)]


def test_validation_images_are_left_out_of_all_training_only_where_they_are_scored():
    tuning, final = split(16, "2", validate=True), split(16, "2")
    assert not set(names(tuning.validation)) & set(names(tuning.pool))
    assert set(names(final.validation)) <= set(names(final.pool))
    assert names(tuning.budget) == names(final.budget)
    assert names(tuning.test) == names(final.test)


def test_a_budget_of_cells_is_a_window_with_about_so_many():
    images = [drawn(f"{i}", 100, side=300) for i in range(4)]
    found = split_images(images, Budget(cells=20), ordered=False, test_fraction=0.5, seed=1, validate=False)
    (taken,) = found.budget
    assert "[" in taken.name
    assert abs(cell_count(taken.labels) - 20) <= 12
    assert taken.labels.max() == cell_count(taken.labels)


def test_a_window_shows_the_same_pixels_as_its_image():
    image = drawn("a", 100, side=300)
    noisy = np.random.default_rng(0).integers(0, 255, image.image.shape).astype(np.uint8)
    cut = window(AnnotatedImage(noisy, image.labels, (1.0, 1.0), "a"), 20, seed=3)
    rows, columns = (slice(*map(int, side.split(":"))) for side in cut.name[2:-1].split(","))
    assert np.array_equal(cut.image, noisy[rows, columns])
    assert np.array_equal(cut.labels > 0, image.labels[rows, columns] > 0)


def test_the_same_seed_cuts_the_same_window_and_another_one_another():
    image = drawn("a", 100, side=300)
    assert window(image, 20, seed=0).name == window(image, 20, seed=0).name
    assert len({window(image, 20, seed=seed).name for seed in range(4)}) > 1


def test_windows_of_volumes_keep_their_depth():
    cut = window(drawn("a", 100, side=200, depth=5), 20, seed=0)
    assert cut.image.shape[0] == 5
    assert max(cut.image.shape[1:]) < 200


def test_small_images_are_joined_until_there_are_enough_cells():
    images = [drawn(f"{i}", 9) for i in range(8)]
    found = split_images(images, Budget(cells=20), ordered=False, test_fraction=0.5, seed=0, validate=False)
    assert len(found.budget) >= 2
    assert 17 <= sum(cell_count(image.labels) for image in found.budget) <= 24


@pytest.mark.parametrize(
    ("count", "budget", "given", "problem"),
    [
        (1, "1", {}, "learned from and tested on"),
        (4, "3", {}, "only 2 can be learned from"),
        (4, "500cells", {}, "hold fewer"),
        (4, "1", {"validate": True}, "too few to set some aside"),
    ],
)
def test_too_few_images_are_refused(count, budget, given, problem):
    with pytest.raises(CytoCascadeError, match=problem):
        split(count, budget, **given)


@pytest.mark.parametrize("text", ["0", "-1", "many", "cells", "0cells", "1.5", ""])
def test_budgets_that_make_no_sense_are_refused(text):
    with pytest.raises(CytoCascadeError, match="no budget"):
        Budget.parsed(text)


def test_arms_are_read_from_their_names():
    assert Arm.parsed("real+synthetic@5") == Arm(name="real+synthetic@5", real="budget", source="synthetic", amount=5)
    assert Arm.parsed("simulator").real == "none"
    assert Arm.parsed("all-real").real == "all"


@pytest.mark.parametrize("name", ["", "unreal", "real+", "real+nothing", "real+synthetic@0", "synthetic+real"])
def test_arms_that_do_not_exist_are_refused(name):
    with pytest.raises(CytoCascadeError, match="no arm"):
        Arm.parsed(name)


def test_an_arm_is_given_once():
    with pytest.raises(ValueError, match="once"):
        BenefitOptions(arms=("real", "real"))
