"""Masks become as concave as wished, and stay as large and as long as wished."""

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.measure import regionprops

from cytocascade.cascade import Cascade
from cytocascade.images.cells import signed_distance
from cytocascade.images.descriptors import wished_size, wished_solidity
from cytocascade.masks.adjustment import adjust_mask
from cytocascade.masks.concavity import CLOSE, adjust_concavity
from cytocascade.masks.drawing import draw_masks
from cytocascade.types import FloatArray


def lobed(depth: float, radius: float = 15.0, lobes: int = 4) -> FloatArray:
    """Signed distance of a disc with lobes of different depth."""
    y, x = np.indices((64, 64)) - 31.5
    angle = np.arctan2(y, x)
    edge = radius * (1 + depth * np.sin(lobes * angle) + 0.3 * depth * np.sin((lobes - 1) * angle))
    return signed_distance(np.hypot(y, x) < edge, (1.0, 1.0))


def region(distance: FloatArray):
    return regionprops((distance > 0).astype(np.uint8))[0]


@pytest.mark.parametrize("wished", [0.87, 0.90, 0.96])
def test_mask_becomes_as_concave_as_wished(wished: float) -> None:
    drawn = lobed(0.14)
    before = region(drawn)
    made = adjust_concavity(drawn, before.area, before.eccentricity, wished)
    after = region(made)
    assert abs(before.solidity - wished) > 0.02
    assert abs(after.solidity - wished) < 0.012
    assert after.area == pytest.approx(before.area, rel=0.03)
    assert after.eccentricity == pytest.approx(before.eccentricity, abs=0.08)
    assert ndi.label(made > 0)[1] == 1
    assert not (made > 0)[[0, -1]].any()


def test_mask_that_is_right_is_only_brought_to_its_size() -> None:
    drawn = lobed(0.08)
    before = region(drawn)
    wish = (0.9 * before.area, before.eccentricity)
    solidity = region(adjust_mask(drawn, *wish)).solidity
    made = adjust_concavity(drawn, *wish, solidity + 0.5 * CLOSE)
    np.testing.assert_array_equal(made, adjust_mask(drawn, *wish))


def test_specks_are_left() -> None:
    drawn = lobed(0.2, radius=3.5)
    before = region(drawn)
    made = adjust_concavity(drawn, before.area, before.eccentricity, 0.7)
    np.testing.assert_array_equal(made, adjust_mask(drawn, before.area, before.eccentricity))


def test_what_cannot_be_is_left_whole() -> None:
    """No lobes make a solidity of 0.3: what comes nearest is still one cell."""
    made = adjust_concavity(lobed(0.3), 700.0, 0.5, 0.3)
    assert ndi.label(made > 0)[1] == 1
    assert region(made).solidity < region(lobed(0.3)).solidity + 0.02


def test_drawn_masks_are_as_concave_as_wished(nuclei: Cascade) -> None:
    wishes = np.zeros((10, 3), dtype=np.float32)
    wishes[:, 0] = 0.6
    wishes[:, 2] = np.linspace(-0.5, 1.0, 10)
    seeds = list(range(10))
    plain, concave = (
        draw_masks(nuclei.bundle.masks, seeds, wishes, steps=6, concave=concave) for concave in (False, True)
    )
    wanted = [wished_solidity(wish) for wish in wishes]
    before, after = (
        np.abs([region(one).solidity - solidity for one, solidity in zip(masks.distance, wanted)])
        for masks in (plain, concave)
    )
    assert after.mean() < 0.5 * before.mean()
    sizes = [region(one).area for one in concave.distance]
    np.testing.assert_allclose(sizes, [wished_size(wish)[0] for wish in wishes], rtol=0.06)
    assert (concave.drawn, concave.rejected) == (plain.drawn, plain.rejected)
