import numpy as np
import pytest
import torch

from cytocascade.shapes.bank import (
    ShapeExamples,
    cell_scalars,
    example,
    in_canonical_cube,
    shape_batches,
    turn_views,
)
from cytocascade.shapes.canonical import rotate_masks
from cytocascade.shapes.solids import Roughness, blob_solid, deformed, draw_blob, draw_deformation


@pytest.fixture(scope="module")
def blob():
    return blob_solid({**draw_blob(np.random.default_rng(4), Roughness(0.03, 0.6)), "axes": [1.0, 0.7, 0.5]})


@pytest.fixture(scope="module")
def examples(blob):
    other = blob_solid(draw_blob(np.random.default_rng(5), Roughness(0.05, 0.6)))
    return ShapeExamples.join([example(blob, micrometres=10.0), example(other, kind=1)])


def agreement(a, b):
    return float((a & b).sum() / (a | b).sum())


def test_the_cube_holds_the_whole_cell(blob):
    distance, _, ratio, extent = in_canonical_cube(blob)
    for axis in range(3):
        assert (distance.take([0, -1], axis=axis) < 0).all()
    assert ratio == pytest.approx(0.5, abs=0.1)
    assert extent == pytest.approx(1.6, rel=0.15)


def test_the_mask_is_the_projection_of_the_shape(blob):
    distance, mask, *_ = in_canonical_cube(blob)
    area = (distance.max(axis=0) > 0).sum() * (2 / 47) ** 2
    assert (mask > 0).sum() * (2 / 64) ** 2 == pytest.approx(area, rel=0.03)


@pytest.mark.parametrize("mirror", [False, True])
def test_turning_views_and_mask_is_turning_the_cell(blob, mirror):
    still = {**draw_deformation(np.random.default_rng(0), strength=0.0), "turn": 3 * 2 * np.pi / 16, "mirror": mirror}
    as_is, turned = example(blob), example(deformed(blob, still))
    views = turn_views(as_is.views.float(), torch.tensor([3]), torch.tensor([mirror]))
    mask = rotate_masks(as_is.mask.float(), torch.tensor([3 * 2 * torch.pi / 16]), torch.tensor([mirror]))
    assert agreement(mask > 0, turned.mask > 0) > 0.93
    assert agreement(views[:, :, 0] > 0, turned.views[:, :, 0] > 0) > 0.93
    wrong = turn_views(as_is.views.float(), torch.tensor([13]), torch.tensor([mirror]))
    assert agreement(wrong[:, :, 0] > 0, turned.views[:, :, 0] > 0) < 0.9


def test_a_step_always_gives_the_same_batch(examples):
    batches = shape_batches(examples, batch=4, painted=3, seed=7)
    one, two, other = batches(5), batches(5), batches(6)
    assert torch.equal(one.target, two.target)
    assert torch.equal(one.condition.views, two.condition.views)
    assert not torch.equal(one.target, other.target)


def test_the_loss_is_taken_over_the_painted_views_only(examples):
    batch = shape_batches(examples, batch=4, painted=3, seed=7)(0)
    assert batch.target.shape == (4, 16, 3, 32, 32)
    counted = batch.weight.amax(dim=(2, 3, 4)) > 0
    assert (counted.sum(dim=1) == 3).all()
    assert counted.gather(1, batch.condition.views).all()


def test_unknown_sizes_are_not_told():
    scalars = cell_scalars(
        torch.tensor([12.0, float("nan"), 24.0]), torch.tensor([0.6, 0.6, 1.2]), torch.tensor([True, True, False])
    )
    assert scalars[:, 1].tolist() == [1.0, 0.0, 0.0]
    assert scalars[1:, 0].tolist() == [0.0, 0.0]
    assert scalars[0, 0] == pytest.approx(0.0)
    assert scalars[2, 2] > scalars[0, 2]
