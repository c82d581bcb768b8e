from __future__ import annotations

import pytest

from cytocascade.evaluation import VolumeEvaluation, VolumePictures, evaluate_volumes_with_pictures

from .scenes import volumes


@pytest.fixture(scope="session")
def alike() -> tuple[VolumeEvaluation, VolumePictures]:
    """Two sets of one kind, other volumes."""
    return evaluate_volumes_with_pictures(volumes(0, 6), volumes(100, 6), features="none")


@pytest.fixture(scope="session")
def different() -> tuple[VolumeEvaluation, VolumePictures]:
    """Wider synthetic cells, every slice with a texture and a brightness of its own, and less noise."""
    look = {"radius": 4.6, "smooth": 0.05, "flicker": 0.15, "noise": 1.0}
    return evaluate_volumes_with_pictures(volumes(0, 6), volumes(100, 6, **look), features="none")
