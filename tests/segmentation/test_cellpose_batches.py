from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.segmentation.base import TrainingSource
from cytocascade.segmentation.cellpose_batches import Pool, content_key, make_batch
from cytocascade.segmentation.flows import FlowCache
from cytocascade.types import AnnotatedImage

from . import conftest
from .conftest import balls, discs

pytest.importorskip("cellpose")

TINY = conftest.TINY.model_copy(update={"batch": 2})
FLOWS = FlowCache(None, "3")


def pools(*images: AnnotatedImage, share: float = 1.0) -> list[Pool]:
    return [Pool.of(TrainingSource(images, share), TINY)]


def test_crops_and_targets_have_the_layout_of_cellpose() -> None:
    images, targets = make_batch(pools(discs()), TINY, 12.0, FLOWS, 0)
    assert (images.shape, images.dtype) == ((2, 2, 32, 32), np.float32)
    assert (targets.shape, targets.dtype) == ((2, 3, 32, 32), np.float32)
    assert not images[:, 1].any()
    inside = targets[:, 0] > 0.99
    assert 0.1 < inside.mean() < 0.6
    assert images[:, 0][inside].mean() > images[:, 0][targets[:, 0] == 0].mean() + 0.5
    assert not targets[:, 1:].transpose(0, 2, 3, 1)[targets[:, 0] == 0].any()


def test_a_seed_gives_the_same_crops_every_time() -> None:
    one, same, other = (make_batch(pools(discs(), discs(1)), TINY, 12.0, FLOWS, seed) for seed in (5, 5, 6))
    assert np.array_equal(one[0], same[0])
    assert np.array_equal(one[1], same[1])
    assert not np.array_equal(one[0], other[0])


def test_flows_are_turned_with_their_cells() -> None:
    options = TINY.model_copy(update={"batch": 20})
    _, targets = make_batch(pools(discs()), options, 12.0, FLOWS, 1)
    inwards = np.stack(np.gradient(targets[:, 0], axis=(1, 2)), axis=1)
    outline = np.hypot(*np.moveaxis(inwards, 1, 0)) > 0.3
    along = (inwards * targets[:, 1:]).sum(axis=1)[outline]
    assert (along >= 0).all()
    assert (along > 0.1).mean() > 0.5


def test_shares_hold_within_every_batch() -> None:
    dark = discs(cells=False)
    sources = [replace(pools(discs())[0], share=0.75), Pool(pools(discs(), dark)[0].images[1:], 0.25)]
    options = TINY.model_copy(update={"batch": 8})
    for seed in range(5):
        _, targets = make_batch(sources, options, 12.0, FLOWS, seed)
        assert targets[:, 0].any(axis=(1, 2)).sum() == 6


def odd_images() -> dict[str, AnnotatedImage]:
    plain = discs()
    one_cell = np.where(plain.labels == 5, plain.labels, 0).astype(np.uint16)
    return {
        "smaller than a crop": replace(plain, image=plain.image[:20, :25], labels=plain.labels[:20, :25]),
        "a few pixels": replace(plain, image=plain.image[8:13, 8:14], labels=plain.labels[8:13, 8:14]),
        "one cell": replace(plain, labels=one_cell),
        "constant": replace(plain, image=np.full_like(plain.image, 7)),
        "uint8": replace(plain, image=(plain.image / 4).astype(np.uint8)),
        "float32": replace(plain, image=(plain.image / 1e6).astype(np.float32)),
        "large labels": replace(plain, labels=plain.labels.astype(np.uint32) * 70_000),
        "volume": balls(),
    }


@pytest.mark.parametrize("kind", odd_images())
def test_images_of_every_kind_can_be_cut(kind: str) -> None:
    images, targets = make_batch(pools(odd_images()[kind]), TINY, 12.0, FLOWS, 3)
    assert np.isfinite(images).all()
    assert np.isfinite(targets).all()
    assert targets[:, 0].any()
    assert images.any() == (kind != "constant")


def test_images_without_cells_give_empty_targets() -> None:
    found = Pool(pools(discs(), discs(1, cells=False))[0].images[1:], 1.0)
    images, targets = make_batch([found], TINY, 12.0, FLOWS, 0)
    assert images.any()
    assert not targets.any()


def test_the_key_depends_on_all_that_is_learned_from() -> None:
    first = discs()
    changed = first.labels.copy()
    changed[0, 0] = 1
    brighter = first.image.copy()
    brighter[5:, 5] += 50
    keys = [
        content_key(one)
        for one in (
            pools(first),
            pools(first, first),
            pools(first, share=0.5),
            pools(replace(first, labels=changed)),
            pools(replace(first, image=brighter)),
        )
    ]
    assert len(set(keys)) == 5
    assert content_key(pools(discs())) == keys[0]
