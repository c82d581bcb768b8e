from __future__ import annotations

import numpy as np
import pytest

from cytocascade.population import PopulationStatistics, fit_population
from cytocascade.types import Array, BoolArray


def disc(diameter: int, squeeze: float = 1.0) -> BoolArray:
    y, x = np.mgrid[:diameter, :diameter] - (diameter - 1) / 2
    mask = (y * squeeze) ** 2 + x**2 <= diameter**2 / 4
    return mask[np.ix_(mask.any(axis=1), mask.any(axis=0))]


def draw_discs(shape: tuple[int, int], centres: list[tuple[int, int]], diameter: int) -> Array:
    labels = np.zeros(shape, dtype=np.uint16)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for label, (cy, cx) in enumerate(centres, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= diameter**2 / 4] = label
    return labels


@pytest.fixture(scope="session")
def real_like() -> list[Array]:
    """Three 200 x 200 fields of 12 px discs: touching pairs, near pairs, lone cells and some cut ones."""
    fields = []
    for shift in (0, 4, 9):
        centres = [(20 + shift, 30), (20 + shift, 43), (70, 60), (70, 75), (120, 40 + shift), (120, 150)]
        centres += [(160, 20), (150, 100 + shift), (40, 140), (55, 145), (95, 110), (3, 90), (197, 150)]
        centres += [(100, 170 + shift), (180, 60), (60, 198), (20, 175), (170, 175 - shift)]
        fields.append(draw_discs((200, 200), centres[: 16 + shift // 4], 12))
    return fields


@pytest.fixture(scope="session")
def statistics(real_like: list[Array]) -> PopulationStatistics:
    return fit_population(real_like, (0.5, 0.5))


@pytest.fixture(scope="session")
def masks() -> list[BoolArray]:
    return [disc(9 + i % 6, 1.0 + 0.1 * (i % 4)) for i in range(300)]
