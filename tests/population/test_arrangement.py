from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.population.solids import ball_labels, ellipsoid, layer_labels, paint, stack, tissue_labels

from cytocascade.errors import CytoCascadeError
from cytocascade.population import VolumeArrangement, fit_arrangement


def test_a_layer_a_ball_and_a_tissue_are_told_apart() -> None:
    assert fit_arrangement([stack(layer_labels())]).kind == "layer"
    assert fit_arrangement([stack(ball_labels())]).kind == "ball"
    assert fit_arrangement([stack(tissue_labels())]).kind == "volume"


def test_a_few_annotated_slices_tell_the_same() -> None:
    assert fit_arrangement([stack(layer_labels(), (7,))]).kind == "layer"
    assert fit_arrangement([stack(ball_labels(), (11, 18))]).kind == "ball"
    assert fit_arrangement([stack(tissue_labels(), (4, 12, 20))]).kind == "volume"


def test_a_layer_knows_its_plane_jitter_and_density() -> None:
    fitted = fit_arrangement([stack(layer_labels()), stack(layer_labels(2))])
    assert fitted.substrate == pytest.approx([4.44, 4.44], abs=0.1)
    assert fitted.jitter == pytest.approx(0.5, abs=0.15)
    assert fitted.cell_height == 7.0
    assert fitted.density[0] == pytest.approx(9 / (40 * 42))
    assert fitted.population is not None
    assert len(fitted.population.mean_extent) == 2
    assert fitted.overlap_rate == 0.0


def test_a_tilted_plane_is_not_taken_for_jitter() -> None:
    corners = [(2 + 2 * i, 3 + 22 * i, 4 + 22 * j) for i in range(4) for j in range(4)]
    fitted = fit_arrangement([stack(paint((24, 90, 92), corners, ellipsoid(10, 8, 8)))])
    assert fitted.kind == "layer"
    assert fitted.tilt == pytest.approx(np.degrees(np.arctan(2 / 11)), abs=0.5)
    assert fitted.jitter < 0.1


def test_a_ball_knows_its_cells_packing_and_distances() -> None:
    fitted = fit_arrangement([stack(ball_labels())])
    assert fitted.ball_cells == [8]
    # Eight ellipsoids of 6 micrometres in a cube of 2 x 7: centres 7 apart, the ball around 13 wide.
    assert 0.3 < fitted.packing[0] < 0.7
    assert fitted.ball_distance * (np.pi / 6 * 14 * 13 * 13 / 8) ** (1 / 3) == pytest.approx(7.0, abs=0.7)


def test_cells_that_no_slice_meets_are_made_up_for() -> None:
    lower, upper = tissue_labels(), tissue_labels()
    upper[upper > 0] += lower.max()
    labels = np.concatenate([lower, upper])
    whole = fit_arrangement([stack(labels)], kind="volume")
    few = fit_arrangement([stack(labels, (4, 18, 32, 46))], kind="volume")
    assert few.density[0] == pytest.approx(whole.density[0], rel=0.35)


def test_a_wish_is_kept_and_the_reason_tells_what_the_data_show() -> None:
    fitted = fit_arrangement([stack(layer_labels())], kind="volume")
    assert fitted.kind == "volume"
    assert "layer" in fitted.reason
    assert fit_arrangement([]).kind == "layer"
    assert fit_arrangement([], kind="ball").kind == "ball"


def test_it_survives_json_and_refuses_unknown_fields() -> None:
    fitted = fit_arrangement([stack(ball_labels())])
    assert VolumeArrangement.model_validate_json(fitted.model_dump_json()) == fitted
    with pytest.raises(ValueError, match="extra"):
        VolumeArrangement.model_validate({"kind": "layer", "reason": "", "other": 1})


def test_stacks_of_two_spacings_are_refused() -> None:
    other = replace(stack(layer_labels(), name="b"), spacing=(2.0, 0.5, 0.5))
    with pytest.raises(CytoCascadeError, match="stack b"):
        fit_arrangement([stack(layer_labels()), other])
