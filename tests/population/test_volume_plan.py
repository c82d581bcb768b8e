from __future__ import annotations

import json

import numpy as np
import pytest
from tests.population.solids import SPACING, ball_labels, layer_labels, stack, tissue_labels

from cytocascade.errors import CytoCascadeError
from cytocascade.population import (
    PopulationStatistics,
    VolumeArrangement,
    VolumeOverrides,
    VolumeParams,
    draw_volume_placement,
    fit_arrangement,
)

SHAPE = (24, 100, 100)
FITTED = {
    "layer": fit_arrangement([stack(layer_labels()), stack(layer_labels(2))]),
    "ball": fit_arrangement([stack(ball_labels())]),
    "volume": fit_arrangement([stack(tissue_labels())]),
}


@pytest.mark.parametrize("kind", list(FITTED))
def test_the_draw_is_json_and_depends_on_seed_and_keys_alone(kind: str) -> None:
    drawn = [
        draw_volume_placement(FITTED[kind], None, SHAPE, SPACING, seed=seed, keys=keys).to_json()
        for seed, keys in ((1, ("sample", 0)), (1, ("sample", 0)), (2, ("sample", 0)), (1, ("sample", 1)))
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[0] != drawn[3]
    assert VolumeParams.from_json(json.loads(json.dumps(drawn[0]))).to_json() == drawn[0]
    assert drawn[0]["arrangement"] == kind


@pytest.mark.parametrize("kind", list(FITTED))
def test_the_number_of_cells_is_as_fitted_or_as_wished(kind: str) -> None:
    counts = [draw_volume_placement(FITTED[kind], None, SHAPE, SPACING, seed=s).count for s in range(20)]
    expected = 8 if kind == "ball" else FITTED[kind].density[0] * 50 * 50 * (24 if kind == "volume" else 1)
    assert np.mean(counts) == pytest.approx(expected, rel=0.25)
    wished = draw_volume_placement(FITTED[kind], None, SHAPE, SPACING, VolumeOverrides(count=17), seed=0)
    assert wished.count == 17
    ranged = [
        draw_volume_placement(FITTED[kind], None, SHAPE, SPACING, VolumeOverrides(count=(3, 5)), seed=s).count
        for s in range(20)
    ]
    assert set(ranged) == {3, 4, 5}


def test_the_layer_is_drawn_as_fitted_or_as_wished() -> None:
    layers = [draw_volume_placement(FITTED["layer"], None, SHAPE, SPACING, seed=seed).layer for seed in range(30)]
    heights = np.array([layer.height for layer in layers if layer is not None and layer.height is not None])
    jitter = np.concatenate([layer.jitter for layer in layers if layer is not None])
    assert heights.mean() == pytest.approx(np.mean(FITTED["layer"].substrate), abs=0.2)
    assert jitter.std() == pytest.approx(FITTED["layer"].jitter, rel=0.2)
    wished = VolumeOverrides(substrate=7.5, tilt=5.0)
    layer = draw_volume_placement(FITTED["layer"], None, SHAPE, SPACING, wished, seed=3).layer
    assert layer is not None
    assert layer.height == 7.5
    assert np.hypot(*layer.slope) == pytest.approx(np.tan(np.radians(5.0)), rel=1e-3)
    assert layer.jitter == layers[3].jitter


@pytest.mark.parametrize("kind", ["layer", "ball", "volume"])
def test_images_alone_do_with_a_wish(kind: str, statistics: PopulationStatistics) -> None:
    wish = VolumeArrangement(kind="layer", reason="")
    overrides = VolumeOverrides(arrangement=kind)
    params = draw_volume_placement(wish, statistics, SHAPE, SPACING, overrides, seed=0)
    assert params.arrangement == kind
    assert params.count > 0
    assert len(params.cells.spacing) == (2 if kind == "layer" else 3)


def test_the_rates_of_a_ball_are_those_wished() -> None:
    none = VolumeOverrides(count=200, p_cluster=0.0)
    assert all(
        gap is None for gap in draw_volume_placement(FITTED["ball"], None, SHAPE, SPACING, none, seed=0).cells.gap
    )
    half = VolumeOverrides(count=400, touching_rate=0.5, p_cluster=0.5)
    gap = draw_volume_placement(FITTED["ball"], None, SHAPE, SPACING, half, seed=0).cells.gap
    assert np.mean([value == 0 for value in gap]) == pytest.approx(1 - np.sqrt(0.5), abs=0.06)


def test_no_statistics_and_contradictions_are_refused(statistics: PopulationStatistics) -> None:
    with pytest.raises(CytoCascadeError, match="no 2D statistics"):
        draw_volume_placement(VolumeArrangement(kind="layer", reason=""), None, SHAPE, SPACING, seed=0)
    wanted = VolumeOverrides(p_cluster=0.1, touching_rate=0.5)
    for kind in FITTED.values():
        with pytest.raises(CytoCascadeError, match="touching rate"):
            draw_volume_placement(kind, statistics, SHAPE, SPACING, wanted, seed=0)
