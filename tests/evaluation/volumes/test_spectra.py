from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage as ndi

from cytocascade.evaluation.splits import real_splits
from cytocascade.evaluation.volumes.measured import VolumeSet, measure_volumes
from cytocascade.evaluation.volumes.spectra import compare_line_spectra
from cytocascade.types import AnnotatedImage

from .scenes import volumes


def measured(given: list[AnnotatedImage]) -> VolumeSet:
    return measure_volumes(given, len(given), "real", 0)


def test_volumes_of_one_kind_have_one_spectrum() -> None:
    ours, theirs = measured(volumes(0, 4)), measured(volumes(50, 4))
    for axis in ("x", "z"):
        assert compare_line_spectra(ours, theirs, axis, real_splits(4, 0)).distance.value < 1.5  # type: ignore[arg-type]


def test_stripes_along_z_are_seen_along_z_at_their_frequency_and_not_along_x() -> None:
    given = volumes(0, 4)
    stripes = (40 * np.sin(2 * np.pi * np.arange(13) / 4))[:, None, None]
    striped = [replace(one, image=(one.image + stripes).clip(0).astype(np.uint16)) for one in given]
    splits = real_splits(4, 0)
    along_z, along_x = (compare_line_spectra(measured(given), measured(striped), a, splits) for a in ("z", "x"))
    assert along_z.distance.value > 3
    assert along_x.distance.value < 0.5
    loudest = int(np.argmax(np.array(along_z.synthetic) - np.array(along_z.real)))
    assert along_z.frequency[loudest] == pytest.approx(1 / (4 * 0.8), abs=1 / (13 * 0.8))


def test_blur_takes_the_fine_end_of_the_spectrum() -> None:
    given = volumes(0, 4)
    blurred = [replace(one, image=ndi.gaussian_filter(one.image, (0, 0, 1.5))) for one in given]
    found = compare_line_spectra(measured(given), measured(blurred), "x", real_splits(4, 0))
    gap = np.array(found.synthetic) - np.array(found.real)
    assert gap[-1] < -10
    assert abs(gap[0]) < 2


def test_frequencies_are_compared_per_micrometre_where_voxels_differ() -> None:
    given = volumes(0, 4, noise=0.5)
    coarse = [
        replace(one, image=one.image[..., ::2], labels=one.labels[..., ::2], spacing=(0.8, 0.8, 0.8))
        for one in [replace(one, image=one.image[:, ::2], labels=one.labels[:, ::2]) for one in given]
    ]
    found = compare_line_spectra(measured(given), measured(coarse), "x", real_splits(4, 0))
    assert max(found.frequency) <= 0.5 / 0.8 * 1.001
    # Half the samples of the same lines: half the power sum per frequency, which is 3 dB.
    gap = np.array(found.synthetic)[:5] - np.array(found.real)[:5]
    assert np.abs(gap + 3).max() < 2.5
