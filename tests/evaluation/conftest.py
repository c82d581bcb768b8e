from __future__ import annotations

import pytest

from cytocascade.evaluation import Evaluation, Pictures, evaluate_with_pictures

from .scenes import scenes


@pytest.fixture(scope="session")
def alike() -> tuple[Evaluation, Pictures]:
    """Two sets of one kind, other images."""
    return evaluate_with_pictures(scenes(8, 8), scenes(108, 8), features="none")


@pytest.fixture(scope="session")
def different() -> tuple[Evaluation, Pictures]:
    """Synthetic cells that are larger and smoother, with labels off by 3 px."""
    return evaluate_with_pictures(scenes(8, 8), scenes(108, 8, radius=9.0, texture=2.0, shift=3), features="none")
