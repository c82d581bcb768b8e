from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cytocascade.evaluation.drawings import OUTLINE
from cytocascade.evaluation.volumes.drawings import GAP, cell_grid, pair_strips, plane_pictures, shown_volumes
from cytocascade.evaluation.volumes.measured import measure_volumes
from cytocascade.evaluation.volumes.memorisation import check_memorisation

from .scenes import volumes


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_planes_have_their_true_proportions() -> None:
    volume = measure_volumes(volumes(0, 2), 2, "real", 0).volumes[0]
    shown = pixels(plane_pictures(volume, (90, 220))["plain"])
    zoom = 8
    # 60 pixels of 0.4 um are 24 um, 13 slices of 0.8 um are 10.4 um: as 26 pixels.
    assert shown.shape == ((60 + 26) * zoom + GAP, (60 + 26) * zoom + GAP)


def test_labels_are_outlined_in_all_three_planes() -> None:
    volume = measure_volumes(volumes(0, 2), 2, "real", 0).volumes[0]
    shown = pixels(plane_pictures(volume, (90, 220))["outlined"])
    outlined = (shown == OUTLINE).all(axis=-1)
    edge = 60 * 8
    assert outlined[:edge, :edge].any()
    assert outlined[:edge, edge + GAP :].any()
    assert outlined[edge + GAP :, :edge].any()


def test_the_volumes_with_most_whole_cells_are_shown() -> None:
    first, second, third = volumes(0, 3)
    cut = [type(one)(one.image[6:], one.labels[6:], one.spacing, one.name, True) for one in (first,)]
    found = measure_volumes([*cut, second, third], 3, "real", 0)
    assert [one.name for one in shown_volumes(found)] == ["001", "002"]


def test_cells_and_pairs_are_drawn() -> None:
    real, synthetic = (measure_volumes(volumes(start, 2), 2, "real", 0) for start in (0, 50))
    grid = pixels(cell_grid(real, (90, 220), 0))
    assert grid.ndim == 2
    assert grid.max() > grid.min()
    pairs = check_memorisation(real, synthetic, None)[0].closest
    strips = pair_strips(pairs, synthetic, real)
    assert len(strips) == len(pairs) > 0
