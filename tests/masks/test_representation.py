from __future__ import annotations

import numpy as np
import pytest
import torch

from cytocascade.images.cells import CROP_SIZE, signed_distance
from cytocascade.masks.representation import FIELD_SIZE, TRUNCATION, from_field, to_field

SHAPES = [(7, 7), (12, 12), (24, 24), (26, 12), (10, 20), (16, 27)]


def ellipse(a: float, b: float, angle: float = 0.4) -> np.ndarray:
    y, x = np.mgrid[:CROP_SIZE, :CROP_SIZE] - (CROP_SIZE - 1) / 2
    u, v = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_round_trip_keeps_the_shape(a: float, b: float) -> None:
    mask = ellipse(a, b)
    field = to_field(torch.as_tensor(signed_distance(mask, (1.0, 1.0)))[None, None])
    found = from_field(field)[0] > 0
    assert (found & mask).sum() / (found | mask).sum() > 0.97


def test_field_is_a_truncated_half_size_map() -> None:
    distance = torch.as_tensor(signed_distance(ellipse(20, 20), (1.0, 1.0)))[None, None]
    field = to_field(distance)
    assert field.shape == (1, 1, FIELD_SIZE, FIELD_SIZE)
    assert float(field.max()) == 1
    assert float(field.min()) == -1


def test_distances_come_back_near_the_outline() -> None:
    wanted = signed_distance(ellipse(20, 20), (1.0, 1.0))
    found = from_field(to_field(torch.as_tensor(wanted)[None, None]))
    assert found.dtype == np.float32
    assert np.abs(found).max() <= TRUNCATION
    near = np.abs(wanted) < 4
    assert np.abs(found[0] - wanted)[near].mean() < 0.3
