from __future__ import annotations

import numpy as np
import pytest

from cytocascade.evaluation.instances import instance_scores
from cytocascade.segmentation.base import SegmenterOptions, TrainingSource
from cytocascade.segmentation.cellpose import Cellpose, CellposeSegmenter
from cytocascade.segmentation.cellpose_network import cellpose_network, unchecked_sparse_tensors
from cytocascade.segmentation.cellpose_volumes import MOST_TILE, USUAL_TILE, label_volume, tile_side
from cytocascade.segmentation.training_images import normalised

from .conftest import TINY, balls

pytest.importorskip("cellpose")


@pytest.mark.parametrize(("rescale", "anisotropy"), [(1.0, 2.0), (0.75, 3.0), (1.0, 1.0)])
def test_labels_are_those_of_cellposes_own_3d_mode(rescale: float, anisotropy: float) -> None:
    net = cellpose_network(TINY, 12.0, 1).eval()
    grey = normalised(balls().image[:6, :20, :16])
    with unchecked_sparse_tensors():
        model = CellposeSegmenter(net, TINY, 12.0)._model()
        model.net_ortho = None
        given = {"min_size": 15, "max_size_fraction": 0.4}
        expected = model.eval(
            grey, channels=[0, 0], z_axis=0, do_3D=True, normalize={"normalize": False},
            diameter=TINY.diameter / rescale, anisotropy=anisotropy, **given,
        )[0]  # fmt: skip
        found = label_volume(net, grey, rescale=rescale, anisotropy=anisotropy, **given)
    assert found.shape == grey.shape
    assert expected.any()
    assert np.array_equal(found, expected)


def test_small_planes_keep_the_usual_tiles() -> None:
    assert tile_side([(100, 120), (60, 120), (60, 100)]) == USUAL_TILE


def test_a_plane_a_little_larger_than_a_tile_is_one_tile() -> None:
    assert tile_side([(250, 250), (50, 250), (50, 250)]) == 272
    assert tile_side([(500, 300)]) == 528


def test_large_planes_are_not_put_into_one_tile() -> None:
    side = tile_side([(2000, 3000)])
    assert USUAL_TILE <= side <= MOST_TILE


@pytest.mark.slow
def test_balls_are_found_after_a_short_training() -> None:
    options = SegmenterOptions(steps=60, batch=4, crop=48, diameter=12)
    segmenter = Cellpose().train([TrainingSource([balls(0), balls(1)], 1.0)], options, seed=0)
    unseen = balls(7)
    labels = segmenter.segment(unseen.image, unseen.spacing)
    assert (labels.shape, labels.dtype) == (unseen.image.shape, np.uint16)
    scores = instance_scores(unseen.labels, labels)
    assert scores.false_negatives == 0
    assert scores.false_positives <= 1
    assert scores.matched_iou / 4 > 0.7
    flat = instance_scores(unseen.labels, segmenter.segment(unseen.image, (0.5, 1.0, 1.0)))
    assert flat.matched_iou < scores.matched_iou
