from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _phase import draw_phase

from cytocascade.imaging.background import draw_background, render_debris
from cytocascade.imaging.debris import FEWEST, MOST_PIXELS, STEP, Debris
from cytocascade.imaging.statistics import fit_imaging
from cytocascade.types import AnnotatedImage

GAIN = 50.0


def littered(count: int = 20, *, contrast: float = -30.0, height: int = 240) -> AnnotatedImage:
    """Return cells in phase contrast, and `count` dark crosses of 13 pixels far below them."""
    image = draw_phase()
    above = np.pad(image.image, [(0, height), (0, 0)], constant_values=100)
    above[160:] += np.random.default_rng(1).normal(0, 1, above[160:].shape)
    for number in range(count):
        row, column = 180 + 40 * (number % 5), 60 + 200 * (number // 5)
        above[row - 3 : row + 4, column] += contrast
        above[row, column - 3 : column + 4] += contrast
    return replace(image, image=above.astype(np.float32), labels=np.pad(image.labels, [(0, height), (0, 0)]))


def test_flecks_are_kept_as_they_were_seen() -> None:
    debris = Debris.fit([littered()], [GAIN])
    assert debris is not None
    assert len(debris.flecks) == 20
    darkest = [STEP * GAIN * np.min(fleck) for fleck in debris.flecks]
    # Two bars meet in the middle.
    assert darkest == pytest.approx([-60] * 20, abs=8)
    assert all(10 <= len(fleck) <= 26 and not np.any(fleck[0]) for fleck in debris.flecks)


def test_as_many_are_scattered_as_were_seen() -> None:
    image = littered()
    debris = Debris.fit([image], [GAIN])
    assert debris is not None
    shape = (1200, 1200)
    light = debris.render(debris.densities[0], 3, shape)
    middles = GAIN * light < -50
    # The free background is what is below the cells, about.
    expected = 20 * shape[0] * shape[1] / (240 * image.image.shape[1])
    assert 0.5 * expected < middles.sum() < 2 * expected
    assert (light == 0).mean() > 0.8


def test_the_seed_alone_decides_where_they_lie() -> None:
    debris = Debris.fit([littered()], [GAIN])
    assert debris is not None
    one, same, other = (debris.render(1e-3, seed, (90, 130)) for seed in (1, 1, 2))
    assert one.shape == (90, 130)
    assert one.dtype == np.float32
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("image", [littered(FEWEST - 1), replace(littered(), sparse=True)])
def test_few_flecks_and_what_may_be_cells_are_left_out(image: AnnotatedImage) -> None:
    assert Debris.fit([image], [GAIN]) is None


def test_halos_of_cells_are_no_debris() -> None:
    assert Debris.fit([littered(0)], [GAIN]) is None


def test_bundles_stay_small() -> None:
    debris = Debris.fit([littered(20) for _ in range(40)], [GAIN] * 40)
    assert debris is not None
    assert len(debris.densities) == 40
    assert sum(np.size(fleck) for fleck in debris.flecks) <= MOST_PIXELS
    assert Debris.model_validate_json(debris.model_dump_json()) == debris


def test_cells_hide_what_is_below_them() -> None:
    image = littered()
    statistics = fit_imaging([image])
    assert "debris" not in draw_background(statistics, 0, "sample", 0)
    debris = Debris.fit([image], [GAIN])
    assert debris is not None
    statistics = statistics.model_copy(update={"debris": debris})
    params = draw_background(statistics, 0, "sample", 0)
    assert params["debris"] == debris.densities[0]
    labels = np.zeros((300, 300), dtype=np.uint16)
    bare = render_debris(params, debris, labels)
    labels[:, 150:] = 1
    hidden = render_debris(params, debris, labels)
    assert np.abs(bare[:, 154:]).max() > 5
    assert np.abs(hidden[:, 154:]).max() < 1e-3
    assert np.array_equal(bare[:, :146], hidden[:, :146])
