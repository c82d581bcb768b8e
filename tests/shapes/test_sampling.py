from __future__ import annotations

import numpy as np
import pytest
import torch

from cytocascade.shapes.multiview import MultiViewDenoiser
from cytocascade.shapes.sampling import CELLS_TOGETHER, draw_ratios, frame_masks, sample_views
from cytocascade.shapes.statistics import ShapeStatistics
from cytocascade.types import FloatArray


def ellipses(*axes: tuple[float, float]) -> FloatArray:
    """Return signed distances of ellipses with semi-axes (y, x) in pixels, (n, 64, 64)."""
    y, x = np.mgrid[:64, :64] - 31.5
    return np.stack([(1 - np.hypot(y / a, x / b)) * min(a, b) for a, b in axes]).astype(np.float32)


MASKS = ellipses((12, 20), (16, 16), (8, 24))


def test_masks_are_framed_by_their_own_size_and_height() -> None:
    framed = frame_masks(MASKS, 0.25, np.array([0.5, 0.5, 0.5]))
    assert framed.mask.shape == (3, 64, 64)
    assert framed.mask.dtype == torch.float32
    assert framed.ratios.dtype == np.float32
    assert [frame.extent for frame in framed.frames] == pytest.approx([10, 8, 12], abs=0.3)
    # All of a mask lies in its cube, most of which it fills.
    for one in framed.mask.numpy():
        rows, columns = np.nonzero(one > 0)
        assert 0 < min(rows.min(), columns.min()) <= max(rows.max(), columns.max()) < 63
        assert max(np.ptp(rows), np.ptp(columns)) > 40


def test_every_mask_may_have_a_spacing_of_its_own() -> None:
    framed = frame_masks(MASKS[:2], [0.25, 0.5], np.array([0.5, 0.5]))
    assert [frame.extent for frame in framed.frames] == pytest.approx([10, 16], abs=0.6)
    # The canonical cube does not know micrometres.
    alike = frame_masks(MASKS[1:2], 0.25, np.array([0.5]))
    assert torch.allclose(framed.mask[1], alike.mask[0], atol=1e-5)


def test_no_masks_make_no_frames() -> None:
    framed = frame_masks(MASKS[:0], 0.25, np.zeros(0))
    assert framed.mask.shape == (0, 64, 64)
    assert framed.frames == []


def test_every_mask_needs_a_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        frame_masks(MASKS, 0.25, np.array([0.5, 0.5]))


def test_heights_are_drawn_for_the_size_in_micrometres() -> None:
    statistics = ShapeStatistics(extents=[5.0] * 20 + [20.0] * 20, ratios=[1.0] * 20 + [0.3] * 20)
    small = draw_ratios(statistics, MASKS[1:2], 0.15, [1], size_known=True)
    large = draw_ratios(statistics, MASKS[1:2], 0.6, [1], size_known=True)
    assert (float(small[0]), float(large[0])) == pytest.approx((1.0, 0.3), rel=0.2)
    both = draw_ratios(statistics, MASKS[[1, 1]], [0.15, 0.6], [1, 1], size_known=True)
    assert both.tolist() == [small[0], large[0]]
    # Where the size is unknown it does not count.
    blind = [draw_ratios(statistics, MASKS[1:2], step, [1], size_known=False)[0] for step in (0.15, 0.6)]
    assert blind[0] == blind[1]


def views_of(model: MultiViewDenoiser, seeds: list[int], masks: FloatArray = MASKS, **wishes: object) -> torch.Tensor:
    ratios = np.full(len(masks), 0.5)
    return sample_views(model, frame_masks(masks, 0.25, ratios), seeds, **{"steps": 2, **wishes})


def test_views_have_their_shape(tiny_shapes: MultiViewDenoiser) -> None:
    assert views_of(tiny_shapes, [1, 2, 3]).shape == (3, 16, 3, 32, 32)
    assert views_of(tiny_shapes, [], MASKS[:0]).shape == (0, 16, 3, 32, 32)


def test_the_same_seeds_give_the_same_views_whatever_the_workers(tiny_shapes: MultiViewDenoiser) -> None:
    masks = MASKS[[0, 1, 2, 0, 1, 2, 0]]
    assert len(masks) > CELLS_TOGETHER
    seeds = list(range(7))
    one, two = (views_of(tiny_shapes, seeds, masks, workers=workers) for workers in (1, 2))
    assert torch.equal(one, two)
    # The same mask with another seed is another cell.
    assert not torch.allclose(one[0], one[3], atol=1e-3)


@pytest.mark.parametrize("wishes", [{"kind": "cell"}, {"size_known": False}, {"guidance": 2.0}])
def test_what_is_known_of_the_cell_reaches_the_network(
    tiny_shapes: MultiViewDenoiser, wishes: dict[str, object]
) -> None:
    plain = views_of(tiny_shapes, [1], MASKS[:1])
    assert not torch.equal(plain, views_of(tiny_shapes, [1], MASKS[:1], **wishes))
