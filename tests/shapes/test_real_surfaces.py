"""Real nuclei, seen by all cameras without error, must come back as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cytocascade.shapes.bank import in_canonical_cube
from cytocascade.shapes.canonical import Frame
from cytocascade.shapes.descriptors import describe_surface
from cytocascade.shapes.neus import reconstruct
from cytocascade.shapes.priors import surface_in_frame
from cytocascade.shapes.solids import voxel_solid
from cytocascade.shapes.views import render_views

from ._solids import overlap, projection

SHAPES = Path(__file__).parents[2].parent / "shared" / "data" / "3d-shapes" / "shapes.npz"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHAPES.is_file(), reason=f"needs the real shapes in {SHAPES}"),
]


def test_real_nuclei_come_back_from_their_views() -> None:
    with np.load(SHAPES) as file:
        nuclei = np.flatnonzero(file["kind"] == "nucleus")
        voxels = file["voxels"][nuclei[:: len(nuclei) // 12]] > 0
    cubes = [in_canonical_cube(voxel_solid(one)) for one in voxels]
    true, mask = np.stack([cube[0] for cube in cubes]), np.stack([cube[1] for cube in cubes])
    views = render_views(torch.from_numpy(true))
    found = reconstruct(views, torch.from_numpy(mask)).numpy()
    again = render_views(torch.from_numpy(found))
    frame = Frame(6.0, (0.0, 0.0), 10.0)
    for index in range(len(true)):
        assert overlap(found[index], true[index]) > 0.97
        assert overlap(projection(found[index]), mask[index]) > 0.97
        assert overlap(again[index, :, 0].numpy(), views[index, :, 0].numpy()) > 0.97
        measured, real = (describe_surface(surface_in_frame(one[index], frame)) for one in (found, true))
        assert measured["sphericity"] == pytest.approx(real["sphericity"], abs=0.01)
        assert measured["relative_volume"] == pytest.approx(real["relative_volume"], rel=0.02)
